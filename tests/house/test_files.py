"""The file map has a line for each file, and is what the docstrings say."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
make_files = runpy.run_path(str(ROOT / "docs" / "make_files.py"))


def test_the_map_is_up_to_date() -> None:
    assert make_files["MAP"].read_text("utf-8") == make_files["page"](), "run python docs/make_files.py"


def test_every_file_says_what_it_is_for_in_a_line() -> None:
    files = [
        path for package in ("tinytensor", "gpt") for path in (ROOT / package).rglob("*.py") if path.stat().st_size
    ]
    page = make_files["page"]()
    assert len(files) > 100
    for path in files:
        name = path.relative_to(ROOT).as_posix()
        assert f"](../{name}) | " in page
        assert 20 <= len(make_files["purpose"](path)) <= 120, name
