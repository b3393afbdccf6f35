"""The film of a training, read without trust, and made small for a page.

film = read("runs/…")       # what gpt.train --record kept; gpt/run/film.py says how
page = for_page(film)       # arrays and numbers, less than a megabyte for the default model
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpt import cli
from gpt.config import TrainConfig
from gpt.errors import UserError
from gpt.inspection.pack import Packer
from gpt.run import arrays, checkpoint, files, metrics
from gpt.run.arrays import Arrays
from gpt.run.checks import parameter_shapes
from gpt.run.film import ADVICE, FILM, name_of, read_index, rows_of, specs
from gpt.tokenizers import Tokenizer

TRIES = 3  # to read moments of one film.json: a run that goes on meanwhile may drop some
ROUNDING = 0.01  # how far above 1 rounding may bring a probability, or the sum of several, in float16


@dataclass(frozen=True)
class Film:
    """M moments of a training. T tokens, L blocks, H heads, S = L + 1 stages of the lens, P parameters, K embeddings of width C.

    Numbers are None where they are not known: of step 0 the training loss, of most steps the validation loss.
    """

    config: TrainConfig
    tokenizer: Tokenizer
    ids: list[int]  # the text, (T,)
    rows: list[int]  # the tokens whose embeddings are kept, (K,)
    names: list[str]  # of the parameters, (P,)
    steps: list[int]  # (M,), ascending
    train_loss: list[float | None]
    learning_rate: list[float | None]
    grad_norm: list[float | None]  # of all parameters; None where no update was made, as in step 0
    validation_loss: list[float | None]  # of the evaluation at that step
    evaluations: list[tuple[int, float]]  # all of the run: step and loss
    attention: NDArray[np.float32]  # (M, L, H, T, T)
    embedding: NDArray[np.float32]  # (M, K, C)
    target: NDArray[np.float32]  # (M, S, T - 1): ln p of the next token; see gpt/lens.py
    top: NDArray[np.int32]  # (M, S, T, 5)
    top_log_probability: NDArray[np.float32]  # (M, S, T, 5)
    gradient_norm: NDArray[np.float32]  # (M, P), before clipping
    update_norm: NDArray[np.float32]  # (M, P), of what the step added
    weight_norm: NDArray[np.float32]  # (M, P), after the step

    def __repr__(self) -> str:
        first, last = self.loss[0].mean(), self.loss[-1].mean()
        return (
            f"Film({len(self.steps)} moments, steps {self.steps[0]} to {self.steps[-1]}, {len(self.ids)} tokens, "
            f"{self.attention.shape[1]} blocks, {self.attention.shape[2]} heads, loss {first:.3f} to {last:.3f})"
        )

    @property
    def loss(self) -> NDArray[np.float32]:
        """-ln p of each token of the text but the first, (M, T - 1)."""
        loss: NDArray[np.float32] = -self.target[:, -1]
        return loss

    @property
    def update_ratio(self) -> NDArray[np.float32]:
        """‖what the step added‖ / ‖weights after it‖, (M, P); 0 for weights that are 0."""
        ratio = np.zeros_like(self.update_norm)
        np.divide(self.update_norm, self.weight_norm, out=ratio, where=self.weight_norm > 0)
        return ratio

    def text_of(self, token: int) -> str:
        """Return the token as text. Bytes that are no UTF-8 become U+FFFD."""
        return self.tokenizer.bytes_of(token).decode(errors="replace")


# ------------------------------------------------------------------------------------------------- reading


def read(run_folder: str | Path) -> Film:
    """Return the film of the run. Raises UserError, which names the file, for a damaged one or one of another run."""
    folder = Path(run_folder)
    saved = checkpoint.read(folder, names=())
    config = saved.config
    index, found = read_moments(folder, config, saved.corpus_sha256)
    stacked = {name: np.stack([each[name] for each in found]) for name in found[0]}
    made, ids = index["moments"], index["ids"]
    rows = metrics.read(folder) if files.exists(folder / "metrics.jsonl") else []
    evaluations = [(row["step"], row["val_loss"]) for row in rows if row["val_loss"] is not None]
    known = dict(evaluations)
    return Film(
        config=config,
        tokenizer=saved.tokenizer,
        ids=ids,
        rows=rows_of(config, ids),
        names=list(parameter_shapes(config)),
        steps=[moment["step"] for moment in made],
        train_loss=[moment["train_loss"] for moment in made],
        learning_rate=[moment["learning_rate"] for moment in made],
        grad_norm=[moment["grad_norm"] for moment in made],
        validation_loss=[known.get(moment["step"]) for moment in made],
        evaluations=evaluations,
        attention=stacked.get("attention", np.zeros((len(made), 0, 0, len(ids), len(ids)), np.float32)),
        target=stacked["lens.target"],
        top=stacked["lens.top"],
        top_log_probability=stacked["lens.top_log_probability"],
        embedding=stacked["embedding"],
        gradient_norm=stacked["gradient_norm"],
        update_norm=stacked["update_norm"],
        weight_norm=stacked["weight_norm"],
    )


def read_moments(folder: Path, config: TrainConfig, corpus_sha256: str) -> tuple[dict[str, Any], list[Arrays]]:
    """Return film.json and the arrays of each of its moments."""
    index = read_index(folder, config, corpus_sha256)
    for _ in range(TRIES):
        try:
            found = list(each_moment(folder, config, index))
            break
        except (OSError, UserError) as error:
            before, index = index, read_index(folder, config, corpus_sha256)
            if index == before:  # nobody has changed the film: it is damaged
                if isinstance(error, UserError):
                    raise
                raise UserError(f"cannot read {error.filename or folder / FILM}: {error.strerror}; {ADVICE}") from None
    else:
        raise UserError(f"{folder / FILM} changes while it is read; read it when the run has ended")
    if not found:
        advice = f"go on with the run, {cli.python()} -m gpt.train --resume {cli.word(folder)}"
        raise UserError(f"{folder / FILM} has no moment yet: {advice}")
    return index, found


def each_moment(folder: Path, config: TrainConfig, index: dict[str, Any]) -> Iterator[Arrays]:
    """Yield the arrays of the moments, verified."""
    wanted = specs(config, index["ids"])
    with files.Folder(folder / FILM) as film:
        for moment in index["moments"]:
            with film.open(name_of(moment["step"])) as file:
                found = arrays.read(file, wanted, moment["sha256"], advice=ADVICE)
                wrong = impossible(found, config.vocab_size)
                if wrong:
                    raise UserError(f"{file.path} holds impossible numbers in {wrong}; {ADVICE}")
                yield found


def not_negative(a: NDArray[Any]) -> Any:
    return a >= 0


def impossible(found: Arrays, vocab_size: int) -> str:
    """Return the name of the first array with a number that no moment has; "" if there is none."""
    rules: dict[str, Callable[[NDArray[Any]], Any]] = {
        "attention": lambda a: (a >= 0) & (a <= 1 + ROUNDING),
        "lens.top": lambda a: (a >= 0) & (a < vocab_size),
        "lens.target": lambda a: a <= ROUNDING,
        "lens.top_log_probability": lambda a: a <= ROUNDING,
        "embedding": lambda a: True,
    }
    for name, array in found.items():
        if not np.all(np.isfinite(array) & rules.get(name, not_negative)(array)):
            return name
    return ""


# ------------------------------------------------------------------------------------------------ for a page


def for_page(film: Film) -> dict[str, Any]:
    """Return what a page shows, small: texts, lists of numbers, and arrays of few bytes a number.

    attention      u1 (M, L, H, T (T + 1) / 2): 255 · weight, the lower triangle row by row
    embedding      f4 (M, K, 2): see `projected`; `labels` are the K texts
    lens_target, lens_top_log_probability   f2: ln p, of the next token of the text and of the five likeliest
    lens_top       the ids of those five; `vocabulary` has the text of each id that occurs
    loss           f2 (M, T - 1)
    gradient_norm, update_ratio   f4 (M, P), 0 where nothing was updated; `names` are the P parameters
    """
    lower = np.tril_indices(len(film.ids))
    triangle = film.attention[..., lower[0], lower[1]]
    used = sorted({*film.ids, *film.rows, *np.unique(film.top).tolist()})
    return {
        "steps": film.steps,
        "tokens": film.ids,
        "vocabulary": {i: film.text_of(i) for i in used},
        "labels": [film.text_of(i) for i in film.rows],
        "names": film.names,
        "train_loss": film.train_loss,
        "validation_loss": film.validation_loss,
        "evaluations": [list(each) for each in film.evaluations],
        "learning_rate": film.learning_rate,
        "grad_norm": film.grad_norm,
        "attention": np.rint(255 * np.minimum(triangle, 1)).astype(np.uint8),
        "embedding": projected(film.embedding),
        "lens_target": half(film.target),
        "lens_top": film.top.astype(np.min_scalar_type(film.config.vocab_size - 1)),
        "lens_top_log_probability": half(film.top_log_probability),
        "loss": half(film.loss),
        "gradient_norm": film.gradient_norm,
        "update_ratio": film.update_ratio,
    }


def half(x: NDArray[np.float32]) -> NDArray[np.float16]:
    """Return the numbers with three digits; those that float16 does not have become its largest."""
    most = np.finfo(np.float16).max
    return np.clip(x, -most, most).astype(np.float16)


def projected(embedding: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the embeddings (M, K, C) on two directions, (M, K, 2).

    All moments share the two principal directions, and the mean, of the last one. One linear map for all means that a point
    moves on the picture only if its embedding moves, and no further: no moment can be flipped or turned against the next.
    The early ones are small clouds in it, from which the structure of the last one grows. The sign of a direction makes the
    largest coordinate of the last moment positive.
    """
    last = embedding[-1].astype(np.float64)
    mean = last.mean(0)
    _, _, directions = np.linalg.svd(last - mean, full_matrices=False)  # (min(K, C), C), the most important first
    two = np.zeros((2, last.shape[1]))
    two[: min(2, len(directions))] = directions[:2]
    ends = (last - mean) @ two.T  # (K, 2)
    largest = ends[abs(ends).argmax(0), [0, 1]]
    two *= np.where(largest < 0, -1.0, 1.0)[:, None]
    found: NDArray[np.float32] = ((embedding - mean) @ two.T).astype(np.float32)
    return found


# ------------------------------------------------------------------------------------------- in the page of gpt.inspect

MOST_ATTENTION = 4 << 20  # bytes of a page
OF_MOMENTS = ("steps", "train_loss", "learning_rate", "grad_norm", "validation_loss")
DTYPES = {
    "lens_target": "f2",
    "lens_top_log_probability": "f2",
    "loss": "f2",
    "attention": "u1",
}  # of others: see `packed`


def packed(film: Film, packer: Packer) -> dict[str, Any]:
    """Add the arrays of a film to those of a page as film:NAME, and return the rest as JSON."""
    about = for_page(thinned(film))
    for name, value in list(about.items()):
        if isinstance(value, np.ndarray):
            packer.add(f"film:{name}", value, DTYPES.get(name, "f4" if value.dtype.kind == "f" else "i4"))
            del about[name]
    return about


def thinned(film: Film) -> Film:
    """Return the film with as many moments as a page has room for, evenly spaced, the first and the last among them."""
    T, (M, L, H) = len(film.ids), film.attention.shape[:3]
    room = MOST_ATTENTION // max(1, L * H * T * (T + 1) // 2)
    if room >= M:
        return film
    kept = sorted({round(i) for i in np.linspace(0, M - 1, max(2, room))})
    chosen: dict[str, Any] = {}
    for each in dataclasses.fields(film):
        value = getattr(film, each.name)
        if isinstance(value, np.ndarray):
            chosen[each.name] = value[kept]
        elif each.name in OF_MOMENTS:
            chosen[each.name] = [value[m] for m in kept]
    return dataclasses.replace(film, **chosen)
