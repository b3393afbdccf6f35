"""Saliency: how strongly the loss of each token depends on each character before it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import tinytensor
from gpt.build import Model
from gpt.inspection.values import NO_TARGET, Array
from tinytensor import Tensor

AT_ONCE = 4096  # tokens of one forward
LOGITS = 1 << 24  # logits of one forward


def saliency(model: Model, ids: Array) -> NDArray[np.float32]:
    """|∂ loss_t / ∂ e_s|, (T, T): row t of the loss of token t + 1, column s of the embedding of token s; 0 for s > t.

    The batch has a copy of the text for each t, and the loss of copy t is that of its token t + 1 alone. Copies do not mix,
    so one backward through the sum of the losses gives the gradients of all.
    """
    T = len(ids)
    norms = np.zeros((T, T), np.float32)
    rows = max(1, min(AT_ONCE, LOGITS // model.config.vocab_size) // T)
    kept: list[Tensor] = []
    hook = model.embedding.register_forward_hook(lambda module, args, y: kept.append(y))
    try:
        for first in range(0, T - 1, rows):
            last = min(first + rows, T - 1)  # copies first … last - 1: none of them sees tokens after its last
            norms[first:last, :last] = _norms(model, ids[: last + 1].astype(np.int64), first, last, kept)
    finally:
        hook.remove()
        model.zero_grad()
    return norms


def work(model: Model, ids: Array) -> float:
    """Additions and multiplications of it: 6 for each parameter and token of the copies."""
    return 3.0 * sum(p.numel() for p in model.parameters()) * len(ids) ** 2


def _norms(model: Model, ids: Array, first: int, last: int, kept: list[Tensor]) -> Array:
    """The rows first … last - 1."""
    count = last - first
    targets = np.full((count, last), NO_TARGET, np.int64)
    targets[np.arange(count), np.arange(first, last)] = ids[first + 1 : last + 1]
    inputs = np.broadcast_to(ids[:last], (count, last)).copy()
    kept.clear()
    _, loss = model(tinytensor.from_numpy(inputs), tinytensor.from_numpy(targets))
    (gradient,) = tinytensor.autograd.grad(loss * count, kept[0])  # the model returns the mean
    assert gradient is not None
    norms: Array = np.sqrt(np.square(gradient.numpy().astype(np.float64)).sum(-1))
    return norms
