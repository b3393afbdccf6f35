"""More arithmetic: a − b, a / b, −x, x + c·a / b, and x + w (y − x). Arrays of two shapes broadcast, as in arithmetic.py."""

from __future__ import annotations

import numpy as np

from tinytensor.backend import Array
from tinytensor.ops.arithmetic import BROADCAST, unbroadcast
from tinytensor.primitive import Gradients, Output, primitive


def sub_forward(a: Array, b: Array) -> Output:
    return a - b, (a.shape, b.shape)


def sub_backward(dy: Array, a_shape: tuple[int, ...], b_shape: tuple[int, ...]) -> Gradients:
    return unbroadcast(dy, a_shape), unbroadcast(-dy, b_shape)  # ∂y/∂b = −1


SUB = primitive("sub", sub_forward, sub_backward, formula="y = a − b", fits=BROADCAST)


def div_forward(a: Array, b: Array) -> Output:
    return a / b, (a, b)  # not y, as in PyTorch: so y may change in place


def div_backward(dy: Array, a: Array, b: Array, needs: tuple[bool, bool] = (True, True)) -> Gradients:
    da = unbroadcast(dy / b, a.shape) if needs[0] else None  # ∂y/∂a = 1/b
    db = unbroadcast(-dy * (a / b / b), b.shape) if needs[1] else None  # ∂y/∂b = −a/b², 0 for a = 0 and the smallest b
    return da, db


DIV = primitive("div", div_forward, div_backward, formula="y = a / b", fits=BROADCAST)


def neg_forward(x: Array) -> Output:
    return -x, ()  # nothing to save


def neg_backward(dy: Array) -> Gradients:
    return (-dy,)  # a tuple of one: one gradient for each input


NEG = primitive("neg", neg_forward, neg_backward, formula="y = −x")


def addcdiv_forward(x: Array, a: Array, b: Array, *, c: float) -> Output:
    return x + c * a / b, (x.shape, a, b, c)


def addcdiv_backward(dy: Array, x_shape: tuple[int, ...], a: Array, b: Array, c: float) -> Gradients:
    da, db = dy * (c / b), -dy * (c * a / (b * b))  # ∂y/∂a = c/b, ∂y/∂b = −c·a/b²
    return unbroadcast(dy, x_shape), unbroadcast(da, a.shape), unbroadcast(db, b.shape)


ADDCDIV = primitive("addcdiv", addcdiv_forward, addcdiv_backward, wide=True, formula="y = x + c·a / b", fits=BROADCAST)


def lerp_forward(x: Array, end: Array, w: Array) -> Output:
    way = end - x
    y = np.where(abs(w) < 0.5, x + w * way, end - way * (1 - w))  # from the nearer end: exact at both
    return y, (x, end, w)


def lerp_backward(dy: Array, x: Array, end: Array, w: Array) -> Gradients:
    dx, dend, dw = dy * (1 - w), dy * w, dy * (end - x)
    return unbroadcast(dx, x.shape), unbroadcast(dend, end.shape), unbroadcast(dw, w.shape)


LERP = primitive("lerp", lerp_forward, lerp_backward, wide=True, formula="y = x + w·(end − x)", fits=BROADCAST)
