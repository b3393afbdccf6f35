"""The time to reach a validation loss: wall time of whole programs, with start-up and evaluation.

    python -m benchmarks.time_to_loss --data shakespeare --threads 2         # some minutes
    python -m benchmarks.time_to_loss --fast "--steps 500" --json FILE

torch                   nanoGPT's CPU recipe: reference_torch.train --recipe nanogpt. The others are compared with it
tinytensor              gpt.train with the flags of --fast: how long does it take to a loss as low as torch's?
tinytensor-same-time    gpt.train with as many steps as fit into the time of torch: how low is the loss?

Two programs never run at once.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.cli import ENGINE, THREADS, TO_TORCH, Benchmark, Column, Options, number
from benchmarks.environment import environment
from benchmarks.harness import Case, Row, run, summarize
from benchmarks.plots import bars
from gpt.errors import UserError

RECIPE = "nanogpt"
FAST = "--context 64 --batch-size 16 --steps 500"
MARGIN = 0.97  # tinytensor-same-time gets this share of torch's time, so that it ends first
LOSS = re.compile(r"validation loss ([0-9.]+)")

Answer = dict[str, Any]


def race(engine: str, flags: Sequence[str], threads: int, folder: Path) -> Answer:
    """Run a program to its end. Returns its wall time, its loss over the whole split, and its number of steps."""
    program = ["reference_torch.train", "--recipe", RECIPE]
    if engine != "torch":
        program = ["gpt.train", "--out", str(folder), "--no-plot"]
    command = [*program, *flags, "--threads", str(threads)]
    name = f"python -m {shlex.join(command)}"
    started = time.perf_counter()
    printed = run([sys.executable, "-m", *command], threads, name)
    seconds = time.perf_counter() - started
    found = LOSS.search(printed)
    if found is None:
        raise UserError(f"{name} printed no validation loss")
    told = " ".join(without(flags, "--data"))  # the path of the text stays private
    result: Answer = {"ms": [seconds * 1e3], "seconds": [seconds], "loss": [float(found[1])], "flags": told}
    if engine != "torch":
        last_row = json.loads((folder / "metrics.jsonl").read_text("utf-8").splitlines()[-1])
        result |= {"steps": last_row["step"], "training_seconds": last_row["seconds"]}
    return {"results": {"time_to_loss": result}, "peak_mib": None, "environment": environment()}


def without(flags: Sequence[str], name: str) -> list[str]:
    """The flags without the one of that name and its value."""
    at = flags.index(name) if name in flags else len(flags)
    return [*flags[:at], *flags[at + 2 :]]


def steps_within(seconds: float, run: Answer) -> int:
    """The number of steps of a program like `run` in that time, with its start-up and evaluation."""
    result = run["results"]["time_to_loss"]
    besides = result["ms"][0] / 1e3 - result["training_seconds"]
    return max(1, int((MARGIN * seconds - besides) / (result["training_seconds"] / result["steps"])))


class TimeToLoss(Benchmark):
    """Whole programs take turns; the third runs for the time of the first."""

    def add_flags(self, parser: Any) -> None:
        parser.add_argument("--data", metavar="TEXT", help="the text, as for gpt.train (default: gpt.train's)")
        parser.add_argument(
            "--fast", metavar="FLAGS", default=FAST, help=f"the flags of tinytensor's run (default: {FAST!r})"
        )

    def run(self, options: Options, tick: Callable[[Case], None]) -> list[Row]:
        if "tinytensor-same-time" in options.engines and {"torch", "tinytensor"} - {*options.engines}:
            raise UserError(
                "--engines tinytensor-same-time takes the time of torch and the speed of tinytensor: add both"
            )
        engines = [engine for engine in self.engines if engine in options.engines]
        rows = []
        for threads in options.threads:
            cases = [Case(self.name, RECIPE, engine, threads) for engine in engines]
            rounds = [self._round(cases, options, tick) for _ in range(options.repeats)]
            rows += summarize(cases, rounds)
        return rows

    def _round(self, cases: Sequence[Case], options: Options, tick: Callable[[Case], None]) -> list[Answer]:
        from gpt.corpus import name_of

        text = options.given["data"]
        shared = ["--data", name_of(text)] if text else []
        answers: dict[str, Answer] = {}
        for case in cases:
            flags = shlex.split(options.given["fast"])
            if case.engine == "torch":
                flags = []
            elif case.engine == "tinytensor-same-time":
                limit = answers["torch"]["results"]["time_to_loss"]["ms"][0] / 1e3
                flags = [*without(flags, "--steps"), "--steps", str(steps_within(limit, answers["tinytensor"]))]
            with tempfile.TemporaryDirectory() as folder:
                answers[case.engine] = race(case.engine, [*shared, *flags], case.threads, Path(folder) / "run")
            tick(case)
        return list(answers.values())


BENCHMARK = TimeToLoss(
    name="time_to_loss",
    text=__doc__,
    engines=("torch", "tinytensor", "tinytensor-same-time"),
    threads=(2,),
    sizes=(),
    check_size=str,
    repeats=1,
    columns=(
        Column("recipe", lambda row: row["size"] if row["engine"] == "torch" else row["flags"], left=True),
        THREADS,
        ENGINE,
        number("seconds", "seconds", ".1f"),
        number("validation loss", "loss", ".4f"),
        TO_TORCH,
    ),
    draw=bars("seconds, whole program", "seconds"),
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
