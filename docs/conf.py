"""The site: python -m sphinx -W docs site. Chapters are notebooks in MyST markdown, executed while it is built."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "tinytensor"
author = "the tinytensor developers"
extensions = ["myst_nb", "mathml"]
exclude_patterns = ["lab", "_extensions"]
html_theme = "furo"
html_title = "tinytensor"

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 3
nb_execution_mode = "cache"  # a chapter that has not changed is not executed again
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_merge_streams = True
html_math_renderer = "mathml"
