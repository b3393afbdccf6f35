"""Whether a model fits into the memory, found out before it is built; and how much it takes on a GPU."""

from __future__ import annotations

import os

from gpt.config import GPTConfig, TrainConfig
from gpt.errors import UserError
from gpt.metrics import Row
from tinytensor import cuda


def parameter_count(config: GPTConfig) -> int:
    """The number of parameters that `gpt.model.build` makes."""
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
    """UserError if weights, gradients and AdamW's two averages exceed the computer's memory."""
    known = getattr(os, "sysconf_names", {})
    if config.device != "cpu" or not {"SC_PAGE_SIZE", "SC_PHYS_PAGES"} <= known.keys():
        return
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    count = parameter_count(config)
    needed = count * (32 if config.dtype == "float64" else 16)  # float16: two in it, and three in float32
    if needed > memory:
        sizes = "--width" if config.model == "bigram" else "--width, --layers or --context"
        raise UserError(
            f"a model of {count:,} parameters takes {needed / 2**30:,.0f} GiB to train, "
            f"and this computer has {memory / 2**30:,.0f}; lower {sizes}"
        )


def add_gpu_memory(row: Row, config: TrainConfig) -> None:
    """Note how much of the GPU's memory tensors use, and the most until now; nothing on the CPU."""
    if config.device != "cpu":
        row["gpu_memory"], row["gpu_memory_peak"] = cuda.memory_allocated(), cuda.max_memory_allocated()


def in_words(row: Row) -> str:
    """The same for people; "" for a row of the CPU's."""
    if "gpu_memory" not in row:
        return ""
    used, peak = (row[key] / 2**20 for key in ("gpu_memory", "gpu_memory_peak"))
    return f", GPU memory {used:,.0f} MiB (peak {peak:,.0f})"
