"""How engines are compared: in fresh processes that take turns, with rows as the result.

Imports the standard library alone, since the processes that measure import it as well.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any

from benchmarks.environment import ROOT, cores, limited_to, load
from gpt.errors import UserError

Row = dict[str, Any]
# What a child measured, by name: {"time_step": {"ms": [31.2, …], "tokens": 768}}. What is beside "ms" goes into the row,
# and of lists the median.
Results = dict[str, dict[str, Any]]

BY_TORCH = ("torch", "nanogpt")
SHARED = ("train_step", "ladder", "memory", "scaling")  # what trains
BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


@dataclass(frozen=True)
class Case:
    """What one process measures: `measure` of the module benchmarks.<benchmark> is called with it."""

    benchmark: str
    size: str
    engine: str
    threads: int
    dtype: str = "float32"

    def name(self, what: str) -> str:
        """asv's way to name a benchmark with its parameters."""
        threads = f"{self.threads} thread{'s' * (self.threads != 1)}"
        return f"{self.benchmark}.{what}({self.size}, {threads}, {self.engine})"

    def blas_threads(self) -> int:
        """PyTorch has threads in every operation; a batch in tinytensor is shared by Python threads, with one for BLAS."""
        return 1 if self.engine != "torch" and self.benchmark in SHARED else self.threads


@dataclass(frozen=True)
class Size:
    """A model and a batch: layers,heads,width,context,batch."""

    layers: int
    heads: int
    width: int
    context: int
    batch: int

    @classmethod
    def parse(cls, text: str) -> Size:
        """The five numbers; UserError says what is wrong with them."""
        numbers = text.split(",")
        if len(numbers) != 5 or not all(n.isdecimal() and int(n) for n in numbers):
            raise UserError(f"--sizes {text}: a size is layers,heads,width,context,batch, such as 4,4,128,64,12")
        size = cls(*map(int, numbers))
        if size.width % size.heads:
            raise UserError(f"--sizes {text}: {size.heads} heads do not divide a width of {size.width}")
        return size

    def __str__(self) -> str:
        return f"{self.layers},{self.heads},{self.width},{self.context},{self.batch}"

    def flops(self, vocabulary: int = 65) -> float:
        """Of a training step's matrix products: 2 a multiplication and addition, forward once and backward twice.

        A block has 12 C² weights and, for each of T positions, two products of C numbers with T others; the head V C.
        """
        L, C, T = self.layers, self.width, self.context
        return 3 * 2 * self.batch * T * (L * (12 * C * C + 2 * T * C) + vocabulary * C)


def timed(step: Callable[[], object], seconds: float = 2.0, warmup: int = 3, least: int = 5, most: int = 400) -> Any:
    """Milliseconds of every call, over about so many seconds, after a few that do not count."""
    for _ in range(warmup):
        step()
    samples: list[float] = []
    end = time.perf_counter() + seconds
    while len(samples) < least or (len(samples) < most and time.perf_counter() < end):
        started = time.perf_counter()
        step()
        samples.append((time.perf_counter() - started) * 1e3)
    return samples


def child(case: Case) -> dict[str, Any]:
    """The JSON line of a fresh process that measures the case; UserError with its last words if it fails."""
    threads = dict.fromkeys(BLAS_THREADS, str(case.blas_threads()))
    command = [sys.executable, "-m", "benchmarks.child", json.dumps(asdict(case))]
    answer: dict[str, Any] = json.loads(run(command, case.threads, case.name("measure"), threads).splitlines()[-1])
    return answer


def run(command: Sequence[str], count: int, name: str, variables: dict[str, str] | None = None) -> str:
    """What a program prints that may use so many cores; UserError with its last words if it fails."""
    with limited_to(count):
        env = {**os.environ, **(variables or {})}
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    if done.returncode:
        raise UserError(
            f"{name} failed: {(done.stderr.strip().splitlines() or [f'exit status {done.returncode}'])[-1]}"
        )
    return done.stdout


def compare(cases: Sequence[Case], repeats: int, tick: Callable[[Case], None]) -> list[Row]:
    """Measure cases that differ in their engine, in turns, `repeats` times; the rows of all that they measured."""
    if find_spec("torch") is None and any(case.engine in BY_TORCH for case in cases):
        raise UserError("PyTorch is not installed: pip install torch, or leave it out with --engines tinytensor")
    busy = load()
    rounds = []
    for _ in range(repeats):
        answers = []
        for case in cases:
            answers.append(child(case))
            tick(case)
        rounds.append(answers)
    return [{**row, "load": busy} for row in summarize(cases, rounds)]


def summarize(cases: Sequence[Case], rounds: Sequence[Sequence[dict[str, Any]]]) -> list[Row]:
    """Rows of the samples of all rounds; rounds[r][i] is what case i answered in round r."""
    rows = []
    for i, case in enumerate(cases):
        for what in rounds[0][i]["results"]:
            ratios = {
                other.engine: ratio(rounds, i, j, what)
                for j, other in enumerate(cases)
                if j != i and what in rounds[0][j]["results"]
            }
            rows.append(row(case, what, [answers[i] for answers in rounds], ratios))
    return rows


def row(case: Case, what: str, answers: Sequence[dict[str, Any]], ratios: dict[str, float | None]) -> Row:
    """One row: the pooled samples of a case, and what else its last answer had to say."""
    samples = [ms for answer in answers for ms in answer["results"][what].get("ms", ())]
    peaks = [answer["peak_mib"] for answer in answers if answer["peak_mib"] is not None]
    extra = {key: pooled(key, what, answers) for key in answers[-1]["results"][what] if key != "ms"}
    return {
        "name": case.name(what),
        **asdict(case),
        "median_ms": rounded(statistics.median(samples)) if samples else None,
        "min_ms": rounded(min(samples)) if samples else None,
        "spread_ms": rounded(spread(samples)) if samples else None,
        "ratio_to_torch": ratios.get("torch"),
        "peak_mib": max(peaks) if peaks else None,
        "ratios": ratios,
        "samples": len(samples),
        "rounds": len(answers),
        **extra,
        "environment": {**answers[-1]["environment"], "cores": cores()},
    }


def pooled(key: str, what: str, answers: Sequence[dict[str, Any]]) -> Any:
    """What the answers have beside their samples: the last one's; of lists, the median of all that is in them."""
    values = [answer["results"][what][key] for answer in answers]
    if not isinstance(values[-1], list):
        return values[-1]
    return rounded(statistics.median([x for value in values for x in value]))


def ratio(rounds: Sequence[Sequence[dict[str, Any]]], i: int, j: int, what: str) -> float | None:
    """The median over rounds of case i's median time ÷ case j's; of peak memory where nothing was timed."""
    found = []
    for answers in rounds:
        ours, theirs = (answers[k]["results"][what].get("ms") or [answers[k]["peak_mib"]] for k in (i, j))
        if None in (*ours, *theirs):
            return None
        found.append(statistics.median(ours) / statistics.median(theirs))
    return rounded(statistics.median(found))


def spread(samples: Sequence[float]) -> float:
    """How far apart the quartiles are: half of the samples lie in between."""
    if len(samples) < 2:
        return 0.0
    first, _, third = statistics.quantiles(samples, n=4)
    return third - first


def rounded(x: float) -> float:
    """To five digits: what follows is noise, and long in a file."""
    return float(f"{x:.5g}")
