"""Where a build keeps what it makes on the way, and when a page is old: its chapter changed, or the engine."""

from __future__ import annotations

import hashlib
import logging
import re
import shutil
from pathlib import Path
from typing import Any

import myst_nb.core.render
from checkout import ROOT
from sphinx.application import Sphinx
from sphinx.config import Config

CACHE = "executed"  # the folder, beside the doctrees, of what the cells said


def digest_of(*packages: str) -> str:
    """A digest of the Python files of these folders."""
    digest = hashlib.sha256()
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def quiet() -> None:
    """Libraries that say on stderr what they do."""
    for name in ("fontTools", "traitlets"):
        logging.getLogger(name).setLevel(logging.WARNING)


def note_engine(app: Sphinx, config: Config) -> None:
    config.engine_digest = digest_of("tinytensor", "gpt")  # when it changes, chapters are executed again
    config.site_digest = digest_of("tinytensor", "gpt", "docs/_extensions")  # and all pages are read again


def place(app: Sphinx) -> None:
    """Beside the doctrees: what the cells said, for this state of the engine, and their pictures."""
    caches = Path(app.doctreedir) / CACHE
    for old in caches.glob("*"):
        if old.name != app.config.engine_digest:
            shutil.rmtree(old)
    app.env.mystnb_config = app.env.mystnb_config.copy(  # type: ignore[attr-defined]
        output_folder=str(Path(app.doctreedir) / "pictures"),
        execution_cache_path=str(caches / app.config.engine_digest),
    )


def merged(outputs: list[Any]) -> list[Any]:
    """What a cell printed, as one text for each stream; MyST-NB begins a line where the kernel began a message."""
    kept: list[Any] = []
    streams: dict[str, Any] = {}
    for output in outputs:
        if output["output_type"] != "stream":
            kept.append(output)
        elif output["name"] in streams:
            streams[output["name"]]["text"] += output["text"]
        else:
            streams[output["name"]] = output
            kept.append(output)
    return kept


def for_screen_readers(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """The captions of the sidebar are headings of a level; a cell without text above a column is no heading of it."""
    tree = context.get("furo_navigation_tree", "")
    context["furo_navigation_tree"] = tree.replace('role="heading"', 'role="heading" aria-level="2"')
    if "body" in context:
        context["body"] = re.sub(r'<th class="([^"]*)"><p></p></th>', r'<td class="\1"></td>', context["body"])


def setup(app: Sphinx) -> dict[str, bool]:
    quiet()
    myst_nb.core.render.coalesce_streams = merged
    app.add_config_value("engine_digest", "", "", str)
    app.add_config_value("site_digest", "", "env", str)
    app.connect("config-inited", note_engine)
    app.connect("builder-inited", place, priority=900)  # after MyST-NB has read its own configuration
    app.connect("html-page-context", for_screen_readers, priority=600)  # after the theme has made the tree
    return {"parallel_read_safe": True, "parallel_write_safe": True}
