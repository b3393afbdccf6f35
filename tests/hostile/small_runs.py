"""Small runs for the programs of tests/hostile: made in a moment, and commands called in this process."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gpt import doctor, evaluate, generate, train

TEXT = "It was the best of times, it was the worst of times, it was the age of wisdom. " * 12
FLAGS = [
    "--width=8", "--context=8", "--batch-size=4", "--warmup=2", "--eval-every=2",
    "--eval-windows=4", "--threads=1", "--no-plot", "--quiet",
]  # fmt: skip
GPT = ["--layers=1", "--heads=2"]
COMMANDS: dict[str, Callable[..., int]] = {
    "gpt.train": train.main, "gpt.generate": generate.main, "gpt.evaluate": evaluate.main,
    "gpt.doctor": doctor.main,
}  # fmt: skip
# In memory where there is such a folder: these programs save thousands of times, and a disk makes each save wait.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
TIMES = {"seconds", "tokens_per_second"}  # what differs between two runs of the same steps


class Said(NamedTuple):
    """What a command returned and printed."""

    status: int
    out: str
    err: str


def call(command: str, line: Sequence[str]) -> Said:
    """Call a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = COMMANDS[command]([str(word) for word in line])
    return Said(status, out.getvalue(), err.getvalue())


def made(folder: Path, text: Path, *line: str) -> Path:
    """Train a small run on the text in that folder."""
    text.write_text(TEXT)
    said = call("gpt.train", [*FLAGS, "--data", str(text), "--out", str(folder), *line])
    assert said == Said(0, "", ""), said
    return folder


def arrays_of(run: Path) -> dict[str, bytes]:
    """The content of every file of arrays in the run folder."""
    return {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.rglob("*.safetensors"))}


def rows_of(run: Path) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl without the times."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]
