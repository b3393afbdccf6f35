"""The shared parts of the commands: flags, the progress bar, the table, the JSON file, the plot.

It imports only the standard library until a command runs, since the processes that measure import it too.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks import plots, results
from benchmarks.harness import Case, Row, compare


@dataclass(frozen=True)
class Column:
    """A column of the table: its title, and a row's cell."""

    title: str
    cell: Callable[[Row], object]
    left: bool = False


def number(title: str, key: str, spec: str = ".2f") -> Column:
    """row[key]; a dash if it has none."""
    return Column(title, lambda row: "–" if row.get(key) is None else format(row[key], spec))


def ratio_to(engine: str) -> Column:
    """The time of the row as a multiple of that of the engine."""
    return Column(
        f"÷ {engine}", lambda row: "–" if row["ratios"].get(engine) is None else f"{row['ratios'][engine]:.3f}"
    )


SIZE = Column("size", lambda row: row["size"], left=True)
THREADS = Column("threads", lambda row: row["threads"])
ENGINE = Column("engine", lambda row: row["engine"], left=True)
MEDIAN, MIN, SPREAD = number("median ms", "median_ms"), number("min ms", "min_ms"), number("spread", "spread_ms")
TO_TORCH, PEAK = ratio_to("torch"), number("peak MiB", "peak_mib", ".0f")


def table(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """The rows as text, a line each, under the titles."""
    cells = [[str(column.cell(row)) for column in columns] for row in rows]
    lines = [[column.title for column in columns], *cells]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    sides = ["<" if column.left else ">" for column in columns]
    return "\n".join(
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(line, sides, widths, strict=True)).rstrip()
        for line in lines
    )


@dataclass(frozen=True)
class Options:
    """The choices of a command line: all combinations of engines, threads and sizes are measured."""

    engines: tuple[str, ...]
    threads: tuple[int, ...]
    sizes: tuple[str, ...]
    repeats: int
    json: Path | None = None
    plot: Path | None = None
    given: dict[str, Any] = field(default_factory=dict)  # the flags of one benchmark alone


@dataclass(frozen=True)
class Benchmark:
    """One benchmark: its defaults, and how its rows are shown.

    `text` is the docstring of the module; `check_size` refuses a wrong size; `draw` makes a plot of rows at a path.
    """

    name: str
    text: str | None
    engines: tuple[str, ...]
    threads: tuple[int, ...]
    sizes: tuple[str, ...]
    check_size: Callable[[str], object]
    repeats: int
    columns: tuple[Column, ...]
    draw: Callable[[Sequence[Row], Path], None]
    shown: Callable[[Row], bool] = lambda row: True
    more: Callable[[Sequence[Row]], tuple[list[Row], tuple[Column, ...]]] | None = None  # a second table
    size_text: str = "layers,heads,width,context,batch"

    def defaults(self) -> Options:
        return Options(self.engines, self.threads, self.sizes, self.repeats)

    def processes(self, options: Options) -> int:
        """The number of processes to start."""
        return len(options.engines) * len(options.threads) * max(1, len(options.sizes)) * options.repeats

    def add_flags(self, parser: Any) -> None:
        """Add flags of this benchmark alone, for Options.given."""

    def run(self, options: Options, tick: Callable[[Case], None]) -> list[Row]:
        """Measure, and call `tick` after every process."""
        rows = []
        for size, threads in product(options.sizes, options.threads):
            rows += compare([Case(self.name, size, e, threads) for e in options.engines], options.repeats, tick)
        return rows

    def tables(self, rows: Sequence[Row]) -> str:
        first = table([row for row in rows if self.shown(row)], self.columns)
        return f"{first}\n\n{table(*self.more(rows))}" if self.more else first

    def main(self, argv: Sequence[str] | None = None) -> int:
        """The command: 0, or 2 with one line that says what is wrong."""
        from gpt.cli import command

        return command(f"benchmarks.{self.name}")(self._main)(argv)

    def _main(self, argv: list[str]) -> int:
        options = parse(self, argv)
        with Progress(self.processes(options)) as progress:
            rows = self.run(options, progress.tick)
        print(self.tables(rows))
        if options.json is not None:
            results.merge(options.json, rows)
        if options.plot is not None:
            self.plot(rows, options.plot)
        return 0

    def plot(self, rows: Sequence[Row], path: Path) -> None:
        """Draw the rows, with matplotlib's own defaults."""
        from gpt.run.plots import own_settings

        with own_settings():
            self.draw(rows, path)


def parse(benchmark: Benchmark, argv: list[str]) -> Options:
    """The options of a command line; UserError says what is wrong with it."""
    from gpt.cli import Parser, path

    parser = Parser(f"benchmarks.{benchmark.name}", benchmark.text or "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add: Any = parser.add_argument
    add("--engines", nargs="+", metavar="NAME", choices=benchmark.engines, default=benchmark.engines,
        help=f"the engines that take turns, from {', '.join(benchmark.engines)} (default: all)")  # fmt: skip
    add("--threads", nargs="+", metavar="N", type=positive("--threads"), default=benchmark.threads,
        help=f"the number of cores for an engine (default: {' '.join(map(str, benchmark.threads))})")  # fmt: skip
    if benchmark.sizes:
        add("--sizes", nargs="+", metavar="SIZE", default=benchmark.sizes,
            help=f"{benchmark.size_text} (default: {' '.join(benchmark.sizes)})")  # fmt: skip
    add("--repeats", metavar="N", type=positive("--repeats"), default=benchmark.repeats,
        help=f"rounds; each starts a fresh process for every engine (default: {benchmark.repeats})")  # fmt: skip
    add("--json", metavar="FILE", type=path, help="add the rows to this file, one JSON object a line")
    add("--plot", metavar="FILE", type=path, help="draw the rows: a .png or .svg")
    benchmark.add_flags(parser)
    given = {"sizes": (), **vars(parser.parse_args(argv))}
    for size in given["sizes"]:
        benchmark.check_size(size)
    if given["json"] is not None:
        results.read(given["json"])
    if given["plot"] is not None:
        plots.check(given["plot"])
    for name in ("engines", "threads", "sizes"):
        given[name] = tuple(dict.fromkeys(given[name]))  # each once
    shared = {name: given.pop(name) for name in ("engines", "threads", "sizes", "repeats", "json", "plot")}
    return Options(**shared, given=given)


def positive(flag: str) -> Callable[[str], int]:
    """An argparse type: a whole number of at least 1."""

    def convert(text: str) -> int:
        if not text.isdecimal() or int(text) < 1:
            raise argparse.ArgumentTypeError(f"{flag} {text}: it must be a whole number of at least 1")
        return int(text)

    return convert


class Progress:
    """A progress bar on a terminal, with the last measurement; nothing in a pipe."""

    def __init__(self, total: int) -> None:
        from tqdm import tqdm

        shape = "{n_fmt}/{total_fmt} {bar:20} {remaining} left  {desc}"
        self.bar = tqdm(total=total, disable=None, leave=False, dynamic_ncols=True, bar_format=shape)

    def tick(self, case: Case) -> None:
        self.bar.set_description_str(f"{case.benchmark} {case.size} {case.engine}", refresh=False)
        self.bar.update()

    def say(self, text: str) -> None:
        """Print above the bar."""
        self.bar.clear()
        print(text, flush=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()
