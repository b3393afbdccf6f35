"""The figure of a bug: the curves of all seeds with the right line and with the wrong one, and what both models write."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpt.drawing import BLUE, DPI, GREY, LIGHT, ORANGE, drawing, plain, write
from gpt.museum import BUGS
from gpt.museum.panels import PANELS
from gpt.museum.trial import EVERY, Curve, Trial
from gpt.run import files
from gpt.run.plots import own_settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = 64  # of a picture: few colours make a small file
LETTERS, LINES = 92, 2  # of a sample


def figure_of(trial: Trial, title: str = "") -> Figure:
    """Draw the training losses, the second picture, and a sample of each side. The title is that of the bug, or another."""
    bug = BUGS[trial.name]
    panel = PANELS[bug.shows]
    with drawing(3.5) as figure:
        figure.suptitle(title or bug.title, fontsize=10, fontweight="bold", x=0.01, ha="left", parse_math=False)
        figure.supxlabel(caption(trial), fontsize=6.5, color=GREY, x=0.01, ha="left", parse_math=False)
        parts: Any = figure.subfigures(2, 1, height_ratios=[2.4, 0.8])
        above, below = parts
        left, right = above.subplots(1, 2)
        draw_curves(left, trial, "train", "training loss, nats a token")
        if panel.kind == "bars":
            draw_bars(right, trial.panel, panel.title)
        elif panel.kind == "lines":
            draw_lines(right, trial.panel, panel.title)
        else:
            draw_curves(right, trial, panel.kind, panel.title)
        draw_samples(below.subplots(), trial)
    return figure


def caption(trial: Trial) -> str:
    """Say what is drawn, and with which recipe."""
    seeds = ", ".join(str(curve.seed) for curve in trial.right)
    c = trial.config
    return (
        f"blue: the right line, orange: the wrong one; thin: seeds {seeds}, thick: their median\n{c['layers']} layers, "
        f"width {c['width']}, context {c['context']}, learning rate {c.get('learning_rate', 0.003)}; "
        f"losses are means of {EVERY} steps"
    )


def points(curve: Curve, what: str) -> tuple[list[float], list[float]]:
    """Return the steps and the numbers of one curve."""
    if what == "validation":
        return [step for step, _ in curve.validation], [loss for _, loss in curve.validation]
    values = curve.train if what == "train" else curve.norm
    return [EVERY * (i + 0.5) for i in range(len(values))], values


def draw_curves(ax: Axes, trial: Trial, what: str, title: str) -> None:
    """Draw a thin line for each seed, and a thick one for the median."""
    for curves, colour, width in ((trial.wrong, ORANGE, 2.0), (trial.right, BLUE, 1.2)):  # where equal, both are seen
        each = [points(curve, what) for curve in curves]
        for x, y in each:
            ax.plot(x, y, color=colour, linewidth=0.6, alpha=0.6)
        length = min(len(y) for _, y in each)
        if length:
            ax.plot(
                each[0][0][:length], np.median([y[:length] for _, y in each], axis=0), color=colour, linewidth=width
            )
        for x, y in each:
            if len(y) < length or (x and x[-1] < 0.9 * float(trial.config["steps"])):
                ax.plot(x[-1], y[-1], "x", color=colour, markersize=5)  # it stopped
    if what == "norm":
        ax.set_yscale("log")
        for axis_format in (ax.yaxis.set_major_formatter, ax.yaxis.set_minor_formatter):
            axis_format(plain_number)
        ax.tick_params(which="minor", labelsize=6)
    elif what in ("train", "validation"):
        base_line(ax, trial)
        ax.set_ylim(0, min(ax.get_ylim()[1], 20))
    ax.set_xlim(0, float(trial.config["steps"]))
    ax.set_xlabel("step", fontsize=7)
    ax.set_title(title, fontsize=8, loc="left")
    plain(ax)


def plain_number(x: float, _: float) -> str:
    """Return a tick of a logarithmic axis as 0.5, 1, 2, 5; nothing for those between."""
    return f"{x:g}" if f"{x:e}"[0] in "125" else ""


def base_line(ax: Axes, trial: Trial) -> None:
    """Draw the loss of a bigram, which knows the last token alone: what a model without attention reaches."""
    bigram = trial.right[0].baselines.get("bigram")
    if bigram is not None:
        ax.axhline(bigram, color=GREY, linewidth=0.6, linestyle=(0, (4, 3)), zorder=0)
        ax.annotate("bigram", (1, bigram), xycoords=("axes fraction", "data"), xytext=(0, 2), textcoords="offset points",
                    ha="right", fontsize=6, color=GREY)  # fmt: skip


def draw_bars(ax: Axes, panel: dict[str, Any], title: str) -> None:
    """Draw a bar for the median of each label, and a dot for each seed."""
    labels: list[str] = panel["labels"]
    sides = [(name, colour) for name, colour in (("right", BLUE), ("wrong", ORANGE)) if name in panel]
    height = 0.7 / len(sides)
    for n, (name, colour) in enumerate(sides):
        rows = np.array(panel[name])  # (seeds, labels)
        at = np.arange(len(labels)) + (n - (len(sides) - 1) / 2) * height
        ax.barh(at, np.median(rows, axis=0), height * 0.9, color=colour)
        for row in rows:
            ax.plot(row, at, ".", color="black", markersize=2)
        if len(sides) == 1:
            for y, value in zip(at, np.median(rows, axis=0), strict=True):
                write(ax, float(rows[:, round(y)].max()), float(y), f" {value:.0%}", size=6.5, ha="left")
    ax.set_yticks(range(len(labels)), labels, fontsize=6.5)
    ax.set_ylim(max(len(labels), 4) - 0.5, min(len(labels) - 4, 0) - 0.5)  # the first above; few bars are not fat
    ax.set_xlim(0, 1.25 * ax.dataLim.x1 or 1)
    ax.axvline(0, color=LIGHT, linewidth=0.8, zorder=0)
    ax.set_title(title, fontsize=8, loc="left" if max(map(len, labels)) < 8 else "right")
    plain(ax)


def draw_lines(ax: Axes, panel: dict[str, Any], title: str) -> None:
    """Draw a line for each seed over the numbers of a row."""
    for name, colour, width in (("wrong", ORANGE, 2.0), ("right", BLUE, 1.2)):
        for row in panel[name]:
            ax.plot(range(len(row)), row, color=colour, linewidth=0.6, alpha=0.6)
        ax.plot(range(len(row)), np.median(panel[name], axis=0), color=colour, linewidth=width)
    ax.set_ylim(0, None)
    ax.set_xlabel(panel["label"], fontsize=7)
    ax.set_title(title, fontsize=8, loc="left")
    plain(ax)


def draw_samples(ax: Axes, trial: Trial) -> None:
    """Write the beginning of what the first seed's models write."""
    ax.set_axis_off()
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    for y, curves, colour in ((0.95, trial.right, BLUE), (0.45, trial.wrong, ORANGE)):
        text = curves[0].sample if curves[0].sample else f"({curves[0].stopped or 'no sample'})"
        ax.text(0, y, "\n".join(sample_lines(text)), fontsize=6.3, family="DejaVu Sans Mono", color=colour, va="top",
                parse_math=False)  # fmt: skip


def sample_lines(text: str) -> Sequence[str]:
    """Return the beginning of a sample in LINES lines; a line end is shown as ⏎."""
    whole = text.replace("\n", "⏎")
    return textwrap.wrap(whole[: LETTERS * LINES], LETTERS, drop_whitespace=False)[:LINES]


def save(trial: Trial, path: Path, title: str = "") -> None:
    """Write the figure as a PNG of few colours."""
    from PIL import Image

    picture, small = io.BytesIO(), io.BytesIO()
    figure = figure_of(trial, title)
    with own_settings():
        figure.savefig(picture, format="png", dpi=DPI)
    image = Image.open(picture).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    image.save(small, format="png", optimize=True)
    files.write(path, small.getvalue())
