"""Forward and backward of a trained model on a few windows, and what its layers did meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import tinytensor
from gpt.data import Ids
from gpt.diagnosis import measures
from gpt.diagnosis.measures import Array
from gpt.model import GPT, CausalSelfAttention, FeedForward
from tinytensor import Tensor, from_numpy, no_grad


@dataclass
class Probe:
    """What a model did on some batches, by the names of its layers."""

    tokens: int = 0
    loss: float = 0.0  # mean over the batches
    gradients: dict[str, float] = field(default_factory=dict)  # parameter: norm of the gradient of the mean loss
    weights: dict[str, float] = field(default_factory=dict)  # parameter: norm
    dead: dict[str, Array] = field(
        default_factory=dict
    )  # feed-forward layer: which units were off for every token (F,)
    entropies: dict[str, Array] = field(default_factory=dict)  # attention layer: share of the most, (heads, queries)


def probe(model: Any, batches: list[tuple[Ids, Ids]]) -> Probe:
    """Run forward and backward of every batch, in evaluation mode. Leaves no gradient behind."""
    found = Probe(tokens=sum(ids.size for ids, _ in batches))
    model.eval()
    model.zero_grad()
    with watched(model, found):
        for ids, targets in batches:
            x, y = tensor(ids, model), tensor(targets, model)
            _, loss = model(x, y)
            share = ids.size / found.tokens
            (loss * share).backward()
            found.loss += loss.item() * share
    for name, parameter in model.named_parameters():
        found.weights[name] = measures.norm(array(parameter))
        found.gradients[name] = 0.0 if parameter.grad is None else measures.norm(array(parameter.grad))
    model.zero_grad()
    return found


@contextmanager
def watched(model: Any, found: Probe) -> Iterator[None]:
    """A context in which the layers of a GPT note what they do."""
    handles = []
    for name, module in model.named_modules():
        if isinstance(module, FeedForward):
            handles.append(module.activation.register_forward_hook(watch_units(model.config.activation, name, found)))
        elif isinstance(module, CausalSelfAttention):
            handles.append(module.register_forward_hook(watch_attention(name, found)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def watch_units(activation: str, name: str, found: Probe) -> Any:
    """Return a hook that notes which units of a feed-forward layer were off for every token so far."""

    def hook(_: Any, args: Any, output: Tensor) -> None:
        y = array(output)
        off = np.asarray(measures.off(y.reshape(-1, y.shape[-1]), activation).all(axis=0))
        found.dead[name] = off & found.dead[name] if name in found.dead else off

    return hook


def watch_attention(name: str, found: Probe) -> Any:
    """Return a hook that notes the entropies of a layer's attention weights."""

    def hook(module: CausalSelfAttention, args: Any, output: Tensor) -> None:
        if args[0].shape[1] < 2:
            return  # a token alone has no choice
        weights = attention_weights(module, args[0])  # (B, H, T, T)
        shares = np.moveaxis(measures.entropy(weights), 1, 0).reshape(weights.shape[1], -1)
        found.entropies[name] = (
            np.concatenate([found.entropies[name], shares], 1) if name in found.entropies else shares
        )

    return hook


def attention_weights(module: CausalSelfAttention, x: Tensor) -> Array:
    """Return the weights (B, H, T, T) with which a layer mixes values, for its inputs x (B, T, C)."""
    with no_grad(), tinytensor.trace(calls=False) as t:
        module.forward(x)  # not module(x): its hooks would run again
    return array(t["weights"])


def depends_on_the_future(model: Any, ids: Array) -> float:
    """Return how much the predictions of a window (B, T) change when its second half does: 0 for a causal model.

    It is the largest change of a logit in the first half, as a share of the largest logit.
    """
    half = ids.shape[1] // 2
    return change(model, ids, np.concatenate([ids[:, :half], np.roll(ids[:, half:], 1, 0)[:, ::-1]], 1), slice(0, half))


def change(model: Any, ids: Array, others: Array, places: slice) -> float:
    """Return the largest change of a logit at these places between two batches, as a share of the largest logit."""
    with no_grad():
        one, two = (array(model(tensor(part, model))[0])[:, places] for part in (ids, others))
    return float(abs(one - two).max() / max(float(abs(one).max()), 1e-30)) if one.size else 0.0


def knows_order(model: GPT, ids: Array, random: np.random.Generator) -> float:
    """Return how much the first attention layer's last result changes when the tokens before the last are shuffled.

    It is the largest change as a share of the largest result: 0 if the layer does not know where a token stands.
    """
    results: list[Array] = []
    shuffled = np.concatenate([random.permuted(ids[:, :-1], axis=1), ids[:, -1:]], 1)
    # Before the projection, which may still be zero.
    handle = model.blocks[0].attention.projection.register_forward_pre_hook(
        lambda _, args: results.append(array(args[0])[:, -1])
    )
    try:
        change(model, ids, shuffled, slice(0, 1))
    finally:
        handle.remove()
    one, two = results
    return float(abs(one - two).max() / max(float(abs(one).max()), 1e-30))


def tensor(ids: Ids, model: Any) -> Tensor:
    """Return the tokens as a Tensor where the model is."""
    return from_numpy(np.ascontiguousarray(ids)).to(next(model.parameters()).device)


def array(x: Tensor) -> Array:
    """Return the numbers of a Tensor, in float64 if they are in float16."""
    numbers = x.detach().cpu().numpy()
    return numbers.astype(np.float64) if numbers.dtype == np.float16 else numbers
