"""Compares engines in fresh processes that take turns, and returns rows.

It imports only the standard library, since the processes that measure import it too.
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
# What a child measured, by name: {"time_step": {"ms": [31.2, …], "tokens": 768}}. The values beside "ms" go into the
# row; of a list, its median.
Results = dict[str, dict[str, Any]]

BY_TORCH = ("torch", "nanogpt")
SHARED = ("train_step", "ladder", "memory", "scaling", "ranks")  # benchmarks that train
ON_RANKS = ("ranks", "shared-out", "buckets", "one-bucket")  # engines that mpiexec starts, a process for each thread
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
        """The name of a benchmark with its parameters, in the form of asv."""
        threads = f"{self.threads} thread{'s' * (self.threads != 1)}"
        return f"{self.benchmark}.{what}({self.size}, {threads}, {self.engine})"

    def blas_threads(self) -> int:
        """PyTorch uses threads in each operation; tinytensor splits a batch over Python threads with one for BLAS."""
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
        """Operations in the matrix products of a training step: 2 for each pair, once forward and twice backward.

        A block has 12 C² weights and, for each of T positions, two products of C numbers with T others; the head V C.
        """
        L, C, T = self.layers, self.width, self.context
        return 3 * 2 * self.batch * T * (L * (12 * C * C + 2 * T * C) + vocabulary * C)


def timed(step: Callable[[], object], seconds: float = 2.0, warmup: int = 3, least: int = 5, most: int = 400) -> Any:
    """Milliseconds of each call, for about `seconds`, after `warmup` calls that do not count."""
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
    """Measure the case in a fresh process and return its JSON line. If it fails, UserError with its last line."""
    threads = dict.fromkeys(BLAS_THREADS, str(case.blas_threads()))
    command = [sys.executable, "-m", "benchmarks.child", json.dumps(asdict(case))]
    if case.engine in ON_RANKS:
        from gpt.launch import find_mpiexec

        command = [*find_mpiexec(None), "-n", str(case.threads), *command]
    answer: dict[str, Any] = json.loads(run(command, case.threads, case.name("measure"), threads).splitlines()[-1])
    return answer


def run(command: Sequence[str], count: int, name: str, variables: dict[str, str] | None = None) -> str:
    """Run a program on `count` cores and return its output. If it fails, UserError with its last line."""
    with limited_to(count):
        env = {**os.environ, **(variables or {})}
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    if done.returncode:
        raise UserError(
            f"{name} failed: {(done.stderr.strip().splitlines() or [f'exit status {done.returncode}'])[-1]}"
        )
    return done.stdout


def compare(cases: Sequence[Case], repeats: int, tick: Callable[[Case], None]) -> list[Row]:
    """Measure cases that differ in their engine, in turns, `repeats` times. Returns the rows."""
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
    """The rows of all rounds; rounds[r][i] is the answer of case i in round r."""
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
    """One row: the pooled samples of a case, and the other values of its answers."""
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
    """A value beside the samples: that of the last answer; for lists, the median over all answers."""
    values = [answer["results"][what][key] for answer in answers]
    if not isinstance(values[-1], list):
        return values[-1]
    numbers = [x for value in values for x in value]
    return rounded(statistics.median(numbers)) if numbers else None


def ratio(rounds: Sequence[Sequence[dict[str, Any]]], i: int, j: int, what: str) -> float | None:
    """Median over the rounds: the median time of case i ÷ that of case j. Without times, the same of peak memory."""
    found = []
    for answers in rounds:
        ours, theirs = (answers[k]["results"][what].get("ms") or [answers[k]["peak_mib"]] for k in (i, j))
        if None in (*ours, *theirs):
            return None
        found.append(statistics.median(ours) / statistics.median(theirs))
    return rounded(statistics.median(found))


def spread(samples: Sequence[float]) -> float:
    """The distance of the quartiles: half of the samples lie between them."""
    if len(samples) < 2:
        return 0.0
    first, _, third = statistics.quantiles(samples, n=4)
    return third - first


def rounded(x: float) -> float:
    """x, rounded to five digits: the others are noise."""
    return float(f"{x:.5g}")
