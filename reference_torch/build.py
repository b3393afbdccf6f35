"""The models by their names in the configuration."""

from __future__ import annotations

from typing import TypeAlias

from gpt.config import GPTConfig
from reference_torch.bigram import Bigram
from reference_torch.model import GPT

Model: TypeAlias = GPT | Bigram


def build(config: GPTConfig) -> Model:
    """Return the model that `config.model` names, with fresh weights."""
    return GPT(config) if config.model == "gpt" else Bigram(config)
