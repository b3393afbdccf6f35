"""Bars for comparisons. Drawn without pyplot, on a canvas that needs no display."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import Row
from gpt.errors import UserError

# One colour an engine, in every plot; told apart by colour-blind readers (Okabe and Ito, 2008).
COLOURS = {"torch": "#E69F00", "tinytensor": "#0072B2", "matmul": "#999999"}
OTHERS = ("#56B4E9", "#009E73", "#CC79A7", "#D55E00")


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
    """UserError if the name's end is no format."""
    if path.suffix not in (".png", ".svg"):
        raise UserError(f"--plot {path}: the name must end in .png or .svg")


def save(made: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    made.savefig(path, dpi=110)


def bars(label: str, value: str = "median_ms", faster: bool = False) -> Callable[[Sequence[Row], Path], None]:
    """A `draw` that makes a bar of row[value] for each engine, in a group for each size and number of threads.

    faster: the value is a speed, so beside it stands the inverse of the ratio of times.
    """

    def draw(rows: Sequence[Row], path: Path) -> None:
        engines = list(dict.fromkeys(row["engine"] for row in rows))
        groups = list(dict.fromkeys((row["size"], row["threads"]) for row in rows))
        made = figure(8, 0.8 + 0.32 * len(rows))
        axes = made.add_subplot()
        places = {group: (len(engines) + 1) * i for i, group in enumerate(groups)}
        for row in rows:
            y, engine = places[row["size"], row["threads"]] + engines.index(row["engine"]), row["engine"]
            axes.barh(y, row[value], height=0.9, color=colour(engine, engines), label=engine)
            note = f" {row[value]:,.{0 if row[value] >= 100 else 2}f}"
            if row["ratio_to_torch"] is not None:
                note += f"  ({row['ratio_to_torch'] ** (-1 if faster else 1):.2f} × torch)"
            axes.annotate(note, (row[value], y), va="center", fontsize=9)
        middle = (len(engines) - 1) / 2
        axes.set_yticks(
            [places[g] + middle for g in groups], [f"{size}\n{n} thread{'s' * (n != 1)}" for size, n in groups]
        )
        axes.set_xlabel(label)
        axes.margins(x=0.3)
        axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
        handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        axes.legend(handles.values(), handles.keys(), loc="best", frameon=False)
        save(made, path)

    return draw
