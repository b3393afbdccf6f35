"""Trained models by what names them: a run folder, or `hf:` and a folder or name of a model that transformers saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from gpt.build import Model
from gpt.cli import check_device
from gpt.config import TrainConfig
from gpt.errors import UserError
from gpt.run import checkpoint
from gpt.run.checkpoint import Checkpoint
from gpt.tokenizers import Tokenizer

HUB = "hf:"


@dataclass(frozen=True)
class Trained:
    """A trained model whose weights are read when they are asked for."""

    name: str
    config: TrainConfig
    tokenizer: Tokenizer | None  # None: the folder has no files of one
    said: str  # which weights these are
    read: Callable[[TrainConfig], Model]
    checkpoint: Checkpoint | None = None  # of a run
    dropouts: tuple[float, ...] = ()  # the shares of dropout that the model was trained with, if they are several

    def model(self, device: str | None = None) -> Model:
        """Return the model in evaluation mode. Without `device`, on the device of its configuration."""
        device = device or self.config.device
        check_device(device)
        return self.read(replace(self.config, device=device)).eval()

    def vocabulary(
        self, given: str | None = None, advice: str = "give --tokenizer, a folder that has them"
    ) -> Tokenizer:
        """Return the tokenizer; `given` names one for a model without. Raises UserError, with the advice, if there is none."""
        if given is not None and self.tokenizer is not None:
            raise UserError(f"--tokenizer {given}: {self.name} has its own; leave the flag out")
        if given is not None:
            from gpt.hf.tokenizer import named

            return named(given, self.config.vocab_size)
        if self.tokenizer is None:
            raise UserError(f"{self.name} has no tokenizer.json, and no vocab.json with merges.txt; {advice}")
        return self.tokenizer


def find(name: str | Path, last: bool = False) -> Trained:
    """Return what the run folder, or `hf:NAME`, has: of a run the best weights that it keeps, or with `last` the last."""
    if isinstance(name, str) and name.startswith(HUB):
        return pretrained(name, last)
    saved = checkpoint.read_model(Path(name), last)
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
    several = tuple(sorted(set(found.described.dropouts.values()))) if not found.described.is_ours else ()
    said = f"the weights of {found.path}"
    return Trained(name, found.config, found.tokenizer, said, found.model, dropouts=several if len(several) > 1 else ())


def load(run: str | Path, device: str | None = None, last: bool = False) -> tuple[Model, Tokenizer | None]:
    """Return a trained model in evaluation mode, and its tokenizer. Without `device`, on the device of the run.

    `run` is a run folder, of which it takes the best weights, with `last` the last ones; or "hf:PATH_OR_NAME", a model that
    transformers saved. The tokenizer is None if the folder of such a model has no files of one.
    """
    found = find(run, last)
    return found.model(device), found.tokenizer
