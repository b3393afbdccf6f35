"""A small GPT and a batch for it, whose every parameter is random: zeros would hide what passes through them."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinytensor as tt
from gpt.build import build
from gpt.config import TrainConfig
from tinytensor import nn


def gpt(**options: Any) -> nn.Module:
    """2 layers, width 16, 4 heads, 11 tokens; float32."""
    tt.manual_seed(1)
    sizes = {"vocab_size": 11, "layers": 2, "width": 16, "heads": 4, "context": 8}
    model = build(TrainConfig(**(sizes | options)))
    for p in model.parameters():
        p.data.normal_(std=0.3)
    return model


def batch() -> tuple[tt.Tensor, tt.Tensor]:
    """Ids (2, 8) and their targets."""
    ids = tt.tensor(np.random.default_rng(0).integers(0, 11, (2, 9)))
    return ids[:, :-1], ids[:, 1:]
