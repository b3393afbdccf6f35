"""Growth of the time and memory of a training step with width, depth, context and batch.

    python -m benchmarks.scaling --plot scaling.png --json scaling.jsonl
    python -m benchmarks.scaling --sizes 4,4,128,64,12 4,4,256,64,12 4,4,512,64,12

The first size is the base; every other one differs from it in one number. For each number, cost ~ size^p: p is fitted
to the measurements by least squares of the logarithms, and compared with the p of the same fit to the work. The time is
the minimum of the samples, since other work on the machine changes it least.

    products  6 B T (L (12 C² + 2 T C) + V C)                  2 a multiplication and addition, three passes
    bytes     4 (4 P + B T (L (16 C + H T) + 2 V)),            P ≈ 12 L C² parameters, each with gradient and two moments,
                                                              and what the backward of a block needs

Memory is the peak of the process minus its peak after a step of a tiny model.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.cli import ENGINE, MEDIAN, PEAK, SIZE, THREADS, TO_TORCH, Benchmark, Column, number
from benchmarks.environment import peak_mib
from benchmarks.harness import Case, Results, Row, Size, timed
from benchmarks.plots import colour, figure, save
from benchmarks.train_step import ENGINES, VOCABULARY

NUMBERS = {"width": "width", "layers": "depth", "context": "context", "batch": "batch"}
BASE = Size(4, 4, 128, 64, 12)
GROWN = {"width": (64, 256, 512), "layers": (1, 2, 8), "context": (32, 128, 256), "batch": (3, 6, 24)}
SIZES = [BASE, *(replace(BASE, **{name: n}) for name, values in GROWN.items() for n in values)]
COSTS = {"time": "min_ms", "memory": "growth_mib"}


def measure(case: Case) -> Results:
    engine, size = ENGINES[case.engine], Size.parse(case.size)
    with engine(Size(1, 1, 8, 8, case.threads), case.threads) as step:
        step()
    before = peak_mib()
    with engine(size, case.threads) as step:
        samples = timed(step)
    after = peak_mib()
    growth = None if before is None or after is None else after - before
    return {"time_step": {"ms": samples, "growth_mib": growth, "flops": size.flops(), "bytes": memory(size)}}


def memory(size: Size) -> float:
    """The bytes of a step in float32, by the formula above."""
    L, H, C, T, B = size.layers, size.heads, size.width, size.context, size.batch
    parameters = 12 * L * C * C + (2 * VOCABULARY + T) * C
    return 4.0 * (4 * parameters + B * T * (L * (16 * C + H * T) + 2 * VOCABULARY))


def exponent(xs: Sequence[float], ys: Sequence[float]) -> float:
    """p of y ~ x^p, by least squares of the logarithms."""
    u, v = [math.log(x) for x in xs], [math.log(y) for y in ys]
    mean_u, mean_v = sum(u) / len(u), sum(v) / len(v)
    return sum((a - mean_u) * (b - mean_v) for a, b in zip(u, v)) / sum((a - mean_u) ** 2 for a in u)


def along(rows: Sequence[Row], name: str, engine: str) -> list[tuple[int, Row]]:
    """The rows of the engine whose size differs from that of the first row only in that number, by that number."""
    base = asdict(Size.parse(rows[0]["size"]))
    threads = rows[0]["threads"]
    found = []
    for row in rows:
        size = asdict(Size.parse(row["size"]))
        if row["engine"] == engine and row["threads"] == threads and {**size, name: 0} == {**base, name: 0}:
            found.append((size[name], row))
    return sorted(found, key=lambda pair: pair[0])


def fits(rows: Sequence[Row]) -> list[Row]:
    """A row for each number, engine and cost: the fitted exponent and the expected one."""
    expected: dict[str, Callable[[Size], float]] = {"time": Size.flops, "memory": memory}
    found = []
    for name, called in NUMBERS.items():
        for engine in dict.fromkeys(row["engine"] for row in rows):
            points = along(rows, name, engine)
            for cost, key in COSTS.items():
                kept = [(n, row) for n, row in points if row[key]]
                if len(kept) < 2:
                    continue
                xs = [n for n, _ in kept]
                formula = [expected[cost](Size.parse(row["size"])) for _, row in kept]
                found.append({
                    "number": called, "name": name, "engine": engine, "cost": cost,
                    "fitted": exponent(xs, [row[key] for _, row in kept]), "expected": exponent(xs, formula),
                })  # fmt: skip
    return found


def draw(rows: Sequence[Row], path: Path) -> None:
    """Time above, memory below, against each number, both axes logarithmic; the exponents in the legends."""
    made, exponents = figure(11, 5.5), {(f["name"], f["engine"], f["cost"]): f for f in fits(rows)}
    engines = list(dict.fromkeys(row["engine"] for row in rows))
    grid = made.subplots(2, len(NUMBERS), sharey="row")
    for axes_of_cost, (cost, key) in zip(grid, COSTS.items(), strict=True):
        for axes, (name, called) in zip(axes_of_cost, NUMBERS.items(), strict=True):
            for engine in engines:
                fit = exponents.get((name, engine, cost))
                points = [(n, row[key]) for n, row in along(rows, name, engine) if row[key]]
                if fit and points:
                    label = f"{engine} {fit['fitted']:.2f}"
                    axes.plot(*zip(*points), "o-", color=colour(engine, engines), label=label, markersize=4)
            _finish(axes, called, [n for n, _ in along(rows, name, engines[0])])
            expected = [f["expected"] for f in exponents.values() if (f["name"], f["cost"]) == (name, cost)]
            if expected:
                axes.legend(title=f"exponent, expected {expected[0]:.2f}", frameon=False, fontsize=8, title_fontsize=8)
        axes_of_cost[0].set_ylabel("step, least milliseconds" if cost == "time" else "memory, MiB")
    save(made, path)


def _finish(axes: Any, called: str, ticks: Sequence[int]) -> None:
    from matplotlib.ticker import LogLocator

    axes.set(xscale="log", yscale="log", xlabel=called)
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.minorticks_off()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.spines[["top", "right"]].set_visible(False)


FITS = (
    Column("cost", lambda row: row["cost"], left=True),
    Column("against", lambda row: row["number"], left=True),
    ENGINE,
    number("exponent", "fitted"),
    number("expected", "expected"),
)

BENCHMARK = Benchmark(
    name="scaling",
    text=__doc__,
    engines=("tinytensor", "torch"),
    threads=(1,),
    sizes=tuple(map(str, SIZES)),
    check_size=Size.parse,
    repeats=1,
    columns=(SIZE, THREADS, ENGINE, MEDIAN, number("memory MiB", "growth_mib", ".0f"), PEAK, TO_TORCH),
    draw=draw,
    more=lambda rows: (fits(rows), FITS),
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
