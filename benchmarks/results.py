"""Rows in a file, one JSON object a line: a history that is added to and never typed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import Row
from gpt.errors import UserError


def key(row: Row) -> tuple[str, str, str, str]:
    """What a row replaces: the same measurement of the same commit on the same kind of CPU, and of GPU."""
    where = row["environment"]
    return row["name"], str(where["commit"]), where["cpu"], str((where.get("gpu") or {}).get("name"))


def read(path: Path) -> list[Row]:
    """The file's rows; none if there is no file. UserError names a line that is no row."""
    if not path.exists():
        return []
    rows = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        try:
            rows.append(json.loads(line))
            key(rows[-1])
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{path}, line {number} is not a benchmark's row; take another file") from None
    return rows


def merge(path: Path, rows: Sequence[Row]) -> None:
    """Put the rows into the file, in the place of those that they replace."""
    kept = {key(row): row for row in read(path)} | {key(row): row for row in rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept.values()), "utf-8")
