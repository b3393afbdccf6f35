"""Softmax along one axis: y = eˣ / Σ eˣ, positive numbers whose sum is 1.

    dx = y (dy − Σ dy·y)

For the derivative of one y with respect to each x, take dy = 1 there and 0 elsewhere. Four times, with y = 0.1 … 0.4:

    >>> y, saved = softmax_forward(np.log([[1.0, 2.0, 3.0, 4.0]]), axis=1)
    >>> (dx,) = softmax_backward(np.eye(4), *saved)  # row i: the derivatives of y[i]. Raise x[i] and only y[i] grows
    >>> print(y.round(2), dx.round(2), sep="\\n")
    [[0.1 0.2 0.3 0.4]]
    [[ 0.09 -0.02 -0.03 -0.04]
     [-0.02  0.16 -0.06 -0.08]
     [-0.03 -0.06  0.21 -0.12]
     [-0.04 -0.08 -0.12  0.24]]
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.backend import Array
from tinytensor.layout import in_order
from tinytensor.primitive import Gradients, Output, primitive
from tinytensor.sums import total


def softmax_forward(x: Array, *, axis: int) -> Output:
    y = in_order(x - x.max(axis, keepdims=True))  # softmax(x + c) = softmax(x); with this c no exponential overflows
    np.exp(y, out=y)
    y /= total(y, axis, keepdims=True)  # the numbers along the axis now have the sum 1
    return y, (y, axis)  # the derivative is a function of y: x need not be saved


def softmax_backward(dy: Array, y: Array, axis: int) -> Gradients:
    dx = dy * y  # through eˣ, with the sum held constant
    dx -= y * total(dx, axis, keepdims=True)  # through the sum, which depends on each x: y (dy − Σ dy·y)
    return (dx,)


def softmax_composed(x: Any, *, axis: int) -> Any:
    """The same, written out in smaller operations."""
    e = (x - x.detach().max(axis, keepdim=True).values).exp()  # detached: the maximum is a constant, see above
    return e / e.sum(axis, keepdim=True)  # saves e and this quotient, where the pair saves one array


SOFTMAX = primitive(
    "softmax", softmax_forward, softmax_backward, composed=softmax_composed, wide=True, formula="y = eˣ / Σ eˣ"
)
