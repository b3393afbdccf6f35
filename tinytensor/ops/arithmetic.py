"""Arithmetic: a + b, a − b, a·b, a / b, −x and c·x. Arrays of two shapes broadcast, as in NumPy.

    da = dy · ∂y/∂a, summed to the shape of a        db = dy · ∂y/∂b, summed to the shape of b

A Python number has no gradient: a pair whose name ends in _scalar saves the number alone. More of them: scalars.py.
"""

from __future__ import annotations

from tinytensor.backend import Array
from tinytensor.primitive import Gradients, Output, primitive
from tinytensor.sums import total

BROADCAST = "from the right, sizes are equal, or one of them is 1 or missing"  # the rule, for error messages


def unbroadcast(dy: Array, shape: tuple[int, ...]) -> Array:
    """dy summed to `shape`: an input that was broadcast is used several times, and the gradients of its uses add up."""
    if dy.shape == shape:
        return dy  # nothing was broadcast
    extra = dy.ndim - len(shape)  # dimensions that the input lacks: (3,) used as (2, 3)
    stretched = (extra + i for i, n in enumerate(shape) if n == 1 and dy.shape[extra + i] != 1)  # (2, 1) used as (2, 3)
    return total(dy, (*range(extra), *stretched)).reshape(shape)  # (2, 3) -> (2,) -> (2, 1)


def add_forward(a: Array, b: Array) -> Output:
    return a + b, (a.shape, b.shape)  # shapes are enough: the derivatives do not depend on a and b


def add_backward(dy: Array, a_shape: tuple[int, ...], b_shape: tuple[int, ...]) -> Gradients:
    return unbroadcast(dy, a_shape), unbroadcast(dy, b_shape)  # ∂y/∂a = ∂y/∂b = 1: both receive dy


ADD = primitive("add", add_forward, add_backward, formula="y = a + b", fits=BROADCAST)


def sub_forward(a: Array, b: Array) -> Output:
    return a - b, (a.shape, b.shape)


def sub_backward(dy: Array, a_shape: tuple[int, ...], b_shape: tuple[int, ...]) -> Gradients:
    return unbroadcast(dy, a_shape), unbroadcast(-dy, b_shape)  # ∂y/∂b = −1


SUB = primitive("sub", sub_forward, sub_backward, formula="y = a − b", fits=BROADCAST)


def mul_forward(a: Array, b: Array) -> Output:
    return a * b, (a, b)  # each factor is the derivative with respect to the other


def mul_backward(dy: Array, a: Array, b: Array) -> Gradients:
    return unbroadcast(dy * b, a.shape), unbroadcast(dy * a, b.shape)  # ∂y/∂a = b, ∂y/∂b = a


MUL = primitive("mul", mul_forward, mul_backward, formula="y = a·b", fits=BROADCAST)


def div_forward(a: Array, b: Array) -> Output:
    y = a / b
    return y, (y, a.shape, b)


def div_backward(dy: Array, y: Array, a_shape: tuple[int, ...], b: Array) -> Gradients:
    da = dy / b  # ∂y/∂a = 1/b
    return unbroadcast(da, a_shape), unbroadcast(-(da * y), b.shape)  # ∂y/∂b = −a/b² = −y/b


DIV = primitive("div", div_forward, div_backward, formula="y = a / b", fits=BROADCAST)


def neg_forward(x: Array) -> Output:
    return -x, ()  # nothing to save


def neg_backward(dy: Array) -> Gradients:
    return (-dy,)  # a tuple of one: one gradient for each input


NEG = primitive("neg", neg_forward, neg_backward, formula="y = −x")


def mul_scalar_forward(x: Array, *, c: float) -> Output:
    return x * c, (c,)  # after the star: a constant, with no gradient


def mul_scalar_backward(dy: Array, c: float) -> Gradients:
    return (dy * c,)  # ∂y/∂x = c


MUL_SCALAR = primitive("mul_scalar", mul_scalar_forward, mul_scalar_backward, formula="y = c·x")
