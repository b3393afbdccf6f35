"""All quick benchmarks, one after the other, as tables.

    python -m benchmarks
    python -m benchmarks --repeats 5 --threads 2 --json benchmarks/results/quick.jsonl --plots benchmarks/results

One benchmark, with more flags: python -m benchmarks.NAME, for train_step, generate, memory, ops, overhead. These take
longer or need more: ladder, scaling, time_to_loss, cpu_vs_gpu. roofline estimates the time on GPUs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

from benchmarks import results
from benchmarks.cli import Benchmark, Progress, positive

QUICK = ("train_step", "generate", "memory", "ops", "overhead")


def make_parser() -> Any:
    from gpt.cli import Parser, path

    parser = Parser("benchmarks", __doc__ or "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--threads", nargs="+", type=positive("--threads"), metavar="N",
        help="cores that an engine may use (default: each benchmark's own)")  # fmt: skip
    add("--repeats", type=positive("--repeats"), metavar="N", default=1,
        help="rounds: one is quick and noisy, five make the ratios reliable (default: 1)")  # fmt: skip
    add("--json", type=path, metavar="FILE", help="add the rows to this file, one JSON object a line")
    add("--plots", type=path, metavar="FOLDER", help="draw each benchmark in this folder, as NAME.png")
    return parser


def _main(argv: list[str]) -> int:
    given = make_parser().parse_args(argv)
    if given.json:
        results.read(given.json)
    chosen: list[Benchmark] = [import_module(f"benchmarks.{name}").BENCHMARK for name in QUICK]
    options = [replace(each.defaults(), repeats=given.repeats) for each in chosen]
    if given.threads:
        options = [replace(each, threads=tuple(dict.fromkeys(given.threads))) for each in options]
    with Progress(sum(each.processes(choice) for each, choice in zip(chosen, options, strict=True))) as progress:
        for each, choice in zip(chosen, options, strict=True):
            rows = each.run(choice, progress.tick)
            title = (each.text or "").partition("\n")[0]
            progress.say(f"{each.name}: {title}\n\n{each.tables(rows)}\n")
            if given.json:
                results.merge(given.json, rows)
            if given.plots:
                each.plot(rows, given.plots / f"{each.name}.png")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    from gpt.cli import command

    return command("benchmarks")(_main)(argv)


if __name__ == "__main__":
    sys.exit(main())
