"""Rows in a file, one JSON object a line: a history of measurements."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import Row
from gpt.errors import UserError
from gpt.run import files


def key(row: Row) -> tuple[str, str, str, str]:
    """A row replaces one with the same key: the same measurement, commit, CPU and GPU."""
    where = row["environment"]
    return row["name"], str(where["commit"]), where["cpu"], str((where.get("gpu") or {}).get("name"))


def read(path: Path) -> list[Row]:
    """The rows of the file; none if there is no file. UserError names a line that is not a row."""
    if not path.exists():
        return []
    rows = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        try:
            rows.append(json.loads(line))
            key(rows[-1])
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{path}, line {number} is not the row of a benchmark; use another file") from None
    return rows


def merge(path: Path, rows: Sequence[Row]) -> None:
    """Add the rows to the file, or put them in place of those that they replace."""
    kept = {key(row): row for row in read(path)} | {key(row): row for row in rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept.values()))
