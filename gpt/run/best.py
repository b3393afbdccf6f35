"""The best checkpoint beside the last one: RUN/best is a run folder of its own, of the evaluation with the lowest loss."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from gpt.run import checkpoint

BEST = "best"


class Best(NamedTuple):
    """The lowest validation loss of a run so far, and its step."""

    loss: float
    step: int


def chosen(run: Path, last: bool = False) -> Path:
    """Return the folder to read a trained model from: RUN/best where there is one, else RUN."""
    return run if last or not checkpoint.exists(run / BEST) else run / BEST


def make_folder(run: Path) -> Path:
    """Make RUN/best. A link in its place, which may lead anywhere, is removed: a run writes in its folder alone."""
    folder = run / BEST
    if folder.is_symlink():
        folder.unlink()
    folder.mkdir(exist_ok=True)
    return folder
