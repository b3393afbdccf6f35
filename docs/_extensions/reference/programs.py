"""The directive for programs: what `python -m …` prints for --help, and what its docstring says."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from checkout import ROOT
from docstrings import as_rst
from docutils import nodes

from reference.links import linker
from reference.text import docstring, indented
from reference.written import Written

COLUMNS = "86"  # of the page


class Programs(Written):
    """Each program of a package: the text of its docstring, and its help."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        lines: list[str] = []
        for path in _programs(ROOT / self.arguments[0]):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            module = importlib.import_module(name)
            title = f"python -m {name.removesuffix('.__main__')}"
            lines += [title, "-" * len(title), "", *as_rst(docstring(module), link=linker()), ""]
            lines += [".. code-block:: text", "   :class: help", "", *indented(help_of(module).splitlines()), ""]
            self.depend({path.relative_to(ROOT).as_posix()})
        return self.parsed(lines, {})


def _programs(package: Path) -> Iterator[Path]:
    """The files of a package that have a main."""
    own = [path for path in package.glob("*.py") if not path.stem.startswith("_")]
    for path in sorted([*own, *package.glob("*/__main__.py")]):
        text = path.read_text("utf-8")
        if "\ndef main(" in text and "__main__" in text:
            yield path


def help_of(module: ModuleType) -> str:
    """What a program prints for --help, as wide as the page."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit), _columns(COLUMNS):
        module.main(["--help"])
    return said.getvalue()


@contextlib.contextmanager
def _columns(width: str) -> Iterator[None]:
    before, argv = os.environ.get("COLUMNS"), sys.argv
    os.environ["COLUMNS"] = width
    try:
        yield
    finally:
        sys.argv = argv
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
