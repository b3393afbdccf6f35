"""The same values in other memory: cast to another dtype, and copy."""

from __future__ import annotations

from typing import Any

from tinytensor.backend import Array
from tinytensor.layout import copy
from tinytensor.primitive import Gradients, Output, primitive


def cast_forward(x: Array, *, to: Any) -> Output:
    return copy(x, to), (x.dtype,)


def cast_backward(dy: Array, dtype: Any) -> Gradients:
    return (dy.astype(dtype),)


CAST = primitive("cast", cast_forward, cast_backward, formula="y = x in another dtype")


def copy_forward(x: Array, *, order: str = "K") -> Output:
    return x.copy(order="C") if order == "C" else copy(x), ()


def copy_backward(dy: Array) -> Gradients:
    return (dy,)


COPY = primitive("copy", copy_forward, copy_backward, formula="y = x, in memory of its own")
