"""What can be wrong with a run: a model too large for the memory, and numbers that are not finite."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path

from gpt.build import Model
from gpt.config import GPTConfig, TrainConfig
from gpt.errors import UserError
from tinytensor import isfinite


def parameter_shapes(config: GPTConfig) -> dict[str, tuple[int, ...]]:
    """Return the shape of each parameter of the model that `gpt.build` makes, by its name, without making it."""
    V, C = config.vocab_size, config.width
    if config.model == "bigram":
        return {"embedding.weight": (V, C), "head.weight": (V, C), "head.bias": (V,)}
    D, hidden, rms = C // config.heads, config.hidden_width, config.norm == "rms"
    linear = {"attention.qkv": ((config.heads + 2 * config.groups) * D, C), "attention.projection": (C, C),
              "feed_forward.up": (hidden, C), "feed_forward.projection": (C, hidden)}  # fmt: skip
    if config.activation == "swiglu":
        linear["feed_forward.gate"] = (hidden, C)
    norms = {"attention_norm": (C,), "feed_forward_norm": (C,)}
    weights = {f"blocks.{i}.{name}": shape for i in range(config.layers) for name, shape in {**linear, **norms}.items()}
    weights["norm"] = (C,)
    shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (V, C)}
    if config.positions == "learned":
        shapes["position_embedding.weight"] = (config.context, C)
    for name, shape in weights.items():
        shapes[f"{name}.weight"] = shape
        if config.bias and not (rms and name.endswith("norm")):
            shapes[f"{name}.bias"] = shape[:1]
    if config.qk_norm:
        shapes |= {f"blocks.{i}.attention.{q}_norm.weight": (D,) for i in range(config.layers) for q in "qk"}
    return shapes if config.tied else {**shapes, "head.weight": (V, C)}


def parameter_count(config: GPTConfig) -> int:
    """Return the number of parameters of the model that `gpt.build` makes, without making it."""
    return sum(math.prod(shape) for shape in parameter_shapes(config).values())


def check_memory(config: TrainConfig, loaded: Path | None = None) -> None:
    """Raise UserError if the model needs more memory than this process may use.

    In training that is weights, gradients and AdamW's two averages; for a model that is loaded from a folder the weights, and
    the file that they come from.
    """
    memory = usable_memory()
    if config.device != "cpu" or memory is None:
        return
    count = parameter_count(config)
    width = 8 if config.dtype == "float64" else 4  # float16 trains with two arrays in it, and three in float32
    needed = count * width * (2 if loaded else 4)
    if needed > memory:
        sizes = "--width" if config.model == "bigram" else "--width, --layers or --context"
        raise UserError(
            (f"{loaded}: " if loaded else "")
            + f"a model of {count:,} parameters takes {needed / 2**30:,.0f} GiB to {'load' if loaded else 'train'}, "
            f"and this process may use {memory / 2**30:,.0f}" + ("" if loaded else f"; lower {sizes}")
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
