"""Every primitive of the table, forward and backward, compared with PyTorch and with the limits of the machine.

    python -m benchmarks.ops
    python -m benchmarks.ops --engines tinytensor --repeats 1

The primitives of a training step have their sizes there; the others work on 1024 × 1024 numbers. Pairs of tinytensor
run without the tape, the backward of PyTorch runs by torch.autograd.grad. PyTorch takes large results from the system
each time, its default; NumPy keeps freed memory, as gpt.train tells it to.

MB           bytes that have to be moved: inputs, outputs, saved arrays, and gradients, each once
in the step  the number of calls in a training step, and their share of its time, forward and backward
÷ limit      time as a multiple of the shortest possible time: the larger of bytes ÷ the speed of a copy of so many
             bytes, and operations ÷ the speed of a large product; both speeds are measured first
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.cli import TO_TORCH, Benchmark, Column, number
from benchmarks.harness import Case, Results, Row, Size
from benchmarks.plots import COLOURS, figure, save
from benchmarks.train_step import tinytensor_step
from gpt.errors import UserError

SECONDS = 0.1  # for each primitive
Pair = tuple[list[float], list[float]]  # milliseconds of forward and of backward


@dataclass(frozen=True)
class Limits:
    """Limits of this machine: bytes per second by the number of bytes, and float32 operations per second."""

    bandwidth: dict[int, float]
    flops: float

    def milliseconds(self, moved: float, flops: float) -> float:
        nearest = min(self.bandwidth, key=lambda size: abs(size - moved))
        return 1e3 * max(moved / self.bandwidth[nearest], flops / self.flops)


def measure_limits() -> Limits:
    """Copies that fit into each level of the caches, and one product of 1024 × 1024 matrices: the best of several."""
    import numpy as np

    bandwidth = {}
    for power in range(14, 28):
        source = np.ones(2**power // 8, np.float32)  # read and written: 2^power bytes
        target = np.empty_like(source)
        bandwidth[2**power] = 2**power / best(lambda a=target, b=source: np.copyto(a, b))  # type: ignore[misc]
    a = np.ones((1024, 1024), np.float32)
    return Limits(bandwidth, 2 * 1024**3 / best(lambda: a @ a))


def best(function: Callable[[], object], seconds: float = 0.03) -> float:
    """The time of the shortest call, out of calls for about `seconds`."""
    shortest, end = float("inf"), time.perf_counter() + seconds
    while shortest == float("inf") or time.perf_counter() < end:
        started = time.perf_counter()
        function()
        shortest = min(shortest, time.perf_counter() - started)
    return shortest


def timed_pair(forward: Callable[[], Any], backward: Callable[[Any], object]) -> Pair:
    """Milliseconds of forward, and of backward(result of forward), call by call."""
    times: Pair = ([], [])
    end = time.perf_counter() + SECONDS
    while len(times[0]) < 5 or time.perf_counter() < end:
        a = time.perf_counter()
        made = forward()
        b = time.perf_counter()
        backward(made)
        c = time.perf_counter()
        del made
        times[0].append((b - a) * 1e3)
        times[1].append((c - b) * 1e3)
    return times[0][2:], times[1][2:]  # the first two use cold memory


def tinytensor_pair(primitive: Any, call: Any) -> tuple[Pair, tuple[int, int]]:
    """The times of the pair, and the bytes that each has to move: none for a view, or a gradient that is dy itself."""
    import numpy as np

    from tinytensor.writes import arrays_in

    arrays, static = call.arrays, call.static
    y, saved = primitive.forward(*arrays, **static)
    dy = tuple(map(np.ones_like, y)) if isinstance(y, tuple) else np.ones_like(y)
    out, into = list(arrays_in((y,))), list(arrays_in((dy,)))
    made = unique_bytes(out, without=arrays)
    gradients = unique_bytes(primitive.backward(dy, *saved), without=into)
    moved = made and unique_bytes(arrays) + made, gradients and unique_bytes([*arrays_in(saved), *into]) + gradients
    times = timed_pair(lambda: primitive.forward(*arrays, **static), lambda made: primitive.backward(dy, *made[1]))
    return times, moved


def unique_bytes(arrays: Any, without: Any = ()) -> int:
    """The bytes of the arrays, shared memory once; without memory that the others share."""
    from tinytensor.writes import owner

    sizes = {id(owner(a)): a.nbytes for a in arrays if hasattr(a, "nbytes")}
    others = {id(owner(a)) for a in without if hasattr(a, "nbytes")}
    return sum(size for key, size in sizes.items() if key not in others)


def torch_pair(torch: Any, call: Any) -> Pair:
    xs = [None if a is None else torch.from_numpy(a).requires_grad_() for a in call.arrays]
    wanted = [x for x in xs if x is not None]
    y = call.torch(torch, *xs)
    dy = [torch.ones_like(part) for part in y] if isinstance(y, tuple) else torch.ones_like(y)
    return timed_pair(lambda: call.torch(torch, *xs), lambda made: torch.autograd.grad(made, wanted, dy))


def measure(case: Case) -> Results:
    size = Size.parse(case.size)
    return {"torch": measure_torch, "tinytensor": measure_tinytensor}[case.engine](size, case.threads)


def measure_torch(size: Size, threads: int) -> Results:
    import torch
    from benchmarks.calls import calls

    torch.set_num_threads(threads)
    found: Results = {}
    for name, call in calls(size).items():
        found[f"time_{name}"] = {"primitive": name, **both(torch_pair(torch, call))}
    return found


def measure_tinytensor(size: Size, threads: int) -> Results:
    import numpy as np

    from benchmarks.calls import calls, table
    from tinytensor.buffers import keep_freed_memory

    keep_freed_memory()
    limits, step = measure_limits(), recorded_step(size)
    primitives, rows = table(), calls(size)
    if missing := primitives.keys() - rows.keys():
        raise UserError(f"benchmarks/calls.py has no call of {', '.join(sorted(missing))}: add a row")
    found: Results = {}
    for name, primitive in primitives.items():
        call = rows[name]
        with np.errstate(all="ignore"):
            times, moved = tinytensor_pair(primitive, call)
        limit = sum(limits.milliseconds(n, k * call.flops) for n, k in zip(moved, (1, 2), strict=True))
        count, share = step.pop(name, (0, 0.0))
        found[f"time_{name}"] = {
            "primitive": name, **both(times), "bytes": sum(moved), "flops": 3 * call.flops, "limit_ms": [limit],
            "ratio_to_limit": [ms / limit for ms in both(times)["ms"]] if limit else None,
            "calls_in_step": count, "share_of_step": [share],
        }  # fmt: skip
    for name, (count, share) in step.items():  # the rest of the step
        found["track_everything_else"] = {"primitive": name, "calls_in_step": count, "share_of_step": [share]}
    return found


def both(times: Pair) -> dict[str, Any]:
    return {"ms": [a + b for a, b in zip(*times, strict=True)], "forward_ms": times[0], "backward_ms": times[1]}


def recorded_step(size: Size, steps: int = 10) -> dict[str, tuple[int, float]]:
    """For each primitive of a training step, the number of calls and the share of the time; and the rest."""
    from benchmarks.calls import table

    spent: dict[str, float] = defaultdict(float)
    counts: dict[str, int] = defaultdict(int)

    def clocked(name: str, function: Callable[..., Any], count: int) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                spent[name] += time.perf_counter() - started
                counts[name] += count

        return call

    primitives = table()
    pairs = {name: (p.forward, p.backward) for name, p in primitives.items()}
    with tinytensor_step(size, 1) as step:
        for _ in range(3):
            step()
        try:
            for name, p in primitives.items():
                p.forward, p.backward = clocked(name, p.forward, 1), clocked(name, p.backward, 0)
            started = time.perf_counter()
            for _ in range(steps):
                step()
            total = time.perf_counter() - started
        finally:
            for name, p in primitives.items():
                p.forward, p.backward = pairs[name]
    shares = {name: (counts[name] // steps, spent[name] / total) for name in spent}
    return {**shares, "tape, batch, clipping, AdamW": (0, 1 - sum(share for _, share in shares.values()))}


def draw(rows: Sequence[Row], path: Path) -> None:
    """The time of each primitive ÷ that of PyTorch, on a logarithmic axis; primitives of the step in colour."""
    ours = [row for row in rows if row["engine"] == "tinytensor" and row["ratio_to_torch"] is not None]
    ours.sort(key=lambda row: float(row["ratio_to_torch"]))
    made = figure(8, 1 + 0.19 * len(ours))
    axes = made.add_subplot()
    for y, row in enumerate(ours):
        used, ratio = row["calls_in_step"] > 0, row["ratio_to_torch"]
        axes.barh(y, ratio - 1, left=1, color=COLOURS["tinytensor" if used else "matmul"], height=0.8)
        axes.annotate(f" {ratio:.2f} ", (ratio, y), va="center", ha="left" if ratio > 1 else "right", fontsize=7)
    axes.set_yticks(range(len(ours)), [row["primitive"] for row in ours], fontsize=8)
    axes.set(xscale="log", xlabel="time, forward and backward, as a multiple of PyTorch's (blue: in the training step)")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.margins(x=0.1, y=0.01)
    axes.spines[["top", "right"]].set_visible(False)
    save(made, path)


def step_cell(row: Row) -> str:
    count, share = row.get("calls_in_step"), row.get("share_of_step")
    return f"{count or '':>3} {100 * share:5.1f} %" if share else ""


BENCHMARK = Benchmark(
    name="ops",
    text=__doc__,
    engines=("tinytensor", "torch"),
    threads=(1,),
    sizes=("4,4,128,64,12",),
    check_size=Size.parse,
    repeats=3,
    columns=(
        Column("primitive", lambda row: row["primitive"], left=True),
        number("forward ms", "forward_ms", ".3f"),
        number("backward ms", "backward_ms", ".3f"),
        Column("MB", lambda row: f"{row['bytes'] / 1e6:.2f}" if row.get("bytes") else ""),
        Column("in the step", step_cell),
        TO_TORCH,
        number("÷ limit", "ratio_to_limit", ".1f"),
    ),
    draw=draw,
    shown=lambda row: row["engine"] == "tinytensor",
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
