"""What a page is about: a model, a text, perhaps another one, and the corpus whose tokens are counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from gpt import corpus
from gpt.build import Model
from gpt.config import TrainConfig
from gpt.corpora.cached import Reader
from gpt.corpora.progress import on_stderr
from gpt.corpora.stored import Stored
from gpt.corpus import Corpus
from gpt.data import Ids
from gpt.errors import UserError
from gpt.inspection import film
from gpt.inspection.film import Film
from gpt.inspection.values import Array
from gpt.run import checkpoint, files
from gpt.run.film import FILM
from gpt.tokenizers import Tokenizer
from gpt.trained import Trained
from gpt.utf8 import with_lf

LONGEST = 256  # tokens in a page: its attention maps are as wide as they are high
COUNTED = 1 << 22  # characters of a corpus that are counted for the baselines
NONE = "no baselines: "
LINE = range(32, 65)  # characters of the line that is taken where no text is given


class Asked(NamedTuple):
    """The flags of gpt.inspect that say what the page is about."""

    text: str | None = None
    patch: str | None = None
    data: str | None = None
    tokenizer: str | None = None


@dataclass
class Subject:
    """What a page is about. The model computes in float32, on the CPU, as the page does."""

    name: str
    said: str  # which weights these are
    model: Model
    config: TrainConfig  # as it was trained
    tokenizer: Tokenizer
    ids: Array  # (T,)
    length: int  # tokens of the text, of which ids are the first T
    patch: Array | None = None  # (S,), of the other text
    train: Ids | None = None  # the tokens of the corpus, if it is there
    step: int | None = None
    notes: list[str] = field(default_factory=list)  # what is left out, and why
    command: str = ""
    film: Film | None = None  # of the training, if it was recorded


def choose(found: Trained, run: Path | str, asked: Asked, command: str) -> Subject:
    """Read the model, the texts and the corpus. Raises UserError."""
    tokenizer, notes = found.vocabulary(asked.tokenizer), list[str]()
    read = _corpus(found, run, asked, tokenizer, notes)
    longest = min(found.config.context, LONGEST)
    ids = (
        text_ids(tokenizer, asked.text, "--text") if asked.text is not None else _line(read, tokenizer, notes, longest)
    )
    patch = None if asked.patch is None else text_ids(tokenizer, asked.patch, "--patch")
    for name, each in (("the text", ids), ("the text of --patch", patch)):
        if each is not None and len(each) > longest:
            why = "the model's context" if longest == found.config.context else "as many as a page has"
            notes.append(f"{name} has {len(each):,} tokens; the page shows the first {longest:,}, {why}")
    if found.config.dtype != "float32":
        notes.append(f"the model was trained in {found.config.dtype}; the page computes in float32")
    return Subject(
        found.name, found.said, found.model("cpu").float(), found.config, tokenizer, ids[:longest], len(ids),
        None if patch is None else patch[:longest], _train(read, tokenizer, notes),
        found.checkpoint.step if found.checkpoint else None, notes, command, _film(found, run, notes),
    )  # fmt: skip


def _film(found: Trained, run: Path | str, notes: list[str]) -> Film | None:
    """The film of the run; None if it has none, and a note if it cannot be read."""
    if found.checkpoint is None or not files.exists(Path(run) / FILM):
        return None
    try:
        return film.read(run)
    except UserError as error:
        notes.append(f"no film: {error}")
        return None


def text_ids(tokenizer: Tokenizer, text: str, what: str) -> Array:
    """The tokens of a text, with line ends as in training. Raises UserError for fewer than two: the loss is that of the
    token after another."""
    return enough(tokenizer.encode(with_lf(text), what), f"{what} {text!r}")


def enough(ids: Array, what: str) -> Array:
    """The ids, if there are two or more. Raises UserError if not."""
    if len(ids) < 2:
        raise UserError(
            f"{what} is {'one token' if len(ids) else 'empty'}; give at least 2: a loss is that of the next token"
        )
    return ids


def _corpus(
    found: Trained, run: Path | str, asked: Asked, tokenizer: Tokenizer, notes: list[str]
) -> Corpus | Stored | None:
    """The text that the run was trained on, or the one that --data names; None, and a note, if it is not there."""
    show = on_stderr("gpt.inspect")
    if asked.data is not None:
        return corpus.read(asked.data, reader=Reader(tokenizer.name, tokenizer, show=show))
    if found.checkpoint is None:
        notes.append(f"{NONE}{found.name} does not say on which text it was trained; --data PATH names one")
        return None
    try:
        return checkpoint.read_corpus(found.checkpoint, Path(run), show)
    except UserError as error:
        reason = str(error).partition("; ")[0]  # without what training takes
        notes.append(f"{NONE}{reason}; --data PATH names its text")
        return None


def _train(read: Corpus | Stored | None, tokenizer: Tokenizer, notes: list[str]) -> Ids | None:
    """The tokens of the part for training."""
    try:
        if isinstance(read, Stored):
            return cast("Ids", read.split(tokenizer, 1, fixed=True)[0])
        if read is None:
            return None
        end = min(corpus.cut(read.text), COUNTED)
        if end == COUNTED:
            notes.append(f"the baselines count the first {COUNTED:,} characters of {read.name}")
        return tokenizer.encode(read.text[:end], read.name, small=True)
    except UserError as error:
        notes.append(f"{NONE}{error}")
        return None


def _line(read: Corpus | Stored | None, tokenizer: Tokenizer, notes: list[str], longest: int) -> Array:
    """The first line of the validation text that is neither short nor long; of stored tokens the first ones."""
    if isinstance(read, Stored):
        return np.asarray(read.validation[: min(longest, LINE.stop)])
    if read is None:
        raise UserError(f"there is no text to take a line of: {notes[-1].removeprefix(NONE)}, or give --text TEXT")
    text = read.text[corpus.cut(read.text) :]
    lines = text.splitlines()
    line = next(
        (line for line in lines[1:] if len(line) in LINE), text[: LINE.stop]
    )  # the first may begin within a word
    return text_ids(tokenizer, line, f"a line of {read.name},")
