"""Trained models by what names them: a run folder, or `hf:` and a folder or name of a model that transformers saved."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from gpt.build import Model
from gpt.cli import check_device, note
from gpt.config import HUB, TrainConfig
from gpt.errors import UserError
from gpt.run import checkpoint
from gpt.run.checkpoint import Checkpoint
from gpt.tokenizers import Tokenizer, folders


@dataclass(frozen=True)
class Trained:
    """A trained model whose weights are read when they are asked for."""

    name: str
    config: TrainConfig
    tokenizer: Tokenizer | None  # None: the folder has no files of one, or they cannot be used
    said: str  # which weights these are
    read: Callable[[TrainConfig], Model]
    checkpoint: Checkpoint | None = None  # of a run
    dropouts: tuple[float, ...] = ()  # the shares of dropout that the model was trained with, if they are several
    refusal: UserError | None = None  # why the files of the tokenizer cannot be used

    def model(self, device: str | None = None) -> Model:
        """Return the model in evaluation mode. Without `device`, on the device of its configuration."""
        device = device or self.config.device
        check_device(device)
        return self.read(replace(self.config, device=device)).eval()

    def vocabulary(
        self, given: str | None = None, advice: str = "give --tokenizer, a folder that has one"
    ) -> Tokenizer:
        """Return the tokenizer, or the one that `given` names in its place: a run has its own, the text was read with it.

        Raises UserError, with the advice, if there is none or it cannot be used.
        """
        if given is not None and self.checkpoint is not None:
            raise UserError(f"--tokenizer {given}: {self.name} has its own; leave the flag out")
        if given is not None:
            return folders.named(given, self.config.vocab_size)
        if self.refusal is not None:
            raise UserError(f"{self.refusal}; {advice}")
        if self.tokenizer is None:
            raise UserError(f"{folders.missing(self.name)}; {advice}")
        return self.tokenizer


def find(name: str | Path, last: bool = False, program: str = "") -> Trained:
    """Return what the run folder, or `hf:NAME`, has: of a run the best weights that it keeps, or with `last` the last.

    The program, if there is one, says on stderr that a bug of the museum was on in the training.
    """
    if isinstance(name, str) and name.startswith(HUB):
        return pretrained(name, last)
    saved = checkpoint.read_model(Path(name), last)
    if program and (warning := saved.warning(name)):
        note(program, warning)
    device = (saved.written or saved.config).device
    config = replace(
        saved.config, device=device, cuda_graph=False, tf32=False
    )  # of training; they may not fit the device

    def read(config: TrainConfig) -> Model:
        return checkpoint.restore_model(replace(saved, config=config), config.device)

    return Trained(str(name), config, saved.tokenizer, saved.named(), read, saved)


def pretrained(name: str, last: bool) -> Trained:
    from gpt.hf import pretrained  # a run needs none of it

    if last:
        raise UserError(f"--last: {name} is no run and has one model; leave it out")
    found = pretrained.find(name)
    several = tuple(sorted(set(found.described.dropouts.values())))
    said = f"the weights of {found.path}"
    several = several if len(several) > 1 else ()
    return Trained(name, found.config, found.tokenizer, said, found.model, dropouts=several, refusal=found.refusal)


def load(
    run: str | Path, device: str | None = None, last: bool = False, tokenizer: str | None = None
) -> tuple[Model, Tokenizer | None]:
    """Return a trained model in evaluation mode, and its tokenizer. Without `device`, on the device of the run.

    `run` is a run folder, of which it takes the best weights, with `last` the last ones; or "hf:PATH_OR_NAME", a model that
    transformers saved. `tokenizer` names one in place of that model's, as --tokenizer does. Without it the tokenizer is None if
    the folder has no files of one. Warns if a bug of the museum was on in the training. Raises UserError for files of another
    kind than this reads.
    """
    found = find(run, last)
    if found.checkpoint is not None and (warning := found.checkpoint.warning(run)):
        warnings.warn(warning, stacklevel=2)
    none = tokenizer is None and found.tokenizer is None and found.refusal is None
    vocabulary = None if none else found.vocabulary(tokenizer, 'give tokenizer="FOLDER", a folder that has one')
    return found.model(device), vocabulary
