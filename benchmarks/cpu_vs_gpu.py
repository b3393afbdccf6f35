"""The training step and every primitive, on the CPU and on a GPU: at which size does the GPU become faster?

    python -m benchmarks.cpu_vs_gpu
    python -m benchmarks.cpu_vs_gpu --quick
    python -m benchmarks.cpu_vs_gpu --repeats 3 --json benchmarks/results/cpu_vs_gpu.jsonl --plot cpu_vs_gpu.png

cpu    tinytensor on NumPy, with --threads threads
gpu    the same on CuPy, with the fused kernels of tinytensor.cuda
graph  the step again, replayed as a CUDA graph; no primitives
torch  PyTorch on the same GPU, where it has CUDA

The first size is the base; every other one differs from it in its width or its batch. Primitives run forward and
backward without the tape, on arrays of the step's sizes, or on as many numbers as an activation of that step has. CUDA
events between calls time a GPU. They are read when the last call has ended, so the host launches ahead, as in training.

from    the width or batch at which the GPU becomes faster, interpolated in logarithms between two sizes
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks import roofline
from benchmarks.cli import ENGINE, MEDIAN, MIN, SIZE, SPREAD, TO_TORCH, Benchmark, Column, Options, parse, ratio_to
from benchmarks.harness import Case, Results, Row, Size, timed
from benchmarks.plots import COLOURS, OTHERS, figure, save
from benchmarks.scaling import along
from benchmarks.train_step import tinytensor_step, torch_step
from gpt.errors import UserError

BASE = Size(4, 4, 128, 64, 12)
GROWN = {"width": (32, 64, 256, 512, 1024), "batch": (1, 4, 48, 192)}
SIZES = tuple(map(str, [BASE, *(replace(BASE, **{name: n}) for name, ns in GROWN.items() for n in ns)]))
QUICK = tuple(str(replace(BASE, width=width)) for width in (128, 32, 512))
SECONDS = {"time_step": 2.0, "primitive": 0.1}
GROUP = 20  # calls between two waits for the GPU
ENGINE_COLOURS = {"cpu": COLOURS["matmul"], "gpu": COLOURS["tinytensor"], "graph": OTHERS[0], "torch": COLOURS["torch"]}
EMULATED = "emulated"  # what the emulator of tests/emulated calls its device


def timed_on_gpu(step: Callable[[], object], cuda: Any, seconds: float = 2.0, warmup: int = 3) -> list[float]:
    """Milliseconds from the end of one call to the end of the next, by events of torch.cuda or tinytensor.cuda."""
    for _ in range(warmup):
        step()
    samples: list[float] = []
    end = time.perf_counter() + seconds
    while not samples or time.perf_counter() < end:
        cuda.synchronize()
        events = [cuda.Event(enable_timing=True) for _ in range(GROUP + 1)]
        events[0].record()
        for event in events[1:]:
            step()
            event.record()
        cuda.synchronize()
        samples += [before.elapsed_time(after) for before, after in pairwise(events)]
    return samples


class OnGpu:
    """The module torch for a Call: from_numpy moves its arrays to the GPU, each once."""

    def __init__(self, torch: Any) -> None:
        self.torch = torch
        self.moved: dict[int, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.torch, name)

    def from_numpy(self, array: Any) -> Any:
        return self.moved.setdefault(id(array), self.torch.from_numpy(array).cuda())


def numbers(size: Size) -> int:
    """n, a multiple of 4, so that n × n is about the number of elements of an activation."""
    return 4 * max(2, round(math.sqrt(size.batch * size.context * size.width) / 4))


def primitives(case: Case) -> Iterator[tuple[str, Callable[[], object]]]:
    """The name of each primitive, and a function that runs it forward and backward for the engine of the case."""
    from benchmarks.calls import calls, table

    size = Size.parse(case.size)
    prepare = {"cpu": _pair, "gpu": _pair_on_gpu, "torch": _pair_of_torch}[case.engine]
    for name, call in calls(size, numbers(size)).items():
        yield name, prepare(table()[name], call)


def _pair(primitive: Any, call: Any) -> Callable[[], object]:
    from tinytensor.backend import array_module

    def ones(y: Any) -> Any:
        return tuple(map(ones, y)) if isinstance(y, tuple) else array_module(y).ones_like(y)

    dy = ones(primitive.forward(*call.arrays, **call.static)[0])
    return lambda: primitive.backward(dy, *primitive.forward(*call.arrays, **call.static)[1])


def _pair_on_gpu(primitive: Any, call: Any) -> Callable[[], object]:
    from tinytensor.cuda.fused import replacement

    moved = replace(call, arrays=to_gpu(call.arrays), static=to_gpu(call.static))
    return _pair(replacement(primitive, moved.arrays, moved.static), moved)


def to_gpu(x: Any) -> Any:
    """x, with every array in it on the GPU."""
    import numpy as np

    from tinytensor.devices import to_device

    if isinstance(x, np.ndarray):
        return to_device(x, "cuda")
    if isinstance(x, dict):
        return {key: to_gpu(value) for key, value in x.items()}
    return type(x)(map(to_gpu, x)) if isinstance(x, (list, tuple)) else x


def _pair_of_torch(primitive: Any, call: Any) -> Callable[[], object]:
    import torch

    module = OnGpu(torch)
    xs = [None if a is None else module.from_numpy(a).requires_grad_() for a in call.arrays]
    wanted = [x for x in xs if x is not None]
    y = call.torch(module, *xs)
    dy = [torch.ones_like(part) for part in y] if isinstance(y, tuple) else torch.ones_like(y)
    return lambda: torch.autograd.grad(call.torch(module, *xs), wanted, dy)


@contextmanager
def training(case: Case) -> Iterator[Callable[[], object]]:
    """A function that runs the next training step of the engine."""
    size = Size.parse(case.size)
    if case.engine == "torch":
        engine = torch_step(size, 1, "cuda")
    elif case.engine == "cpu":
        engine = tinytensor_step(size, case.threads)
    else:
        engine = tinytensor_step(size, 1, "cuda", cuda_graph=case.engine == "graph")
    with engine as step:
        yield step


def measure(case: Case) -> Results:
    import numpy as np

    def time_it(call: Callable[[], object], seconds: float) -> Any:
        if case.engine == "cpu":
            return timed(call, seconds)
        return timed_on_gpu(call, import_module("torch" if case.engine == "torch" else "tinytensor").cuda, seconds)

    with training(case) as step:
        found: Results = {"time_step": {"ms": time_it(step, SECONDS["time_step"])}}
    if case.engine == "graph":
        return found
    with np.errstate(all="ignore"):
        for name, call in primitives(case):
            found[f"time_{name}"] = {"ms": time_it(call, SECONDS["primitive"]), "primitive": name}
    return found


def crossover(points: Sequence[tuple[float, float, float]]) -> float:
    """The size at which the GPU becomes faster; 0 if it always is, inf if not even at the largest size.

    points: (size, time of the CPU, time of the GPU), by size. Between the last size at which the GPU is slower and the
    next, the logarithm of the ratio is interpolated linearly in the logarithm of the size.
    """
    ratios = [math.log(cpu / gpu) for _, cpu, gpu in points]
    lost = [i for i, ratio in enumerate(ratios) if ratio <= 0]
    if not lost:
        return 0.0
    last = lost[-1]
    if last == len(points) - 1:
        return math.inf
    share = -ratios[last] / (ratios[last + 1] - ratios[last])
    a, b = math.log(points[last][0]), math.log(points[last + 1][0])
    return math.exp(a + share * (b - a))


def crossovers(rows: Sequence[Row]) -> list[Row]:
    """A row for the step and each primitive, against the width and the batch."""
    found = []
    for what in dict.fromkeys(row["name"].partition("(")[0] for row in rows):
        mine = [row for row in rows if row["name"].startswith(what + "(")]
        for number in GROWN:
            cpu, gpu = (dict(along(mine, number, engine)) for engine in ("cpu", "gpu"))
            points = [(n, cpu[n]["median_ms"], gpu[n]["median_ms"]) for n in sorted(cpu.keys() & gpu.keys())]
            if len(points) > 1:
                found.append({
                    "what": what.partition("time_")[2], "number": number, "from": crossover(points), "largest": points[-1][0],
                    "faster": points[-1][1] / points[-1][2],
                })  # fmt: skip
    return found


def from_cell(row: Row) -> str:
    if row["from"] == 0:
        return "all"
    return f"> {row['largest']}" if row["from"] == math.inf else f"{row['from']:.0f}"


def draw(rows: Sequence[Row], path: Path) -> None:
    """Above, the time of a step against width and batch; below, the gain of each primitive at the largest width."""
    steps = [row for row in rows if row["name"].startswith("cpu_vs_gpu.time_step(")]
    gains = [row for row in crossovers(rows) if row["number"] == "width" and row["what"] != "step"]
    gains.sort(key=lambda row: float(row["faster"]))
    made = figure(9, 4 + 0.17 * len(gains))
    above, below = made.subfigures(2, 1, height_ratios=(4, 0.17 * len(gains) + 0.5))
    for axes, number in zip(above.subplots(1, len(GROWN)), GROWN, strict=True):
        for engine in dict.fromkeys(row["engine"] for row in steps):
            points = [(n, row["median_ms"]) for n, row in along(steps, number, engine)]
            if points:
                axes.plot(*zip(*points, strict=True), "o-", color=ENGINE_COLOURS[engine], label=engine, markersize=4)
                axes.set_xticks([n for n, _ in points], [str(n) for n, _ in points])
        axes.set(xscale="log", yscale="log", xlabel=number, ylabel="milliseconds for a training step")
        axes.minorticks_off()
        axes.legend(frameon=False, fontsize=8)
    axes = below.subplots()
    for y, row in enumerate(gains):
        axes.barh(y, row["faster"] - 1, left=1, color=COLOURS["tinytensor" if row["faster"] > 1 else "matmul"])
    axes.set_yticks(range(len(gains)), [f"{row['what']} (from {from_cell(row)})" for row in gains], fontsize=7)
    axes.set(xscale="log", xlabel="times as fast on the GPU, at the largest width; in brackets: from which width on")
    axes.axvline(1, color="black", linewidth=0.8)
    save(made, path)


class CpuVsGpu(Benchmark):
    """Adds --quick, leaves PyTorch out if it has no CUDA, and prints one line if there is no GPU."""

    def add_flags(self, parser: Any) -> None:
        parser.add_argument("--quick", action="store_true", help=f"only three sizes: {' '.join(QUICK)}")

    def _main(self, argv: list[str]) -> int:
        from benchmarks.environment import gpu
        from tinytensor import devices

        options = parse(self, argv)
        try:
            devices.cupy()
        except RuntimeError as error:
            raise UserError(str(error)) from None
        where = gpu() or {}
        print(f"gpu: {', '.join(f'{key} {value}' for key, value in where.items())}")
        if where["name"] == EMULATED and options.json is not None:
            raise UserError("--json: these are times of the emulator on the host, not of a GPU")
        return super()._main(argv)

    def run(self, options: Options, tick: Callable[[Case], None]) -> list[Row]:
        if options.given["quick"]:
            options = replace(options, sizes=QUICK)
        if "torch" in options.engines and not torch_has_cuda():
            print("torch: left out, since it is not installed or finds no GPU")
            options = replace(options, engines=tuple(e for e in options.engines if e != "torch"))
        return super().run(options, tick)

    def tables(self, rows: Sequence[Row]) -> str:
        lines = [super().tables(rows)]
        for layers in dict.fromkeys(Size.parse(row["size"]).layers for row in rows):
            launches = roofline.launches_of(layers)
            counts = ", ".join(f"{n} with {kind} kernels" for kind, n in launches.items())
            lines.append(f"launches and products of a step of {layers} layers: {counts}")
        return "\n\n".join(lines)


def torch_has_cuda() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return bool(torch.cuda.is_available())


CROSSOVERS = (
    Column("what", lambda row: row["what"], left=True),
    Column("against", lambda row: row["number"], left=True),
    Column("from", from_cell),
    Column("at the largest", lambda row: f"{row['faster']:.2f} times as fast"),
)

BENCHMARK = CpuVsGpu(
    name="cpu_vs_gpu",
    text=__doc__,
    engines=("cpu", "gpu", "graph", "torch"),
    threads=(2,),
    sizes=SIZES,
    check_size=Size.parse,
    repeats=1,
    columns=(SIZE, ENGINE, MEDIAN, MIN, SPREAD, ratio_to("cpu"), TO_TORCH),
    draw=draw,
    shown=lambda row: row["name"].startswith("cpu_vs_gpu.time_step("),
    more=lambda rows: (crossovers(rows), CROSSOVERS),
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
