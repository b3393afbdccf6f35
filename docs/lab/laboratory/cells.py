"""The cells of a chapter: each runs in the names of those before it, and shows what it prints, returns and draws."""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import sys
from typing import Any

from .engines import Engines
from .errors import checked
from .output import Output, shortened


class Cells:
    """The names of each chapter, as long as the engine stays the same."""

    def __init__(self, engines: Engines) -> None:
        self.engines = engines
        self.namespaces: dict[str, dict[str, Any]] = {}  # by chapter
        self.changes = engines.changes  # after which these names were made

    def cell(self, edits: dict[str, str], chapter: str, code: str, number: int) -> dict[str, Any]:
        """Run a cell of a chapter: what it prints, the value of its last line, its figures, its error."""
        self.engines.edit(edits)
        if self.changes != self.engines.changes:
            self.namespaces.clear()
            self.changes = self.engines.changes
        namespace = self.namespaces.setdefault(chapter, {"__name__": "__main__"})
        printed, failed, shown = Output(), None, None
        try:
            with self.engines.chosen.active(), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                value = _run(code, f"cell {number}", namespace)
                shown = None if value is None else shortened(repr(value))
        except BaseException as error:  # also SystemExit, which a program of a chapter may raise
            failed = self.engines.described(error)
        return {"printed": printed.text, "value": shown, "figures": _figures(), "failed": failed}

    def restart(self, chapter: str) -> None:
        """Forget the names of a chapter."""
        self.namespaces.pop(chapter, None)


def _run(code: str, name: str, namespace: dict[str, Any]) -> Any:
    """Execute the code; return the value of its last line, if that is an expression and does not end with ;"""
    checked(code, name)
    tree = ast.parse(code, name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec", dont_inherit=True), namespace)
    if last is None:
        return None
    value = eval(compile(ast.Expression(last.value), name, "eval", dont_inherit=True), namespace)  # type: ignore[attr-defined]
    return None if code.rstrip().endswith(";") else value


def _figures() -> list[str]:
    """The open figures of matplotlib as PNG in base 64; they are closed."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return []
    found = []
    for number in pyplot.get_fignums():
        content = io.BytesIO()
        pyplot.figure(number).savefig(content, format="png", dpi=144, bbox_inches="tight")
        found.append(base64.b64encode(content.getvalue()).decode())
    pyplot.close("all")
    return found
