"""Softmax and log-softmax along one axis.

    y = e^(x − max x) / Σ e^(x − max x)                 dx = y (dy − Σ dy·y)
    y = x − max x − ln Σ e^(x − max x)   (log-softmax)   dx = dy − e^y Σ dy

Subtracting the maximum changes nothing, since softmax(x + c) = softmax(x), and keeps e^x from overflowing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.backend import Array
from tinytensor.primitive import primitive


def softmax_forward(x: Array, *, axis: int) -> Any:
    y = x - x.max(axis, keepdims=True)
    np.exp(y, out=y)
    y /= y.sum(axis, keepdims=True)
    return y, (y, axis)


def softmax_backward(dy: Array, y: Array, axis: int) -> Any:
    dx = dy * y
    dx -= y * dx.sum(axis, keepdims=True)
    return (dx,)


def log_softmax_forward(x: Array, *, axis: int) -> Any:
    y = x - x.max(axis, keepdims=True)
    y -= np.log(np.exp(y).sum(axis, keepdims=True))
    return y, (y, axis)


def log_softmax_backward(dy: Array, y: Array, axis: int) -> Any:
    dx = np.exp(y)
    dx *= -dy.sum(axis, keepdims=True)
    dx += dy
    return (dx,)


def softmax_composed(x: Any, *, axis: int) -> Any:
    """Softmax, written out in smaller operations. The maximum is a constant: its gradient would cancel."""
    e = (x - x.detach().max(axis, keepdim=True).values).exp()
    return e / e.sum(axis, keepdim=True)


def log_softmax_composed(x: Any, *, axis: int) -> Any:
    """Log-softmax, likewise."""
    below = x - x.detach().max(axis, keepdim=True).values
    return below - below.exp().sum(axis, keepdim=True).log()


SOFTMAX = primitive(
    "softmax", softmax_forward, softmax_backward, composed=softmax_composed, formula="y = eˣ / Σ eˣ"
)  # fmt: skip
LOG_SOFTMAX = primitive(
    "log_softmax", log_softmax_forward, log_softmax_backward, composed=log_softmax_composed, formula="y = x − ln Σ eˣ"
)
