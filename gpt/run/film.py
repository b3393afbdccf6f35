"""RUN/film: what a page shows of the training, at about forty moments; gpt.train --record writes it.

    RUN/film/film.json               the text; of each moment its step, its numbers and the checksum of its file
    RUN/film/000000123.safetensors   the arrays of the moment after step 123: see `specs`

A moment has a file of its own, which never changes, and counts once film.json names it. It is written before its step
is saved, so a run that was killed and goes on has all moments up to its checkpoint, drops later ones, and makes them again.
gpt/inspection/film.py reads a film.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpt import cli
from gpt.config import TrainConfig
from gpt.diagnosis.measures import norm
from gpt.errors import UserError, shown
from gpt.lens import TOP, host, look
from gpt.run import files
from gpt.run.arrays import Arrays, Spec, checksum, formatted
from gpt.run.checkpoint import CHANGEABLE, rename
from gpt.run.checks import parameter_shapes
from gpt.run.metrics import Row
from gpt.run.sealed import is_sealed, seal
from gpt.run.state import Run
from gpt.utf8 import with_lf
from tinytensor import Tensor

FILM, NEW, INDEX = "film", "film.new", "film.json"
FORMAT = 1
MOMENTS = 40
TEXT = 64  # tokens of the text, where none is given
ALL_ROWS = 512  # the largest vocabulary whose whole table of embeddings is kept
MOST_BYTES = 1 << 30  # of all moments
LONGEST_INDEX = 16 << 20
ADVICE = "restore it from a copy, or remove the folder film: the training does not need it"


def moments(steps: int, count: int = MOMENTS) -> list[int]:
    """Return at most `count` steps from 0 to the last, evenly spaced by their logarithms; docs/film.md lists some."""
    chosen = [0, 1]
    while chosen[-1] < steps:
        last, left = chosen[-1], count - len(chosen)
        ratio = (steps / last) ** (1 / left) if left > 0 else steps
        chosen.append(min(steps, max(last + 1, round(last * ratio))))
    return chosen


def specs(config: TrainConfig, ids: list[int]) -> dict[str, Spec]:
    """Return the arrays of a moment. L, H, T, S: see gpt/lens.py; C is the width, P the number of parameters."""
    gpt, T, P = config.model == "gpt", len(ids), len(parameter_shapes(config))
    S, top = (config.layers + 1 if gpt else 1), min(TOP, config.vocab_size)
    arrays = {
        "embedding": Spec("float32", (len(rows_of(config, ids)), config.width)),
        "lens.target": Spec("float32", (S, T - 1)),
        "lens.top": Spec("int32", (S, T, top)),
        "lens.top_log_probability": Spec("float32", (S, T, top)),
        "gradient_norm": Spec("float32", (P,)),  # of each parameter, before clipping; 0 where no gradient is known
        "update_norm": Spec("float32", (P,)),  # of what the step added to the parameter
        "weight_norm": Spec("float32", (P,)),  # of the parameter after the step
    }
    return {"attention": Spec("float32", (config.layers, config.heads, T, T)), **arrays} if gpt else arrays


def rows_of(config: TrainConfig, ids: list[int]) -> list[int]:
    """Return the tokens whose embeddings a film keeps: all of a small vocabulary, else those of the text."""
    return list(range(config.vocab_size)) if config.vocab_size <= ALL_ROWS else sorted(set(ids))


def size_of(config: TrainConfig, ids: list[int]) -> int:
    """Return how many bytes the arrays of a film have."""
    return MOMENTS * sum(spec.nbytes for spec in specs(config, ids).values())


# ------------------------------------------------------------------------------------------------- the text


def text_ids(run: Run, text: str | None) -> list[int]:
    """Return the ids of --record-text; without it the first of the validation split. Raises UserError if they do not fit."""
    config = run.config
    if text is None:
        return [int(i) for i in run.validation_ids[: min(TEXT, config.context, len(run.validation_ids))]]
    ids = [int(i) for i in run.tokenizer.encode(with_lf(text), "--record-text")]
    if not 2 <= len(ids) <= config.context:
        raise UserError(
            f"--record-text has {len(ids):,} token{'s' * (len(ids) != 1)}: it must have 2 to {config.context:,}, a window of "
            f"the model"
        )
    if (size := size_of(config, ids)) > MOST_BYTES:
        raise UserError(
            f"--record-text has {len(ids):,} tokens: their film would have {size / 2**30:,.1f} GiB, and at most "
            f"{MOST_BYTES / 2**30:.0f} GiB is recorded; give a shorter text"
        )
    return ids


def check(run: Run, folder: Path | None, text: str | None) -> None:
    """Raise UserError unless the run can be recorded with this text; `folder` is that of a run that goes on."""
    ids = text_ids(run, text)
    if folder is not None and text is not None and files.is_folder(folder / FILM):
        kept = read_index(folder, run.config, run.corpus_sha256)["ids"]
        if kept != ids:
            said = shown(repr(run.tokenizer.decode(kept)))
            raise UserError(f"--record-text: the film in {folder / FILM} keeps its text, {said}; leave it out")


# ------------------------------------------------------------------------------------------------ film.json


def described(config: TrainConfig, corpus_sha256: str) -> dict[str, Any]:
    """Return what says whether a film belongs to a run: all of its configuration that never changes, and its text."""
    kept = {name: value for name, value in asdict(config).items() if name not in CHANGEABLE}
    return {**kept, "corpus_sha256": corpus_sha256}


def read_index(folder: Path, config: TrainConfig, corpus_sha256: str) -> dict[str, Any]:
    """Return what film.json says. Raises UserError unless it is undamaged and of this run."""
    path = folder / FILM / INDEX
    if not files.is_folder(folder / FILM):
        raise UserError(f"{folder} has no film: {cli.python()} -m gpt.train --record records one")
    index = files.parse(files.read(path, LONGEST_INDEX), path)
    if not is_sealed(index):
        raise UserError(f"{path} was altered: its checksum is another; {ADVICE}")
    if index.get("format") != FORMAT:
        raise UserError(
            f"{path} has format {shown(index.get('format'))}, and this version reads {FORMAT}; take a newer version"
        )
    try:
        run, ids, made = index["run"], index["ids"], index["moments"]
        ours = described(config, corpus_sha256)
        other = next((name for name in run if name in ours and run[name] != ours[name]), None)
        right = all(type(i) is int and 0 <= i < config.vocab_size for i in ids) and 2 <= len(ids) <= config.context
        steps = [-1, *(moment["step"] for moment in made)]
        right &= all(is_moment(moment) for moment in made) and all(a < b for a, b in itertools.pairwise(steps))
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged: {shown(repr(error))}; {ADVICE}") from None
    if other is not None:
        raise UserError(f"{path} is of another run: {other} {shown(run[other])}, and this has {shown(ours[other])}; "
                        f"{ADVICE}")  # fmt: skip
    if not right:
        raise UserError(f"{path} is damaged: its text or its moments are none of a run; {ADVICE}")
    return dict(index)


def is_moment(value: dict[str, Any]) -> bool:
    """Return whether it has the values of a moment in film.json."""
    numbers = ("train_loss", "learning_rate", "grad_norm")
    return (
        set(value) == {"step", "stopped", "sha256", *numbers}
        and type(value["step"]) is int
        and 0 <= value["step"] <= 10**8
        and type(value["stopped"]) is bool
        and isinstance(value["sha256"], str)
        and all(value[name] is None or type(value[name]) in (int, float) for name in numbers)
        and all(math.isfinite(value[name] or 0) for name in numbers)
    )


def name_of(step: int) -> str:
    return f"{step:09}.safetensors"


# ------------------------------------------------------------------------------------------------- recording


def begin(run: Run, folder: Path, ids: list[int]) -> None:
    """Make a film without a moment, which `go_on` takes: before the first checkpoint, so that no run goes on without it."""
    files.remove(folder / NEW)
    os.mkdir(folder / NEW)
    write_index(
        folder / NEW,
        {"format": FORMAT, "run": described(run.config, run.corpus_sha256), "ids": ids, "moments": []},
    )


def go_on(run: Run, folder: Path) -> Film | None:
    """Return the film of the run, None if it has none. Drops moments after the run's step: they will be made again."""
    if files.is_folder(folder / NEW):
        if files.exists(folder / NEW / INDEX) and not files.is_folder(folder / FILM):
            rename(folder / NEW, folder / FILM)
        files.remove(folder / NEW)
    if not files.is_folder(folder / FILM):
        return None
    film = Film(run, folder, read_index(folder, run.config, run.corpus_sha256))
    film.keep([moment for moment in film.made if moment["step"] <= run.step])
    if not film.made:
        film.add(None)
    return film


def write_index(film: Path, index: dict[str, Any]) -> None:
    files.write(film / INDEX, json.dumps(seal(index)).encode())
    files.sync_folder(film)


class Film:
    """Adds moments to RUN/film. It reads weights, gradients and AdamW's state, and changes none."""

    def __init__(self, run: Run, folder: Path, index: dict[str, Any]) -> None:
        self.run, self.folder, self.index = run, folder / FILM, index
        self.due = set(moments(run.config.steps))
        self.row: Row | None = None  # of the last step

    @property
    def made(self) -> list[dict[str, Any]]:
        """The moments so far."""
        return list(self.index["moments"])

    def step(self, row: Row) -> None:
        """Take the row of the step that the run made last. If it is a moment of the film, add it."""
        self.row = row
        if self.run.step in self.due:
            self.add(row)

    def stop(self) -> None:
        """Add the step at which a run stopped early. The next moment that the run adds replaces it."""
        if self.row is not None and self.run.step not in self.due:
            self.add(self.row, stopped=True)

    def add(self, row: Row | None, stopped: bool = False) -> None:
        """Write the moment of the run's step; row is None where this process made no step before it."""
        step = self.run.step
        arrays = {**self.seen(), **self.norms(row)}
        if not all(np.isfinite(array).all() for array in arrays.values()):
            cli.note("gpt.train", f"step {step} is not in the film: its numbers are not finite")
            return
        content = formatted(arrays)
        numbers = {name: None if row is None else row[name] for name in ("train_loss", "learning_rate", "grad_norm")}
        moment = {"step": step, "stopped": stopped, **numbers, "sha256": checksum(content)}
        try:
            files.write(self.folder / name_of(step), content)
            self.keep([*(each for each in self.made if not each["stopped"]), moment])
        except OSError as error:
            raise UserError(
                f"cannot record step {step} in {self.folder}: {error.strerror or error}; the last checkpoint is intact"
            ) from None

    def keep(self, made: list[dict[str, Any]]) -> None:
        """Let the film have these moments; remove the files of all others, and what a kill left."""
        self.index["moments"] = made
        write_index(self.folder, self.index)
        names = {name_of(moment["step"]) for moment in made}
        for name in os.listdir(self.folder):
            if name not in names and re.fullmatch(r"\d{9}\.safetensors(\.new)?|film\.json\.new", name):
                files.remove(self.folder / name)

    def seen(self) -> Arrays:
        """Return what the model does with the text, and its embeddings."""
        ids, model = self.index["ids"], self.run.model
        seen = look(model, ids)
        arrays: Arrays = {
            "embedding": host(model.embedding.weight[rows_of(self.run.config, ids)]),
            "lens.target": seen.target,
            "lens.top": seen.top,
            "lens.top_log_probability": seen.top_log_probability,
        }
        return {"attention": seen.attention, **arrays} if seen.attention.size else arrays

    def norms(self, row: Row | None) -> Arrays:
        """Return the norms of gradients, updates and weights by parameter, in the order of `parameter_shapes`.

        Clipping and the loss scale of float16 multiply all gradients by one number, so the norm of all of them before
        that, which the row has, tells each.
        """
        groups = {id(p): group for group in self.run.optimizer.param_groups for p in group["params"]}
        gradients, updates, weights = [], [], []
        named = dict(self.run.model.named_parameters())
        total = None if row is None else row["grad_norm"]  # None in float16 if it overflowed: the step changed nothing
        for p in map(named.__getitem__, parameter_shapes(self.run.config)):
            state = self.run.optimizer.state.get(p, {})
            w = wide(state.get("master", p))
            changed = row is not None and total is not None
            update = update_of(w, state, groups[id(p)], row["learning_rate"]) if row and changed else np.zeros(1)
            gradients.append(norm(wide(p.grad)) if changed and p.grad is not None else 0.0)
            updates.append(norm(update))
            weights.append(norm(w))
        length = norm(np.array(gradients))
        scale = total / length if total and length else 0.0
        found = {"gradient_norm": np.array(gradients) * scale, "update_norm": updates, "weight_norm": weights}
        return {name: np.array(values, np.float32) for name, values in found.items()}


def update_of(w: NDArray[np.float64], state: dict[str, Any], group: dict[str, Any], rate: float) -> NDArray[np.float64]:
    """Return what AdamW's last step added to the weights that are w after it.

    The step was w = (1 − lr λ) w₀ − d with d = lr m̂ / (√v̂ + eps) (tinytensor/optim/adamw.py), and m and v are still there.
    So no copy of the weights before the step is needed: w₀ = (w + d) / (1 − lr λ).
    """
    (beta1, beta2), t = group["betas"], float(wide(state["step"]))
    m, v = wide(state["exp_avg"]) / (1 - beta1**t), wide(state["exp_avg_sq"]) / (1 - beta2**t)
    d = rate * m / (np.sqrt(v) + float(group["eps"]))
    kept = 1 - rate * float(group["weight_decay"])
    changed: NDArray[np.float64] = w - (w + d) / kept if kept else -d
    return changed


def wide(x: Any) -> NDArray[np.float64]:
    """Return a copy of a Tensor or a number in float64, in the memory of the host."""
    return np.array(x.detach().cpu().numpy() if isinstance(x, Tensor) else x, np.float64)
