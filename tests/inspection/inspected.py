"""Small models to inspect: a subject, and what the page has of it."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np

import tinytensor
from gpt.build import build
from gpt.config import TrainConfig
from gpt.inspection.collect import collect
from gpt.inspection.pack import unpacked
from gpt.inspection.subject import Subject
from gpt.tokenizers import CharTokenizer

ALPHABET = CharTokenizer("".join(map(chr, range(97, 97 + 11))))
SMALL: dict[str, Any] = {"vocab_size": 11, "layers": 2, "width": 16, "heads": 4, "context": 12}
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "gpt2": {"positions": "learned", "tied": True, "bias": False, "activation": "gelu", "init": "gpt2"},
    "llama": {"norm": "rms", "activation": "swiglu", "bias": False, "kv_heads": 2, "qk_norm": True},
    "others": {"activation": "relu", "attention_scale": "layer", "hidden": 24, "norm_eps": 0.1},
    "one head": {"heads": 1, "activation": "tanh", "attention_scale": "none"},
    "bigram": {"model": "bigram"},
}  # fmt: skip


class Inspected(NamedTuple):
    subject: Subject
    data: dict[str, Any]
    arrays: dict[str, Any]


def subject(length: int = 7, seed: int = 1, **options: Any) -> Subject:
    """A model whose every parameter is random: zeros would hide what passes through them."""
    random = np.random.default_rng(seed)
    config = TrainConfig(**SMALL | options)
    model = build(config).eval()
    for p in model.parameters():
        p.data.copy_(tinytensor.from_numpy(random.normal(0, 0.3, p.shape).astype(np.float32)))
    ids = random.integers(0, 11, length)
    return Subject("run", "the last weights", model, config, ALPHABET, ids, length)


def inspected(given: Subject) -> Inspected:
    """What a page has of it: all that is packed is unpacked."""
    data, text = collect(given)
    data = json.loads(json.dumps(data))  # as the page reads it
    arrays = unpacked(text, data["arrays"], data["scales"])
    return Inspected(given, data | json.loads(arrays["json"].tobytes()), arrays)
