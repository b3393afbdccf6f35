"""An array and a Python number: x + c and x / c. The number has no gradient. c·x: arithmetic.py; xᶜ: powers.py."""

from __future__ import annotations

import numpy as np

from tinytensor.backend import Array
from tinytensor.primitive import Gradients, Output, primitive


def add_scalar_forward(x: Array, *, c: float) -> Output:
    return x + c, ()


def add_scalar_backward(dy: Array) -> Gradients:
    return (dy,)


ADD_SCALAR = primitive("add_scalar", add_scalar_forward, add_scalar_backward, formula="y = x + c")


def div_scalar_forward(x: Array, *, c: float) -> Output:
    return np.divide(x, c), (c,)


def div_scalar_backward(dy: Array, c: float) -> Gradients:
    return (np.divide(dy, c),)


DIV_SCALAR = primitive("div_scalar", div_scalar_forward, div_scalar_backward, formula="y = x / c")
