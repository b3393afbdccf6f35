"""Log-softmax along one axis, y = ln softmax(x) = x − ln Σ eˣ, and ln Σ eˣ itself, over several.

    dx = dy − eʸ Σ dy        for z = ln Σ eˣ        dx = dz · eˣ⁻ᶻ

Subtracting the maximum from x first changes nothing, as in softmax.py, and keeps eˣ from overflowing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.backend import Array
from tinytensor.layout import in_order
from tinytensor.ops.reduction import kept
from tinytensor.primitive import Gradients, Output, primitive
from tinytensor.sums import total


def log_softmax_forward(x: Array, *, axis: int) -> Output:
    y = in_order(x - x.max(axis, keepdims=True))
    y -= np.log(total(np.exp(y), axis, keepdims=True))
    return y, (y, axis)


def log_softmax_backward(dy: Array, y: Array, axis: int) -> Gradients:
    dx = np.exp(y)  # softmax(x)
    dx *= -total(dy, axis, keepdims=True)
    dx += dy
    return (dx,)


def log_softmax_composed(x: Any, *, axis: int) -> Any:
    """The same, written out in smaller operations. The maximum is a constant: its gradients would cancel."""
    below = x - x.detach().max(axis, keepdim=True).values
    return below - below.exp().sum(axis, keepdim=True).log()


LOG_SOFTMAX = primitive(
    "log_softmax", log_softmax_forward, log_softmax_backward, composed=log_softmax_composed, wide=True,
    formula="y = x − ln Σ eˣ",
)  # fmt: skip


def logsumexp_forward(x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Output:
    top = x.max(axis, keepdims=True)
    top = np.where(np.isfinite(top), top, top.dtype.type(0))  # ∞ − ∞ would be nan
    z = np.log(total(np.exp(x - top), axis, keepdims=True)) + top
    z = z if keepdims else z.reshape([n for d, n in enumerate(x.shape) if d not in axis])
    return z, (x, z, axis)


def logsumexp_backward(dz: Array, x: Array, z: Array, axis: tuple[int, ...]) -> Gradients:
    return (kept(dz, x.shape, axis) * np.exp(x - kept(z, x.shape, axis)),)  # softmax(x), as z is rounded


LOGSUMEXP = primitive("logsumexp", logsumexp_forward, logsumexp_backward, wide=True, formula="y = ln Σ eˣ")
