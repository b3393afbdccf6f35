"""What can be wrong with a run: a model too large for the memory, and numbers that are not finite."""

from __future__ import annotations

import os

from gpt.build import Model
from gpt.config import GPTConfig, TrainConfig
from gpt.errors import UserError
from tinytensor import isfinite


def parameter_count(config: GPTConfig) -> int:
    """Return the number of parameters of the model that `gpt.build` makes, without making it."""
    V, C, bias = config.vocab_size, config.width, int(config.bias)
    if config.model == "bigram":
        return V * C + C * V + V
    norm = C + bias * C
    attention = 4 * C * C + bias * 4 * C
    feed_forward = 8 * C * C + bias * 5 * C
    embeddings = V * C + (config.context * C if config.positions == "learned" else 0)
    head = 0 if config.tied else V * C
    return embeddings + config.layers * (attention + feed_forward + 2 * norm) + norm + head


def check_memory(config: TrainConfig) -> None:
    """Raise UserError if weights, gradients and AdamW's two averages need more memory than the computer has."""
    known = getattr(os, "sysconf_names", {})
    if config.device != "cpu" or not {"SC_PAGE_SIZE", "SC_PHYS_PAGES"} <= known.keys():
        return
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    count = parameter_count(config)
    needed = count * (32 if config.dtype == "float64" else 16)  # float16: two arrays in it, and three in float32
    if needed > memory:
        sizes = "--width" if config.model == "bigram" else "--width, --layers or --context"
        raise UserError(
            f"a model of {count:,} parameters takes {needed / 2**30:,.0f} GiB to train, "
            f"and this computer has {memory / 2**30:,.0f}; lower {sizes}"
        )


def first_not_finite(model: Model) -> str:
    """Say which parameter is the first, in the model's order, whose value is not finite; else whose gradient is not."""
    parameters = list(model.named_parameters())
    values = [(name, "value", p) for name, p in parameters]
    gradients = [(name, "gradient", p.grad) for name, p in parameters if p.grad is not None]
    for name, what, tensor in values + gradients:
        if not bool(isfinite(tensor).all()):
            return f"the first parameter whose {what} is not finite is {name}"
    largest, name = max((float(p.detach().abs().max()), name) for name, p in parameters)
    return f"every parameter is finite, and the largest value, {largest:.1e}, is in {name}"
