"""Arithmetic: a + b, a·b and c·x. Arrays of two shapes broadcast, as in NumPy.

    da = dy · ∂y/∂a, summed to the shape of a        db = dy · ∂y/∂b, summed to the shape of b

A Python number has no gradient: it is the constant c of a pair whose name ends in _scalar. a − b, a / b and −x are in
more_arithmetic.py, more pairs with a number in scalars.py.
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


def mul_forward(a: Array, b: Array) -> Output:
    return a * b, (a, b)  # each factor is the derivative with respect to the other


def mul_backward(dy: Array, a: Array, b: Array) -> Gradients:
    return unbroadcast(dy * b, a.shape), unbroadcast(dy * a, b.shape)  # ∂y/∂a = b, ∂y/∂b = a


MUL = primitive("mul", mul_forward, mul_backward, formula="y = a·b", fits=BROADCAST)


def mul_scalar_forward(x: Array, *, c: float) -> Output:
    return x * c, (c,)  # after the star: a constant, with no gradient


def mul_scalar_backward(dy: Array, c: float) -> Gradients:
    return (dy * c,)  # ∂y/∂x = c


MUL_SCALAR = primitive("mul_scalar", mul_scalar_forward, mul_scalar_backward, formula="y = c·x")
