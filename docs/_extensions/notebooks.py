"""The notebooks of notebooks/ as pages: copied where Sphinx reads them, with their outputs and without their widgets."""

from __future__ import annotations

import json
from typing import Any

from checkout import ROOT
from sphinx.application import Sphinx
from sphinx.config import Config

WIDGETS = "application/vnd.jupyter.widget-"


def copy(app: Sphinx, config: Config) -> None:
    """Write docs/notebooks/*.ipynb, which git ignores, if they are not what notebooks/ has."""
    for path, docname in config.documents_outside.items():
        if path.endswith(".ipynb"):
            text = json.dumps(without_widgets(json.loads((ROOT / path).read_text("utf-8"))), ensure_ascii=False)
            target = app.srcdir / f"{docname}.ipynb"
            target.parent.mkdir(exist_ok=True)
            if not target.exists() or target.read_text("utf-8") != text:
                target.write_text(text, "utf-8")


def without_widgets(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook without the state of its widgets, and with the text that stands in for each of them."""
    notebook["metadata"].pop("widgets", None)
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            for kind in [kind for kind in output.get("data", {}) if kind.startswith(WIDGETS)]:
                del output["data"][kind]
    return notebook


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", copy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
