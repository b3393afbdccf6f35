"""Text in aligned columns, for the tables of a profile."""

from __future__ import annotations

from collections.abc import Sequence


def columns(head: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    """A table as text, the first `left` columns aligned to the left; a line under the head."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = [c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        return "  ".join(cells).rstrip()

    return "\n".join([line(head), "─" * (sum(widths) + 2 * len(widths) - 2), *map(line, rows)])


def share(part: float, whole: float) -> str:
    """part / whole as a percentage; empty if whole is 0."""
    return f"{part / whole:.1%}" if whole else ""
