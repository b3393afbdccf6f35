"""Write docs/files.md, the file map: python docs/make_files.py

A line is the first one of a module's docstring, so a docstring begins with what its file is for.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAP = ROOT / "docs" / "files.md"
HEAD = """# The file map

One line for each file, from the first line of its docstring; `python docs/make_files.py` writes this page, and a test holds it
up to date. The README has the files that one reads first, in order.
"""


def purpose(path: Path) -> str:
    """The first line of a module's docstring, or nothing."""
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return docstring.split("\n", 1)[0].strip().replace("|", "\\|")


def files(folder: Path) -> list[Path]:
    """The modules of a folder, what the package itself says first; an empty one is left out."""
    own = sorted(path for path in folder.glob("*.py") if path.stat().st_size)
    return sorted(own, key=lambda path: path.name != "__init__.py")


def sections() -> Iterator[str]:
    """A heading and a table for each folder that has modules, folders above first."""
    for package in ("tinytensor", "gpt"):
        folders = {path.parent for path in (ROOT / package).rglob("*.py")}
        for folder in sorted(folders, key=lambda path: path.as_posix()):
            name = folder.relative_to(ROOT).as_posix()
            rows = [f"| [`{path.name}`](../{name}/{path.name}) | {purpose(path)} |" for path in files(folder)]
            yield "\n".join([f"## {name}/", "", "| file | |", "|---|---|", *rows, ""])


def page() -> str:
    """The whole map."""
    return "\n".join([HEAD, *sections()])


if __name__ == "__main__":
    MAP.write_text(page(), "utf-8")
