"""What can be wrong with a run: a model too large for the memory, and numbers that are not finite."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

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
    memory = usable_memory()
    if config.device != "cpu" or memory is None:
        return
    count = parameter_count(config)
    needed = count * (32 if config.dtype == "float64" else 16)  # float16: two arrays in it, and three in float32
    if needed > memory:
        sizes = "--width" if config.model == "bigram" else "--width, --layers or --context"
        raise UserError(
            f"a model of {count:,} parameters takes {needed / 2**30:,.0f} GiB to train, "
            f"and this process may use {memory / 2**30:,.0f}; lower {sizes}"
        )


def usable_memory(cgroups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int | None:
    """Return how many bytes this process may use, of the computer's or of its container's; None if nobody knows.

    A container is a control group of Linux: `own` names it, a limit of a group above it holds as well. Version 2 has
    them in one tree, version 1 those for memory in a tree of their own.
    Source: "Control Group v2", docs.kernel.org/admin-guide/cgroup-v2.html, memory.max.
    """
    limits = []
    if {"SC_PAGE_SIZE", "SC_PHYS_PAGES"} <= getattr(os, "sysconf_names", {}).keys():
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with suppress(OSError, ValueError):  # no Linux
        for line in own.read_text("utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "memory" not in controllers.split(","):
                continue
            tree, name = (cgroups / "memory", "memory.limit_in_bytes") if controllers else (cgroups, "memory.max")
            group = tree / path.lstrip("/")  # not there inside a container, which sees itself as the top of the tree
            for folder in {tree, group, *group.parents} - set(tree.parents):
                with suppress(OSError, ValueError):  # "max": no limit
                    limits.append(int((folder / name).read_text("utf-8")))
    return min(limits, default=None)


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
