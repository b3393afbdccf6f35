"""Cross entropy of logits x (N, C) with classes t (N,): loss[n] = −ln softmax(x[n])[t[n]]; or their mean or sum.

    loss[n] = ln Σ_c e^x[n,c] − x[n, t[n]]              dx[n] = dloss[n] · (softmax(x[n]) − onehot(t[n]))

A row whose class is `ignore_index` has loss 0 and gradient 0, and does not count in the mean.
Fused, because the softmax of the forward is almost the gradient: the backward subtracts 1 at the class.
Source: Goodfellow, Bengio and Courville, "Deep Learning", 2016, section 6.2.2.3.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.backend import Array, array_module
from tinytensor.primitive import Gradients, Output, primitive
from tinytensor.sums import row_sums


def cross_entropy_forward(x: Array, *, target: Array, ignore_index: int, reduction: str) -> Output:
    xp = array_module(x)
    kept = target != ignore_index
    each, classes = xp.arange(len(x)), xp.where(kept, target, 0)  # p[each, classes] is p[n, t[n]] for each n
    p = x - x.max(1, keepdims=True)  # shifted: no exponential overflows. Overwritten until it is softmax(x)
    at_target = p[each, classes]
    np.exp(p, out=p)
    total = row_sums(p)  # Σ eˣ of each row, (N, C) -> (N,)
    p /= total[:, None]  # the shift cancels: this is softmax(x), which the backward needs
    loss = np.where(kept, np.log(total) - at_target, np.zeros_like(total))  # ln Σ eˣ − x[target]; 0 where ignored
    count = kept.sum().astype(x.dtype) if reduction == "mean" else None
    loss = loss if reduction == "none" else loss.sum()
    return (loss / count if reduction == "mean" else loss), (p, each, classes, kept, count)


def cross_entropy_backward(dy: Array, p: Array, each: Array, classes: Array, kept: Array, count: Any) -> Gradients:
    p[each, classes] -= 1  # softmax − onehot; nobody else has p, so the backward may overwrite it
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
    "cross_entropy", cross_entropy_forward, cross_entropy_backward, composed=cross_entropy_composed, wide=True,
    formula="y = ln Σ eˣ − x[target]", fits="logits (N, C), target (N,)",
)  # fmt: skip
