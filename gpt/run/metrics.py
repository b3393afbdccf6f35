"""metrics.jsonl: one JSON object a line for every step of a run."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict, cast

from gpt.errors import UserError, reading
from gpt.optimizer import Outcome
from gpt.run import files
from gpt.run.files import Folder
from gpt.run.state import Run
from tinytensor import cuda

LONGEST_ROW = 4096  # bytes


class Measured(TypedDict):
    """One step. Losses are in nats per token.

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
    val_bits_per_byte: float  # where the step was evaluated: val_loss for each byte of the text, not for each token
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


def lost(run: Path, step: int) -> int:
    """Return how many of the first `step` steps have no row. Raises UserError if the file is damaged."""
    path = run / "metrics.jsonl"
    return step - sum(row["step"] <= step for row, _ in scan(path)) if files.exists(path) else step


def scan(path: Path) -> Iterator[tuple[Row, int]]:
    """Yield each row, and the offset in bytes at which its line ends. Raises UserError unless steps only rise."""
    end = last = 0
    for number, line in enumerate(lines(path), 1):
        if line.endswith(b"\n"):
            end += len(line)
            try:
                row = parse(files.parse(line, path))
                if row["step"] <= last:
                    raise ValueError(f"step {row['step']} stands after step {last}")
            except ValueError as error:
                why = str(error).removeprefix(f"{path} is damaged, ")
                raise UserError(
                    f"{path} is damaged: line {number} is no row of a run: {why}; remove or mend it"
                ) from None
            last = row["step"]
            yield row, end
        elif len(line) > LONGEST_ROW:
            raise UserError(f"{path} is damaged: line {number} is longer than {LONGEST_ROW:,} bytes; remove or mend it")


def lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of the file, the last of which may have no end. Stops after one that is longer than LONGEST_ROW."""
    with (
        reading(path),
        Folder(path.parent, follow=True) as folder,
        folder.open(path.name) as file,
        os.fdopen(os.dup(file.descriptor), "rb") as stream,
    ):
        while (line := stream.readline(LONGEST_ROW + 1)).endswith(b"\n"):
            yield line
        if line:
            yield line


def parse(row: Any) -> Row:
    """Return the row that the JSON value is. Raises ValueError for anything else."""
    if not isinstance(row, dict) or not Row.__required_keys__ <= row.keys() <= Row.__annotations__.keys():
        raise ValueError(f"it must have the keys {', '.join(Measured.__annotations__)}")
    for name, value in row.items():
        may_be_none = name in ("val_loss", "grad_norm") and value is None
        if not may_be_none and (type(value) not in (int, float) or not abs(value) <= sys.float_info.max):
            raise ValueError(f"{name} must be a number")
    if type(row["step"]) is not int or row["step"] < 1:
        raise ValueError("step must be a whole number above 0")
    return cast(Row, row)


class Metrics:
    """Appends rows to metrics.jsonl, each at once. Drops the rows of steps after `step` first: they will be made again."""

    def __init__(self, run: Path, step: int) -> None:
        self._path = path = run / "metrics.jsonl"
        ends = [end for row, end in scan(path) if row["step"] <= step] if files.exists(path) else []
        # Cuts the end off: the rows that stay are not rewritten.
        self._descriptor = files.appender(path, max(ends, default=0))

    def write(self, row: Row) -> None:
        try:
            files.write_all(self._descriptor, (json.dumps(row, allow_nan=False) + "\n").encode())
        except OSError as error:
            error.filename = str(self._path)
            raise

    def __enter__(self) -> Metrics:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
