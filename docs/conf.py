"""The site: python -m sphinx -W docs site. Chapters are notebooks in MyST markdown, executed while it is built."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))
sys.path.insert(0, str(Path(__file__).parent.parent))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [sys.path[0], os.environ.get("PYTHONPATH")]))  # for the cells

# Where the site and the repository are, if that is known: canonical links, Colab and links to lines need it.
html_baseurl = os.environ.get("SITE_URL", "")
repository_url = os.environ.get("REPOSITORY_URL", "")
repository_branch = "main"
# A notebook in Colab: https://colab.research.google.com/github/…/{name}.ipynb
colab_url = os.environ.get("COLAB_URL", "")

project = "tinytensor"
author = "the tinytensor developers"
language = "en"
extensions = ["myst_nb", "building", "mathml", "repository", "archive", "reference", "notebooks", "chapters", "jupyter"]
# LAB_EDITOR=plain: where there is no Node with npm, a laboratory with a plain text field is what is wanted
suppress_warnings = ["lab.editor"] if os.environ.get("LAB_EDITOR") == "plain" else []
exclude_patterns = ["lab", "_extensions", "_templates"]
templates_path = ["_templates"]
# Pages whose text lies outside of docs/, and where their own links lead from
documents_outside = {
    "README.md": "readme",
    "CONTRIBUTING.md": "contributing",
    "CHANGELOG.md": "changelog",
    "runs/README.md": "runs",
    "notebooks/guide.ipynb": "notebooks/guide",
    "notebooks/gpt2.ipynb": "notebooks/gpt2",
}

html_theme = "furo"
highlight_language = "none"  # of a block that names none: what a program prints
pygments_style = "a11y-light"
pygments_dark_style = "github-dark"
html_title = "tinytensor"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_search_scorer = str(Path(__file__).resolve().parent / "_static" / "scorer.js")
html_logo = "_static/logo.svg"
html_favicon = "_static/logo.svg"
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#1f5fbf",
        "color-brand-content": "#1f5fbf",
        "color-brand-visited": "#5b4b9a",
    },
    "dark_css_variables": {
        "color-brand-primary": "#7fb0f5",
        "color-brand-content": "#8ab8ff",
        "color-brand-visited": "#b7a8f0",
    },
}
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 4
nb_execution_mode = "cache"  # a chapter that has not changed is not executed again
nb_execution_excludepatterns = ["notebooks/*"]  # these have their outputs, and need PyTorch
nb_execution_show_tb = True  # a cell that fails is a warning with its traceback, and -W makes it an error
nb_execution_timeout = 120
nb_merge_streams = True
nb_ipywidgets_js = {}  # no script of another host
linkcheck_ignore = ["repository:", "site:"]  # links to files and built pages: checked when the site is built
html_math_renderer = "mathml"
toc_object_entries_show_parents = "hide"
