"""docs/inside.md says what is true: its examples run, and its picture is the one that draw makes."""

from __future__ import annotations

import doctest
import re
import runpy
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
LINE = re.compile(r"\.py:\d+")  # a line may move


def test_the_examples_run() -> None:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    found = doctest.testfile(str(DOCS / "inside.md"), module_relative=False, optionflags=flags, encoding="utf-8")
    assert found.attempted > 10
    assert not found.failed


def test_the_picture_is_up_to_date(tmp_path: Path) -> None:
    drawing = runpy.run_path(str(DOCS / "make_graph.py"))["picture"]()
    drawing.save(tmp_path / "graph.svg")
    found, wanted = (LINE.sub(".py", (folder / "graph.svg").read_text("utf-8")) for folder in (tmp_path, DOCS))
    assert found == wanted, "python docs/make_graph.py"
