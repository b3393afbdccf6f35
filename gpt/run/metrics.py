"""metrics.jsonl: one JSON object a line for every step of a run."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict, cast

from gpt.errors import UserError
from gpt.optimizer import Outcome
from gpt.run.state import Run
from tinytensor import cuda


class Measured(TypedDict):
    """One step. Losses are in nats.

    val_loss is None where the step was not evaluated, grad_norm where the gradient overflowed float16.
    """

    step: int
    train_loss: float
    val_loss: float | None
    learning_rate: float
    grad_norm: float | None
    seconds: float
    tokens_per_second: float


class Row(Measured, total=False):
    """One step, with what some runs have."""

    gpu_memory: int  # bytes that tensors use on the GPU after the step
    gpu_memory_peak: int  # the most of them so far
    loss_scale: float  # in float16
    best_step: int  # where the step was evaluated: the step with the lowest loss so far


def row_of(run: Run, outcome: Outcome, rate: float, speed: float) -> Row:
    """Return the row of the step that the run made last, not evaluated yet."""
    row = Row(
        step=run.step, train_loss=outcome.loss, val_loss=None, learning_rate=rate,
        grad_norm=outcome.norm if math.isfinite(outcome.norm) else None, seconds=run.seconds, tokens_per_second=speed,
    )  # fmt: skip
    if run.scaler:
        row["loss_scale"] = outcome.scale
    add_gpu_memory(row, run.config.device)
    return row


def add_gpu_memory(row: Row, device: str) -> None:
    """Note how much memory tensors use on the GPU, now and at most; nothing on the CPU."""
    if device != "cpu":
        row["gpu_memory"], row["gpu_memory_peak"] = cuda.memory_allocated(), cuda.max_memory_allocated()


def read(run: Path) -> list[Row]:
    """Return all rows of a run. Leaves out a last line that a crash cut off."""
    return [row for row, _ in scan(run / "metrics.jsonl")]


def scan(path: Path) -> Iterator[tuple[Row, int]]:
    """Yield each row, and the offset in bytes at which its line ends."""
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
    """Read a row from its line. Raises ValueError for anything else."""
    return checked(json.loads(line))


def checked(row: object) -> Row:
    """Return the row. Raises ValueError for anything else."""
    if not isinstance(row, dict) or not Row.__required_keys__ <= row.keys() <= Row.__annotations__.keys():
        raise ValueError(f"it must have the keys {', '.join(Measured.__annotations__)}")
    for name, value in row.items():
        if not (isinstance(value, (int, float)) or (name in ("val_loss", "grad_norm") and value is None)):
            raise ValueError(f"{name} must be a number")
    return cast(Row, row)


class Metrics:
    """Appends rows to metrics.jsonl, each at once. Drops the rows of steps after `step` first: they will be made again."""

    def __init__(self, run: Path, step: int) -> None:
        path = run / "metrics.jsonl"
        ends = [end for row, end in scan(path) if row["step"] <= step] if path.exists() else []
        self._file = path.open("a", encoding="utf-8")
        self._file.truncate(max(ends, default=0))  # cuts the end off: the rows that stay are not rewritten

    def write(self, row: Row) -> None:
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def __enter__(self) -> Metrics:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
