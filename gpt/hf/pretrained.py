"""A pretrained model: a folder whose config.json and tensors fit together, before its weights are read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from gpt.build import Model
from gpt.config import TrainConfig
from gpt.errors import UserError
from gpt.hf import config, weights
from gpt.hf.folder import CONFIG, locate, opened
from gpt.tokenizers import Tokenizer, folders


@dataclass(frozen=True)
class Pretrained:
    """What a folder has, and how it was named."""

    name: str
    path: Path
    described: config.Described
    tokenizer: Tokenizer | None  # None: there are no files of one, or they cannot be used
    refusal: UserError | None = None  # why they cannot be used

    @property
    def config(self) -> TrainConfig:
        return self.described.config

    def model(self, wanted: TrainConfig) -> Model:
        """Return the model, in the precision, with the dropout and the context of `wanted`."""
        with opened(self.path) as folder:
            return weights.read(folder, self.described.kind, self.config, wanted).to(device=wanted.device)


def find(name: str) -> Pretrained:
    """Return what `hf:NAME` names. Raises UserError, which names file and tensor, for what is missing or does not fit.

    Weights need no tokenizer: the error of one that cannot be used is kept for who asks for it.
    """
    path = locate(name)
    with opened(path) as folder:
        described = config.read(folder.json(CONFIG), path / CONFIG)
        precise = weights.settled(folder, described.kind, described.config)
        tokenizer = refusal = None
        try:
            tokenizer = folders.read(folder, precise.vocab_size)
        except UserError as error:
            refusal = error
    if tokenizer is not None:
        precise = replace(precise, tokenizer=tokenizer.name)
    return Pretrained(name, path, replace(described, config=precise), tokenizer, refusal)
