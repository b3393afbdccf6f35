"""Bar charts for comparisons, drawn without pyplot, so they need no display."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import Row
from gpt.errors import UserError
from gpt.run import files

# One colour for each engine, in every plot; colour-blind readers can tell them apart (Okabe and Ito, 2008).
COLOURS = {"torch": "#E69F00", "tinytensor": "#0072B2", "matmul": "#999999"}
OTHERS = ("#56B4E9", "#009E73", "#CC79A7", "#D55E00", "#F0E442")


def colour(engine: str, engines: Sequence[str]) -> str:
    others = [name for name in engines if name not in COLOURS]
    return COLOURS.get(engine) or OTHERS[others.index(engine) % len(OTHERS)]


def figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    return made


def check(path: Path) -> None:
    """UserError unless the name ends in .png or .svg."""
    if path.suffix not in (".png", ".svg"):
        raise UserError(f"--plot {path}: the name must end in .png or .svg")


def save(made: Any, path: Path) -> None:
    content = io.BytesIO()
    made.savefig(content, dpi=110, format=path.suffix[1:])
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, content.getvalue())


def bars(label: str, value: str = "median_ms", faster: bool = False) -> Callable[[Sequence[Row], Path], None]:
    """A `draw` that makes a bar of row[value] for each engine and number of threads, with axes for each size.

    faster: the value is a speed, so the note beside it is the inverse of the ratio of times.
    """

    def draw(rows: Sequence[Row], path: Path) -> None:
        engines = list(dict.fromkeys(row["engine"] for row in rows))
        sizes = list(dict.fromkeys(row["size"] for row in rows))
        made = figure(8, 0.6 + 0.6 * len(sizes) + 0.28 * len(rows))
        for axes, size in zip(made.subplots(len(sizes), 1, squeeze=False)[:, 0], sizes, strict=True):
            _panel(axes, [row for row in rows if row["size"] == size], engines, value, faster)
            axes.set_title(size, loc="left", fontsize=10)
        axes.set_xlabel(label)
        save(made, path)

    return draw


def _panel(axes: Any, rows: Sequence[Row], engines: Sequence[str], value: str, faster: bool) -> None:
    threads = list(dict.fromkeys(row["threads"] for row in rows))
    for row in rows:
        y = (len(engines) + 1) * threads.index(row["threads"]) + engines.index(row["engine"])
        axes.barh(y, row[value], height=0.9, color=colour(row["engine"], engines))
        note = f" {row['engine']}  {row[value]:,.{0 if row[value] >= 100 else 2}f}"
        if row["ratio_to_torch"] is not None:
            note += f"  ({row['ratio_to_torch'] ** (-1 if faster else 1):.2f} × torch)"
        axes.annotate(note, (row[value], y), va="center", fontsize=9)
    middles = [(len(engines) + 1) * i + (len(engines) - 1) / 2 for i in range(len(threads))]
    axes.set_yticks(middles, [f"{n} thread{'s' * (n != 1)}" for n in threads])
    axes.margins(x=0.35)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
