"""Cross entropy of logits x (N, C) with classes t (N,): loss[n] = −ln softmax(x[n])[t[n]]; or their mean or sum.

    loss[n] = ln Σ_c e^x[n,c] − x[n, t[n]]              dx[n] = dloss[n] · (softmax(x[n]) − onehot(t[n]))

A row whose class is `ignore_index` has loss 0 and gradient 0, and does not count in the mean.
Fused, because the softmax of the forward is almost the gradient: the backward subtracts 1 at the class.
Source: Goodfellow, Bengio and Courville, "Deep Learning", 2016, section 6.2.2.3.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.backend import Array, array_module, ones
from tinytensor.primitive import Gradients, Output, primitive


def cross_entropy_forward(x: Array, *, target: Array, ignore_index: int, reduction: str) -> Output:
    xp = array_module(x)
    kept = target != ignore_index
    rows, classes = xp.arange(len(x)), xp.where(kept, target, 0)  # p[rows, classes] is p[n, t[n]] for each n
    p = x - x.max(1, keepdims=True)  # shifted, so that no exponential overflows: the loss stays the same
    at_target = p[rows, classes]
    np.exp(p, out=p)
    total = p @ ones(x.shape[1], x)  # Σ eˣ of each row, (N, C) @ (C,) -> (N,)
    p /= total[:, None]  # now softmax(x), which the backward needs
    loss = np.log(total) - at_target  # ln Σ eˣ − x[target]
    loss = np.where(kept, loss, np.zeros_like(loss))
    count = kept.sum().astype(x.dtype) if reduction == "mean" else None
    loss = loss if reduction == "none" else loss.sum()
    return (loss / count if reduction == "mean" else loss), (p, rows, classes, kept, count)


def cross_entropy_backward(dy: Array, p: Array, rows: Array, classes: Array, kept: Array, count: Any) -> Gradients:
    p[rows, classes] -= 1  # softmax − onehot, in place: p belongs to this pair alone (rule 3 of tape.py)
    dloss = np.where(kept, dy if count is None else dy / count, np.zeros_like(dy))  # through the mean; 0 where ignored
    p *= dloss[:, None]  # (N, C) · (N, 1)
    return (p,)


def cross_entropy_composed(x: Any, *, target: Any, ignore_index: int, reduction: str) -> Any:
    """The same, written out in smaller operations: the negative log-softmax at the target."""
    ignored = target == ignore_index
    classes = target.masked_fill(ignored, 0).unsqueeze(1)  # (N,) -> (N, 1), for gather
    loss = -x.log_softmax(1).gather(1, classes).squeeze(1).masked_fill(ignored, 0.0)
    total = loss if reduction == "none" else loss.sum()
    return total / (~ignored).sum() if reduction == "mean" else total


CROSS_ENTROPY = primitive(
    "cross_entropy", cross_entropy_forward, cross_entropy_backward, composed=cross_entropy_composed,
    formula="y = ln Σ eˣ − x[target]", fits="logits (N, C), target (N,)",
)  # fmt: skip
