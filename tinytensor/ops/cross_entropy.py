"""Cross entropy of logits x (N, C) against classes t (N,): the mean, the sum, or each row's.

    loss[n] = ln Σ_c e^x[n,c] − x[n, t[n]]              dx[n] = dloss[n] (softmax(x[n]) − onehot(t[n]))

A row whose class is `ignore_index` has no loss and no gradient, and does not count in the mean.
Fused, because the gradient is shorter than the function: the softmax that the forward computed, less one at the class.
Source: Goodfellow, Bengio and Courville, "Deep Learning", 2016, section 6.2.2.3.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.backend import Array, array_module, ones
from tinytensor.primitive import primitive


def cross_entropy_forward(x: Array, *, target: Array, ignore_index: int, reduction: str) -> Any:
    xp = array_module(x)
    kept = target != ignore_index
    rows, classes = xp.arange(len(x)), xp.where(kept, target, 0)
    p = x - x.max(1, keepdims=True)
    at_target = p[rows, classes]
    np.exp(p, out=p)
    total = p @ ones(x.shape[1], x)
    p /= total[:, None]
    loss = np.log(total)
    loss -= at_target
    loss = np.where(kept, loss, np.zeros_like(loss))
    count = kept.sum().astype(x.dtype) if reduction == "mean" else None
    if reduction != "none":
        loss = loss.sum()
    return (loss / count if reduction == "mean" else loss), (p, rows, classes, kept, count)


def cross_entropy_backward(dy: Array, p: Array, rows: Array, classes: Array, kept: Array, count: Any) -> Any:
    p[rows, classes] -= 1
    scale = np.where(kept, dy if count is None else dy / count, np.zeros_like(dy))  # 0 also where count is 0
    p *= scale[:, None]
    return (p,)


def cross_entropy_composed(x: Any, *, target: Any, ignore_index: int, reduction: str) -> Any:
    """The same, written out in smaller operations: the negative log-softmax at the target."""
    ignored = target == ignore_index
    classes = target.masked_fill(ignored, 0).unsqueeze(1)
    loss = -x.log_softmax(1).gather(1, classes).squeeze(1).masked_fill(ignored, 0.0)
    total = loss if reduction == "none" else loss.sum()
    return total / (~ignored).sum() if reduction == "mean" else total


SMALLEST = float(np.float32(1e-12))  # of x (1 − x): what PyTorch takes at both ends, in every precision


def binary_cross_entropy_forward(x: Array, y: Array) -> Any:
    p, q = np.maximum(np.log(x), -100), np.maximum(np.log1p(-x), -100)  # as PyTorch, instead of −∞
    return (y - 1) * q - y * p, (x, y)


def binary_cross_entropy_backward(dy: Array, x: Array, y: Array) -> Any:
    return dy * (x - y) / np.maximum((1 - x) * x, SMALLEST), dy * (np.log1p(-x) - np.log(x))


CROSS_ENTROPY = primitive(
    "cross_entropy", cross_entropy_forward, cross_entropy_backward, composed=cross_entropy_composed,
    formula="y = ln Σ eˣ − x[target]", fits="logits (N, C), target (N,)",
)  # fmt: skip
BINARY_CROSS_ENTROPY = primitive(
    "binary_cross_entropy", binary_cross_entropy_forward, binary_cross_entropy_backward,
    formula="loss = −y ln x − (1 − y) ln(1 − x)",
)  # fmt: skip
