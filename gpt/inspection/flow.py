"""How gradients flow back: their norms in the residual stream, from the logits to the embedding, and of every parameter."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpt.build import Model
from gpt.diagnosis.measures import norm
from gpt.inspection.gradients import without_batch
from gpt.inspection.values import Pass, Value


def flow(found: Pass, model: Model) -> dict[str, Any]:
    """Norms √Σ x²: of each value of the stream and its gradient, in all and of each token's vector; and of parameters."""
    return {
        "blocks": [{"name": name, **_norms(found.values[name])} for name in stream(found)],
        "parameters": [_parameter(name, p) for name, p in model.named_parameters() if p.grad is not None],
    }


def stream(found: Pass) -> list[str]:
    """The names of the values on the way from the embedding to the logits, in the order of the forward."""
    of = {other: value.name for value in found.values.values() for other in (value.name, *value.same)}
    blocks = {f"blocks.{name.split('.')[1]}" for name in of if name.startswith("blocks.")}
    asked = {block + kind for block in blocks for kind in (".input", ".feed_forward_norm.input", ".output")}
    asked |= {"embedding.output", "norm.output", "head.output"}
    there = {of[name] for name in asked if name in of}
    return [name for name in found.values if name in there]  # in the order in which they were computed


def _parameter(name: str, p: Any) -> dict[str, Any]:
    weight, gradient = norm(p.numpy(force=True)), norm(p.grad.numpy())
    ratio = gradient / weight if weight else None
    return {"name": name, "shape": list(p.shape), "norm": gradient, "weight": weight, "ratio": ratio}


def _norms(value: Value) -> dict[str, Any]:
    assert value.gradient is not None
    x, g = (without_batch(each, value).astype(np.float64) for each in (value.array, value.gradient))
    return {
        "value": norm(x), "gradient": norm(g),
        "values": np.sqrt(np.square(x).sum(-1)).tolist(), "gradients": np.sqrt(np.square(g).sum(-1)).tolist(),
    }  # fmt: skip
