"""The second picture of a figure: what a bug shows in, beside the training loss. Its numbers go into curves.json."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpt.errors import UserError
from gpt.museum.process import command
from gpt.museum.process import run as run_process
from gpt.run import checkpoint

# The parameters of a model by what they belong to, in the order of the forward.
KINDS = {
    "embedding": "embedding.weight", "qkv": "attention.qkv.weight", "attention projection": "attention.projection.weight",
    "feed-forward up": "feed_forward.up.weight", "feed-forward projection": "feed_forward.projection.weight",
    "norms": "norm.weight", "head": "head.weight",
}  # fmt: skip


@dataclass(frozen=True)
class Panel:
    """How a picture is collected: collect(name, right, wrong, right_folders, wrong_folders) returns what JSON can hold.

    kind: how it is drawn (figure.py); title: what is drawn; the runs' curves already have `validation` and `norm`.
    """

    kind: str
    title: str
    collect: Callable[..., dict[str, Any]]


def from_curves(*_: object) -> dict[str, Any]:
    """Nothing more: the curves have it."""
    return {}


def measured(name: str, kind: str, run: Path) -> dict[str, NDArray[Any]]:
    """Return what a process with that bug measures of the run."""
    file = run.parent / f"measured-{name or 'right'}-{run.name}.npz"
    status, _, why = run_process(command(name, "gpt.museum.measures", [kind, str(run), str(file)]))
    if status:
        raise UserError(f"{kind} with {name or 'no bug'} cannot be measured: {why}")
    with np.load(file) as arrays:
        return dict(arrays)


def gradient_errors(name: str, right: object, wrong: object, folders: Sequence[Path], _: object) -> dict[str, Any]:
    """Compare the gradients of the weights that the right runs ended with: |g wrong − g right| / |g right| by kind."""
    rows = []
    for run in folders:
        good, bad = measured("", "gradients", run), measured(name, "gradients", run)
        row = []
        for ending in KINDS.values():
            names = [each for each in good if each.endswith(ending)]
            apart = sum(float(((bad[each] - good[each]) ** 2).sum()) for each in names)
            row.append((apart / sum(float((good[each] ** 2).sum()) for each in names)) ** 0.5)
        rows.append([round(x, 4) for x in row])
    return {"labels": list(KINDS), "wrong": rows}


def weight_sums(name: str, right: object, wrong: object, folders: Sequence[Path], _: object) -> dict[str, Any]:
    """Return the mean sum of the attention weights of each query, with the right line and with the wrong one."""
    rows = {
        kind: [[round(float(x), 3) for x in measured(bug, "sums", run)["sums"].mean(0)] for run in folders]
        for kind, bug in (("right", ""), ("wrong", name))
    }
    return {"label": "query", **rows}


def norm_weights(name: str, right: object, wrong: object, *folders: Sequence[Path]) -> dict[str, Any]:
    """Return the mean weight of each norm at the end."""
    found = [[weights(run, "norm.weight") for run in each] for each in folders]
    names = sorted(found[0][0])  # by block; norm.weight, the one before the head, is the last
    labels = ["last" if name == "norm.weight" else name.removesuffix("_norm.weight") for name in names]
    right_rows, wrong_rows = ([[round(float(row[n].mean()), 3) for n in names] for row in each] for each in found)
    return {"labels": labels, "right": right_rows, "wrong": wrong_rows}


def tied_apart(name: str, right: object, wrong: object, *folders: Sequence[Path]) -> dict[str, Any]:
    """Return how far the matrix of the head is from that of the embedding, as a share of its size."""
    rows = []
    for each in folders:
        pairs = [weights(run, "embedding.weight", "head.weight") for run in each]
        rows.append([[round(distance(p["head.weight"], p["embedding.weight"]), 3)] for p in pairs])
    return {"labels": ["at the end"], "right": rows[0], "wrong": rows[1]}


def distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Return |a − b| / |b|."""
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def weights(run: Path, *endings: str) -> dict[str, NDArray[Any]]:
    """Return the last weights of a run whose names end so."""
    arrays = checkpoint.read(run, names=(checkpoint.WEIGHTS,)).weights
    return {name: np.asarray(array) for name, array in arrays.items() if name.endswith(endings)}


PANELS = {
    "validation": Panel("validation", "validation loss", from_curves),
    "norm": Panel("norm", "length of the gradient", from_curves),
    "gradient": Panel("bars", "error of the gradient, of the same weights", gradient_errors),
    "sums": Panel("lines", "sum of a query's weights", weight_sums),
    "norm-weights": Panel("bars", "mean weight of each norm, at the end", norm_weights),
    "tied": Panel("bars", "|head − embedding| / |embedding|", tied_apart),
}
