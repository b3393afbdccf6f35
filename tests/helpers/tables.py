"""The table of the databases: conftest.py and the programs of tests/databases print it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

HEAD = ("covered", "samples", "agree", "refused", "excepted", "wrong")


def table(rows: Mapping[str, tuple[int, Sequence[int]]]) -> str:
    """One line for each database: its name, how many entries it has, and the counts of what was run."""
    lines = [f"{'':12}" + "".join(f"{head:>14}" for head in HEAD)]
    for name, (entries, (covered, *counts)) in rows.items():
        lines.append(f"{name:12}{f'{covered} of {entries}':>14}" + "".join(f"{n:>14,}" for n in counts))
    return "\n".join(lines)
