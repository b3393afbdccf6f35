"""metrics.jsonl: one JSON object a line for every step of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict

from gpt.errors import UserError


class Row(TypedDict):
    """One step. val_loss is None where the step was not evaluated; losses are in nats."""

    step: int
    train_loss: float
    val_loss: float | None
    learning_rate: float
    grad_norm: float
    seconds: float
    tokens_per_second: float


def read(run: Path) -> list[Row]:
    """All rows of a run; a last line that a crash cut off is left out."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    try:
        return [json.loads(line) for line in lines if line.endswith("\n")]
    except json.JSONDecodeError as error:
        raise UserError(f"{run / 'metrics.jsonl'} is not one JSON object a line: {error}") from None


class Metrics:
    """Appends rows, each at once on its way to the disk; steps after `step` are dropped first."""

    def __init__(self, run: Path, step: int) -> None:
        path = run / "metrics.jsonl"
        rows = [row for row in read(run) if row["step"] <= step] if path.exists() else []
        self._file = path.open("w", encoding="utf-8")
        for row in rows:
            self.write(row)

    def write(self, row: Row) -> None:
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def __enter__(self) -> Metrics:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
