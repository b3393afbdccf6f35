"""Log-softmax along one axis: y = ln softmax(x) = x − ln Σ eˣ.

    dx = dy − eʸ Σ dy

Subtracting the maximum from x first changes nothing, as in softmax.py, and keeps eˣ from overflowing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.backend import Array
from tinytensor.layout import in_order
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
