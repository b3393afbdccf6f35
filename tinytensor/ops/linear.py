"""Linear: y = x Wᵀ + b.  x (…, I), W (O, I), b (O,) → y (…, O).

    dx = dy W        dW = dyᵀ x        db = Σ dy

All leading dimensions are folded into one, so that each line is one product of two matrices.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinytensor.backend import Array, ones, product
from tinytensor.ops.elementwise import unbroadcast
from tinytensor.primitive import primitive


def linear_forward(x: Array, w: Array, b: Array | None) -> Any:
    if x.ndim == 0 or w.ndim not in (1, 2) or x.shape[-1] != w.shape[-1]:
        raise ValueError("the last dimension of x is the last of the weight's two")
    if b is not None and b.ndim > 1:
        raise ValueError("the bias has one dimension")
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    y = product(rows, w.T)
    if b is not None:
        y += b
    return y.reshape(*x.shape[:-1], *w.shape[:-1]), (rows, x.shape, w, None if b is None else b.shape)


def linear_backward(
    dy: Array,
    rows: Array,
    x_shape: tuple[int, ...],
    w: Array,
    b_shape: tuple[int, ...] | None,
    *,
    needs: tuple[bool, ...] = (True, True, True),
    places: tuple[Array | None, ...] = (None, None, None),
) -> Any:
    dy = dy.reshape(len(rows), math.prod(w.shape[:-1]))
    matrix = dy.shape[1], w.shape[-1]
    dx = dw = db = None
    if needs[0]:
        dx = product(dy, w.reshape(matrix)).reshape(x_shape)
    if needs[1]:
        dw = np.empty_like(w) if places[1] is None else places[1]
        product(dy.T, rows, out=dw.reshape(matrix))
    if needs[2] and b_shape is not None:
        # ones @ dy is dy.sum(0), four times as fast: it is a BLAS call
        db = unbroadcast(product(ones(len(dy), dy), dy), b_shape)
    return dx, dw, db


def linear_composed(x: Any, w: Any, b: Any) -> Any:
    """The same, written out in smaller operations."""
    return x @ w.t() if b is None else x @ w.t() + b


LINEAR = primitive(
    "linear", linear_forward, linear_backward, composed=linear_composed,
    formula="y = x Wᵀ + b", fits="x (…, I), weight (O, I), bias (O,)",
)  # fmt: skip
