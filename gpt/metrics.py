"""metrics.jsonl: one JSON object a line for every step of a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict, cast

from gpt.errors import UserError


class Measured(TypedDict):
    """One step. val_loss is None where the step was not evaluated, grad_norm where the gradient overflowed float16.

    Losses are in nats.
    """

    step: int
    train_loss: float
    val_loss: float | None
    learning_rate: float
    grad_norm: float | None
    seconds: float
    tokens_per_second: float


class Row(Measured, total=False):
    """One step, with what not every run has: bytes that tensors use on a GPU after the step, and the most until then; the
    loss scale of float16."""

    gpu_memory: int
    gpu_memory_peak: int
    loss_scale: float


def read(run: Path) -> list[Row]:
    """All rows of a run; a last line that a crash cut off is left out."""
    return [row for row, _ in scan(run / "metrics.jsonl")]


def scan(path: Path) -> Iterator[tuple[Row, int]]:
    """Each row, and the offset in bytes at which its line ends."""
    end = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.endswith(b"\n"):
                end += len(line)
                try:
                    yield parse(line.decode()), end
                except (ValueError, RecursionError) as error:
                    raise UserError(f"{path} is damaged: line {number} is no row of a run: {error}") from None


def parse(line: str) -> Row:
    """The row that a line spells; ValueError if it spells something else."""
    row = json.loads(line)
    if not isinstance(row, dict) or not Row.__required_keys__ <= row.keys() <= Row.__annotations__.keys():
        raise ValueError(f"it must have the keys {', '.join(Measured.__annotations__)}")
    for name, value in row.items():
        if not (isinstance(value, (int, float)) or (name in ("val_loss", "grad_norm") and value is None)):
            raise ValueError(f"{name} must be a number")
    return cast(Row, row)


class Metrics:
    """Appends rows, each at once on its way to the disk; steps after `step` are dropped first."""

    def __init__(self, run: Path, step: int) -> None:
        path = run / "metrics.jsonl"
        ends = [end for row, end in scan(path) if row["step"] <= step] if path.exists() else []
        self._file = path.open("a", encoding="utf-8")
        self._file.truncate(max(ends, default=0))  # the rows that stay are never written again

    def write(self, row: Row) -> None:
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def __enter__(self) -> Metrics:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
