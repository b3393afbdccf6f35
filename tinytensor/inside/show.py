"""Numbers, places and tables as text and as HTML: what the explanations share. All text from outside is escaped."""

from __future__ import annotations

import html
import math
import os
from collections.abc import Iterable, Sequence

from tinytensor.inside.watch import PACKAGE

ROOT = os.path.dirname(PACKAGE.rstrip(os.sep)) + os.sep
TABLE = "border-collapse:collapse;font-family:monospace;font-size:small;text-align:left"
CELL = "padding:1px 8px;text-align:left;vertical-align:top;white-space:pre-wrap;border-bottom:1px solid rgba(128,128,128,.35)"

Rows = Sequence[Sequence[str]]


def number(x: float, digits: int = 4) -> str:
    """Few digits, with a real minus sign: −0.1234, 3, 1.2e-07, ∞."""
    if math.isnan(x):
        return "nan"
    text = "∞" if math.isinf(x) else f"{abs(x):.{digits}g}"
    return f"−{text}" if x < 0 else text


def signed(x: float) -> str:
    """A number with its sign, also +."""
    return number(x) if x < 0 or x == 0 else f"+{number(x)}"


def place(index: Iterable[int]) -> str:
    """[1, 2]; nothing for the one element of a 0-d array."""
    inner = ", ".join(str(int(i)) for i in index)
    return f"[{inner}]" if inner else ""


def short(file: str) -> str:
    """The path of a file below the package's folder or the current one; else whole."""
    for root in (ROOT, os.getcwd() + os.sep):
        if file.startswith(root):
            return file[len(root) :].replace(os.sep, "/")
    return file


def text_table(rows: Rows, indent: str = "") -> str:
    """Columns that begin below each other."""
    columns = max(map(len, rows), default=0)
    widths = [max((len(row[i]) for row in rows if len(row) > i + 1), default=0) for i in range(columns)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join(indent + line for line in lines)


def html_table(rows: Rows, head: Sequence[str] = ()) -> str:
    """A table of escaped cells, in the colours of the page around it."""
    lines = [_row("th", head)] if head else []
    lines += [_row("td", row) for row in rows]
    return f'<table style="{TABLE}">{"".join(lines)}</table>'


def _row(tag: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag} style={chr(34)}{CELL}{chr(34)}>{html.escape(c)}</{tag}>' for c in cells)}</tr>"


def heading(text: str) -> str:
    """A line in bold."""
    return f'<div style="font-weight:bold;margin:.6em 0 .2em">{html.escape(text)}</div>'


def folded(title: str, text: str) -> str:
    """Text that opens with a click."""
    return f"<details><summary>{html.escape(title)}</summary><pre>{html.escape(text)}</pre></details>"
