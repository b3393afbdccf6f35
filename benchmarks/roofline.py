"""An estimate, from below, of the time of a training step on GPUs that were not measured.

    python -m benchmarks.roofline
    python -m benchmarks.roofline --sizes 6,6,384,256,4 --plot benchmarks/results/roofline.png

A step runs on the host. For each call of a primitive, its operations and bytes are counted: inputs, outputs, arrays for
the backward, and gradients, each once; then the norm of the gradient, clipping and AdamW. A GPU needs at least

    work      Σ over calls of max(bytes ÷ bandwidth, operations ÷ peak)
    launches  their number × the time of one on the host, through CuPy or in a CUDA graph; the GPU works meanwhile

so a step takes at least the larger of both: a cache may save bytes, but no kernel reaches a peak.
tests/cuda/launches.py counts launches, into benchmarks/results/launches.json. benchmarks/cards.py has GPUs, times and
sources.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import plots
from benchmarks.cards import CARDS, LAUNCH, Card
from benchmarks.cli import Column, number, table
from benchmarks.environment import ROOT
from benchmarks.harness import Row, Size
from gpt.errors import UserError

SIZES = ("4,4,128,64,12", "6,6,384,256,4")  # of docs/speed.md
BASE, WIDTHS = Size(4, 4, 128, 64, 12), (32, 64, 128, 256, 512, 1024)  # of the plot
LAUNCHES = ROOT / "benchmarks" / "results" / "launches.json"
SCALING = ROOT / "benchmarks" / "results" / "scaling.jsonl"
ATTENTION = ("attention", "blockwise_attention")

Function = Callable[..., Any]


@dataclass(frozen=True)
class Work:
    """The work of one call: operations of its products, and the bytes that it moves in float32."""

    name: str
    flops: float
    bytes: float


def flops_of(name: str, arrays: Sequence[Any], static: dict[str, Any]) -> float:
    """The operations of a forward's products, 2 for each pair; causal attention needs half of the square."""
    if name in ("linear", "matmul"):
        x, w = arrays[:2]
        return 2.0 * float(x.size * (w.shape[0] if name == "linear" else w.shape[-1]))
    if name in ATTENTION:
        q, k, v = arrays[:3]
        square = float(q.size // q.shape[-1] * k.shape[-2] * (q.shape[-1] + v.shape[-1]))
        return square if static.get("causal") else 2 * square
    return 0.0


def bytes_of(arrays: Iterable[Any], without: Iterable[Any] = ()) -> float:
    """The bytes of the arrays, shared memory once; without memory that the others share."""
    from tinytensor.writes import owner

    others = {id(owner(a)) for a in without if hasattr(a, "nbytes")}
    sizes: dict[int, float] = defaultdict(float)
    whole: dict[int, float] = {}
    for a in arrays:
        if hasattr(a, "nbytes"):
            sizes[id(owner(a))] += a.nbytes
            whole[id(owner(a))] = owner(a).nbytes
    return sum(min(size, whole[key]) for key, size in sizes.items() if key not in others)


@contextmanager
def counted() -> Iterator[list[Work]]:
    """A context that adds the work of every call of a primitive to the list."""
    from benchmarks.calls import table as primitives

    works: list[Work] = []
    pairs = {name: (p.forward, p.backward) for name, p in primitives().items()}
    try:
        for name, p in primitives().items():
            forwards: list[tuple[float, float]] = []  # operations and bytes of forwards without a backward so far
            p.forward = _forward(name, p.forward, works, forwards)
            p.backward = _backward(name, p.backward, works, forwards)
        yield works
    finally:
        for name, p in primitives().items():
            p.forward, p.backward = pairs[name]


def _forward(name: str, forward: Function, works: list[Work], forwards: list[tuple[float, float]]) -> Function:
    from tinytensor.writes import arrays_in

    def call(*arrays: Any, **static: Any) -> Any:
        y, saved = forward(*arrays, **static)
        flops, made = flops_of(name, arrays, static), bytes_of(arrays_in((y,)), without=arrays)
        moved = made + bytes_of([*arrays, *static.values()])
        works.append(Work(name, flops, moved if made else 0))  # a view moves nothing
        forwards.append((flops, moved))
        return y, saved

    return call


def _backward(name: str, backward: Function, works: list[Work], forwards: list[tuple[float, float]]) -> Function:
    from tinytensor.writes import arrays_in

    def call(dy: Any, *saved: Any, **asked: Any) -> Any:
        into = list(arrays_in((dy,)))
        flops, moved = forwards.pop()  # the backward of the last forward runs first
        needed = min(bytes_of(arrays_in(saved)), moved)  # inputs and outputs would do as well
        gradients = backward(dy, *saved, **asked)
        made = bytes_of(gradients, without=into)
        again = 2.5 if name in ATTENTION else 2  # attention computes one of its five products again
        works.append(Work(name, again * flops, made + bytes_of(into) + needed if made else 0))
        return gradients

    return call


def work_of(size: Size) -> tuple[list[Work], float]:
    """The work of the primitives of a step, and the bytes of norm, clipping and AdamW, which are always float32."""
    import numpy as np

    from benchmarks.train_step import config_of
    from gpt.build import build
    from tinytensor import from_numpy

    model = build(config_of(size, 1))
    ids = np.zeros((size.batch, size.context), np.int64)
    with counted() as works:
        _, loss = model(from_numpy(ids), from_numpy(ids))
        assert loss is not None
        loss.backward()
    parameters = sum(p.numel() for p in model.parameters())
    return works, 4.0 * parameters * (1 + 2 + 7)  # read; read, written; p, g, m, v read and p, m, v written


def work_seconds(card: Card, precision: str, works: Sequence[Work], optimizer: float) -> float | None:
    """The shortest time of the GPU for this work, in seconds; None if it lacks that precision."""
    if precision not in card.peaks:
        return None
    share = 0.5 if precision == "float16" else 1.0
    calls = [max(share * w.bytes / card.bandwidth, w.flops / card.peaks[precision]) for w in works]
    return sum(calls) + optimizer / card.bandwidth


def launches_of(layers: int, path: Path = LAUNCHES) -> dict[str, int]:
    """Launches and products of a step, by kind of kernels. Each further layer adds as many as the second did."""
    try:
        kept = json.loads(path.read_text("utf-8"))
    except OSError:
        raise UserError(f"{path} is missing: python tests/cuda/launches.py --emulated --write makes it") from None
    return {kind: n["1"] + (layers - 1) * (n["2"] - n["1"]) for kind, n in kept.items()}


def estimates(size: Size) -> list[Row]:
    """A row for each GPU and precision."""
    (works, optimizer), launches = work_of(size), launches_of(size.layers)["fused"]
    rows = []
    for card in CARDS:
        for precision in card.peaks:
            work = work_seconds(card, precision, works, optimizer)
            assert work is not None
            row = {"size": str(size), "card": card.name, "precision": precision, "launches": launches,
                   "work_ms": 1e3 * work}  # fmt: skip
            for how, seconds in LAUNCH.items():
                row[f"{how}_ms"] = 1e3 * max(work, launches * seconds)
                row[f"{how}_bound"] = "work" if work > launches * seconds else "launches"
            rows.append(row)
    return rows


COLUMNS = (
    Column("size", lambda row: row["size"], left=True),
    Column("card", lambda row: row["card"], left=True),
    Column("precision", lambda row: row["precision"], left=True),
    number("work ms", "work_ms", ".3f"),
    number("CuPy ms", "CuPy_ms"),
    Column("bound by", lambda row: row["CuPy_bound"], left=True),
    number("graph ms", "graph_ms"),
    Column("bound by", lambda row: row["graph_bound"], left=True),
)


def markdown(sizes: Sequence[Size]) -> str:
    """The tables of docs/gpu.md: launches by layers; for each GPU the work in each precision, a step in float32."""
    counts = {layers: launches_of(layers) for layers in (1, 2, 4, 6)}
    lines = ["| layers | plain pairs | fused |", "|--:|--:|--:|"]
    lines += [f"| {layers} | {n['plain']} | {n['fused']} |" for layers, n in counts.items()]
    lines += [
        "",
        "| | | work, float32 | TF32 | float16 | step through CuPy | as a graph |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for size in sizes:
        rows = {(row["card"], row["precision"]): row for row in estimates(size)}
        for card in CARDS:
            works = [
                rows.get((card.name, precision), {}).get("work_ms") for precision in ("float32", "tf32", "float16")
            ]
            row = rows[card.name, "float32"]
            times = [*works, row["CuPy_ms"], row["graph_ms"]]
            cells = ["–" if ms is None else f"{ms:.2f}" for ms in times]
            lines.append(f"| {str(size).replace(',', ', ')} | {card.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(path: Path, base: Size = BASE, widths: Sequence[int] = WIDTHS) -> None:
    """The time of a step against the width: measured on one core of a CPU, and the shortest possible on GPUs."""
    launches = launches_of(base.layers)["fused"]
    works = {width: work_of(replace(base, width=width)) for width in widths}
    made = plots.figure(8, 5)
    axes = made.add_subplot()
    for width_ms, label, colour in measured(base):
        axes.plot(*zip(*width_ms, strict=True), "o-", color=colour, label=label, linewidth=2)
    for card, colour in zip(CARDS, (*plots.OTHERS[:4], "black"), strict=True):
        work = [work_seconds(card, "float32", *works[width]) or 0.0 for width in widths]
        times = [1e3 * max(seconds, launches * LAUNCH["graph"]) for seconds in work]
        axes.plot(widths, times, "--", color=colour, label=f"{card.name}, CUDA graph: at least", linewidth=1.5)
    for how, text in (
        ("CuPy", "launched through CuPy: no card is faster"),
        ("graph", "in a CUDA graph: no card is faster"),
    ):
        floor = 1e3 * launches * LAUNCH[how]
        axes.axhline(floor, color="black", linewidth=0.8, linestyle=":")
        axes.annotate(f"{launches} launches and products, {text}", (widths[0], floor), fontsize=8,
                      xytext=(0, 3 if how == "CuPy" else -10), textcoords="offset points")  # fmt: skip
    axes.set(xscale="log", yscale="log", ylabel="milliseconds for a training step",
             xlabel=f"width ({base.layers} layers, context {base.context}, batch {base.batch}, float32)")  # fmt: skip
    axes.set_title("Training step: measured on a CPU, estimated from below on GPUs", loc="left", fontsize=10)
    axes.set_xticks(widths, [str(width) for width in widths])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:g}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    plots.save(made, path)


def measured(base: Size, path: Path = SCALING) -> list[tuple[list[tuple[int, float]], str, str]]:
    """The latest times in benchmarks/results against the width, for tinytensor and PyTorch on one core of a CPU."""
    from benchmarks.results import read
    from benchmarks.scaling import along

    lines = []
    rows = [row for row in read(path) if row["threads"] == 1]
    rows.sort(key=lambda row: row["size"] != str(base))  # `along` needs the base size first
    for engine in ("tinytensor", "torch"):
        times = {width: float(row["median_ms"]) for width, row in along(rows, "width", engine)}
        if times:
            lines.append((sorted(times.items()), f"CPU, 1 core, {engine}", plots.COLOURS[engine]))
    return lines


def _main(argv: list[str]) -> int:
    from gpt.cli import Parser, path
    from gpt.run.plots import own_settings

    parser = Parser("benchmarks.roofline", __doc__ or "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--sizes", nargs="+", metavar="SIZE", default=SIZES,
                        help=f"layers,heads,width,context,batch (default: {' '.join(SIZES)})")  # fmt: skip
    parser.add_argument("--plot", type=path, metavar="FILE", help="draw time against width: a .png or .svg")
    parser.add_argument("--markdown", action="store_true", help="print the tables of docs/gpu.md instead")
    given = parser.parse_args(argv)
    if given.plot is not None:
        plots.check(given.plot)
        with own_settings():
            draw(given.plot)
    if given.markdown:
        print(markdown(list(map(Size.parse, given.sizes))))
        return 0
    rows = [row for size in map(Size.parse, given.sizes) for row in estimates(size)]
    print("estimated, not measured: the least that a step can take\n")
    print(table(rows, COLUMNS))
    for layers in dict.fromkeys(Size.parse(size).layers for size in given.sizes):
        counts = ", ".join(f"{n} with {kind} kernels" for kind, n in launches_of(layers).items())
        print(f"\n{layers} layers: launches and products of a step: {counts}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command: 0, or 2 with one line that says what is wrong."""
    from gpt.cli import command

    return command("benchmarks.roofline")(_main)(argv)


if __name__ == "__main__":
    sys.exit(main())
