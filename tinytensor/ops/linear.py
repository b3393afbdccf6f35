"""Linear: y = x Wᵀ + b.  x (…, I), W (O, I), b (O,) → y (…, O).

    dx = dy W        dW = dyᵀ x        db = Σ dy

All leading dimensions are folded into one, so that each line is one product of two matrices.
"""

from __future__ import annotations

import math
from typing import Any

from tinytensor.backend import Array, array_module
from tinytensor.primitive import primitive


def linear_forward(x: Array, w: Array, b: Array | None) -> Any:
    if x.shape[-1] != w.shape[-1]:
        raise ValueError(f"the last dimension of x is {x.shape[-1]}, of the weight {w.shape[-1]}")
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    y = rows @ w.T
    if b is not None:
        y += b
    return y.reshape(*x.shape[:-1], *w.shape[:-1]), (rows, x.shape, w, b is not None)


def linear_backward(
    dy: Array,
    rows: Array,
    x_shape: tuple[int, ...],
    w: Array,
    has_bias: bool,
    *,
    needs: tuple[bool, ...] = (True, True, True),
) -> Any:
    outputs = math.prod(w.shape[:-1])  # not -1 below: an array without elements has no size to infer
    dy = dy.reshape(len(rows), outputs)
    dx = (dy @ w.reshape(outputs, rows.shape[1])).reshape(x_shape) if needs[0] else None
    dw = (dy.T @ rows).reshape(w.shape) if needs[1] else None
    # ones @ dy is dy.sum(0), four times as fast: it is a BLAS call
    db = array_module(dy).ones(len(dy), dy.dtype) @ dy if has_bias and needs[2] else None
    return dx, dw, db


def linear_composed(x: Any, w: Any, b: Any) -> Any:
    """The same, written out in smaller operations."""
    return x @ w.t() if b is None else x @ w.t() + b


LINEAR = primitive(
    "linear", linear_forward, linear_backward, composed=linear_composed,
    formula="y = x Wᵀ + b", fits="x (…, I), weight (O, I), bias (O,)",
)  # fmt: skip
