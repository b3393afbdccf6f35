"""More arithmetic: a − b, a / b and −x. Arrays of two shapes broadcast, as in arithmetic.py."""

from __future__ import annotations

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
    da = dy / b  # ∂y/∂a = 1/b
    db = unbroadcast(-(da * (a / b)), b.shape) if needs[1] else None  # ∂y/∂b = −a/b² = −y/b
    return unbroadcast(da, a.shape), db


DIV = primitive("div", div_forward, div_backward, formula="y = a / b", fits=BROADCAST)


def neg_forward(x: Array) -> Output:
    return -x, ()  # nothing to save


def neg_backward(dy: Array) -> Gradients:
    return (-dy,)  # a tuple of one: one gradient for each input


NEG = primitive("neg", neg_forward, neg_backward, formula="y = −x")
