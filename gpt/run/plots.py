"""loss.png: the losses of a run, and the baselines of its text."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gpt.cli import shown
from gpt.run import files
from gpt.run.baselines import Baselines
from gpt.run.metrics import Row

SMOOTHING = 20  # steps over which the training loss is averaged


@contextmanager
def own_settings() -> Iterator[None]:
    """A context in which matplotlib has its own defaults, whatever the environment and the user's files say.

    A notebook, for example, sets MPLBACKEND to a backend that only the notebook's Python has.
    """
    backend = os.environ.get("MPLBACKEND")
    os.environ["MPLBACKEND"] = "agg"  # matplotlib reads it when it is first imported
    try:
        import matplotlib
    finally:
        del os.environ["MPLBACKEND"]
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield


@own_settings()
def plot_loss(path: Path, rows: list[Row], baselines: Baselines, whole: float, step: int) -> None:
    """Draw training and validation loss; `whole` is that over the whole validation split, of the best weights, at `step`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    steps = np.array([row["step"] for row in rows])
    train = np.array([row["train_loss"] for row in rows])
    evaluated = [(row["step"], row["val_loss"]) for row in rows if row["val_loss"] is not None]
    axes.plot(steps, train, color="tab:blue", alpha=0.25, linewidth=0.8)
    axes.plot(steps, smooth(train), color="tab:blue", label="training (smoothed)")
    if evaluated:
        at, losses = zip(*evaluated, strict=True)
        axes.plot(at, losses, "o-", color="tab:orange", label="validation (a part)")
    label = f"validation (whole) of the best weights, step {step}: {shown(whole)}"
    axes.plot([step], [whole], "*", markersize=14, color="tab:red", label=label)
    for name, loss in baselines.losses().items():
        axes.axhline(loss, color="grey", linestyle="--", linewidth=0.8)
        axes.annotate(
            f"{name} {shown(loss)}",
            (1, loss),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),  # beside the picture: in it, the losses of a good model hide the lowest
            textcoords="offset points",
            va="center",
            color="grey",
        )
    axes.set(xlabel="step", ylabel="loss (nats per token)", xlim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper center")
    picture = io.BytesIO()
    figure.savefig(picture, dpi=120, format="png")
    files.write(path, picture.getvalue())


def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each value the mean of it and of up to SMOOTHING - 1 values before it."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    begins = np.maximum(0, ends - SMOOTHING)
    means: NDArray[np.float64] = (sums[ends] - sums[begins]) / (ends - begins)
    return means
