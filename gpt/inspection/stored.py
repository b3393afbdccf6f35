"""What a page has of a model whose weights it cannot hold: what it would compute from them, computed by the engine.

A page with all weights computes every value itself, to the last digit that the engine has. Of a larger model it has the
residual stream after every layer, the attention weights, what the model would say after each layer (the logit lens), and
what its losses are without each head.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

import tinytensor
from gpt.build import Model
from gpt.errors import UserError
from gpt.inspection.flow import stream
from gpt.inspection.gradients import without_batch
from gpt.inspection.pack import Packer
from gpt.inspection.saliency import LOGITS
from gpt.inspection.values import Array, Pass
from gpt.lens import lens as read_off
from gpt.lens import losses
from tinytensor import Tensor

WEIGHTS = 20e6  # bytes of weights in a page
ARRAYS = 40e6  # bytes of all arrays in a page
WORK = 2e12  # additions and multiplications, about a minute: what takes more is left out


def is_large(model: Model) -> bool:
    """Whether the weights, in float32, are too much for a page."""
    return 4 * sum(p.numel() for p in model.parameters()) > WEIGHTS


def is_too_much(found: Pass, model: Model) -> bool:
    """Whether the weights are too much for a page, or with the logits and the gradients of all values."""
    gradients = sum(2 * value.gradient.size for value in found.values.values() if value.gradient is not None)
    weights = 4 * sum(p.numel() for p in model.parameters())
    return is_large(model) or weights + gradients + found.values["head.output"].array.nbytes > ARRAYS


def names(found: Pass) -> list[str]:
    """The values that such a page has."""
    return [*stream(found)[:-1], *(name for name in found.values if name.endswith("attention.weights"))]


def add(found: Pass, packer: Packer) -> None:
    """Put "v:NAME" and "g:NAME" into the packer for each of them. Raises UserError if that is too much as well."""
    values = [found.values[name] for name in names(found)]
    size = sum(4 * value.array.size for value in values)
    if size > ARRAYS:
        raise UserError(
            f"the attention of this text alone takes {size / 1e6:.0f} MB, too much for a page; give a shorter text"
        )
    for value in values:
        packer.add_scaled(f"v:{value.name}", without_batch(value.array, value))
        if value.gradient is not None:
            packer.add_scaled(f"g:{value.name}", without_batch(value.gradient, value))


def lens(found: Pass, model: Model, ids: Array) -> list[dict[str, Any]]:
    """What the head says of the stream after each layer, and of the last, which is what the model says.

    {name, loss: of the token after each, top: the ids of the most probable tokens, p: their probabilities}
    """
    rows = []
    for name in stream(found):
        if name not in ("norm.output", "head.output"):
            with tinytensor.no_grad():
                x = tinytensor.from_numpy(found.values[name].array)
                logits: Tensor = model.head(model.norm(x) if hasattr(model, "norm") else x)
            rows.append({"name": name, **_said(logits.numpy()[0], ids)})
    return rows


def _said(logits: Array, ids: Array) -> dict[str, Any]:
    _, top, log_probability = read_off(logits, ids)
    return {
        "loss": [*losses(logits, ids), None],
        "top": top.tolist(),
        "p": np.exp(log_probability.astype(np.float64)).tolist(),
    }


def ablations(model: Model, ids: Array, notes: list[str]) -> list[dict[str, Any]] | None:
    """The losses without each head: {layer, head, loss}. None, and a note, if that is too much work."""
    config, parameters = model.config, sum(p.numel() for p in model.parameters())
    layers, heads = (config.layers, config.heads) if config.model == "gpt" else (0, 0)
    if 2.0 * parameters * len(ids) * layers * heads > WORK:
        notes.append(
            f"no losses without each head: {layers * heads} forwards of {parameters:,} parameters take too long"
        )
        return None
    at_once = max(1, LOGITS // (len(ids) * config.vocab_size))
    rows = []
    for layer, first in itertools.product(range(layers), range(0, heads, at_once)):
        off = range(first, min(first + at_once, heads))
        logits = without_heads(model, ids, layer, off)
        rows += [{"layer": layer, "head": head, "loss": [*losses(logits[i], ids), None]} for i, head in enumerate(off)]
    return rows


def without_heads(model: Model, ids: Array, layer: int, off: Sequence[int]) -> Array:
    """The logits (len(off), T, V) of a batch of copies of the text: in copy i the head off[i] of the layer adds nothing."""
    on = np.ones((len(off), model.config.heads, 1, 1), np.float32)
    on[np.arange(len(off)), off] = 0.0
    copies = np.broadcast_to(ids.astype(np.int64), (len(off), len(ids))).copy()
    with tinytensor.no_grad(), tinytensor.trace(model, calls=False) as t:
        t.edit(f"blocks.{layer}.attention.weights", lambda weights: weights * tinytensor.from_numpy(on))
        logits, _ = model(tinytensor.from_numpy(copies))
    found: Array = logits.numpy()
    return found
