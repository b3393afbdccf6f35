"""Linear: y = x Wᵀ + b.  x (…, I), W (O, I), b (O,) → y (…, O).

    dx = dy W        dW = dyᵀ x        db = Σ dy over all rows

The leading dimensions of x become one, N. Then y, dx and dW are products of matrices, db of a vector and a matrix.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinytensor.backend import Array
from tinytensor.ops.arithmetic import unbroadcast
from tinytensor.primitive import Gradients, Output, primitive
from tinytensor.sums import column_sums, product


def linear_forward(x: Array, w: Array, b: Array | None) -> Output:
    if x.ndim == 0 or w.ndim not in (1, 2) or x.shape[-1] != w.shape[-1]:
        raise ValueError("x and the weight need the same last dimension, and the weight has one or two")
    if b is not None and b.ndim > 1:
        raise ValueError("the bias has one dimension")
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])  # (…, I) -> (N, I)
    y = product(rows, w.T)  # (N, I) @ (I, O) -> (N, O); a weight (I,) makes it (N,)
    if b is not None:
        y += b  # the same b for each of the N rows
    y = y.reshape(*x.shape[:-1], *w.shape[:-1])  # (N, O) -> (…, O)
    return y, (rows, x.shape, w, None if b is None else b.shape)


def linear_backward(
    dy: Array, rows: Array, x_shape: tuple[int, ...], w: Array, b_shape: tuple[int, ...] | None, *,
    needs: tuple[bool, ...] = (True,) * 3, out: tuple[Array | None, ...] = (None,) * 3,
) -> Gradients:  # fmt: skip
    dy = dy.reshape(len(rows), math.prod(w.shape[:-1]))  # (…, O) -> (N, O)
    matrix = dy.shape[1], w.shape[-1]  # (O, I), also for a weight (I,): O = 1
    dx = dw = db = None
    if needs[0]:  # x of the first layer is data: nobody wants its gradient
        dx = product(dy, w.reshape(matrix)).reshape(x_shape)  # (N, O) @ (O, I) -> (N, I) -> (…, I)
    if needs[1]:
        dw = np.empty_like(w) if out[1] is None else out[1]  # where offered, directly into the buffer of W.grad
        product(dy.T, rows, out=dw.reshape(matrix))  # (O, N) @ (N, I) -> (O, I): the sum over the N rows
    if needs[2] and b_shape is not None:
        db = unbroadcast(column_sums(dy), b_shape)  # b is added to each row: the sum of the rows, (N, O) -> (O,)
    return dx, dw, db


def linear_composed(x: Any, w: Any, b: Any) -> Any:
    """The same, written out in smaller operations."""
    return x @ w.t() if b is None else x @ w.t() + b


LINEAR = primitive(
    "linear", linear_forward, linear_backward, composed=linear_composed,
    formula="y = x Wᵀ + b", fits="x (…, I), weight (O, I), bias (O,)",
)  # fmt: skip
