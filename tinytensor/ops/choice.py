"""Maximum, minimum, where, clamp: each element of y is chosen from an input, which receives its gradient.

And comparisons in place: their result replaces an input, and has its dtype.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.backend import Array, array_module
from tinytensor.ops.arithmetic import BROADCAST, unbroadcast
from tinytensor.primitive import Gradients, Output, primitive


def chosen(dy: Array, mask: Array) -> Array:
    """dy where the mask holds, else 0, also if dy is infinite there: 0·∞ would be nan.

    True becomes −1, all of whose bits are set, so that `&` keeps every bit of dy. np.where takes seven times as long.
    """
    bits: Array = dy.view(f"i{dy.dtype.itemsize}") & -mask.view("i1")
    return bits.view(dy.dtype)


def _shares(dy: Array, b_won: Array, a_won: Array, a: Array, b: Array) -> Gradients:
    """dy for the one that won, half of it for each where a = b; where one is nan, dy for both, as in PyTorch."""
    dy = dy * (1 - (a == b) * dy.dtype.type(0.5))
    return unbroadcast(chosen(dy, ~b_won), a.shape), unbroadcast(chosen(dy, ~a_won), b.shape)


def maximum_forward(a: Array, b: Array) -> Output:
    return np.maximum(a, b), (a, b)


def maximum_backward(dy: Array, a: Array, b: Array) -> Gradients:
    return _shares(dy, a < b, a > b, a, b)


MAXIMUM = primitive("maximum", maximum_forward, maximum_backward, formula="y = max(a, b)", fits=BROADCAST)


def minimum_forward(a: Array, b: Array) -> Output:
    return np.minimum(a, b), (a, b)


def minimum_backward(dy: Array, a: Array, b: Array) -> Gradients:
    return _shares(dy, a > b, a < b, a, b)


MINIMUM = primitive("minimum", minimum_forward, minimum_backward, formula="y = min(a, b)", fits=BROADCAST)


def where_forward(a: Array, b: Array, *, condition: Array) -> Output:
    return np.where(condition, a, b), (condition, a.shape, b.shape)


def where_backward(dy: Array, condition: Array, a_shape: tuple[int, ...], b_shape: tuple[int, ...]) -> Gradients:
    return unbroadcast(chosen(dy, condition), a_shape), unbroadcast(chosen(dy, ~condition), b_shape)


WHERE = primitive("where", where_forward, where_backward, formula="y = a if condition else b", fits=BROADCAST)


def clamp_forward(x: Array, *, low: float | None, high: float | None) -> Output:
    return np.clip(x, low, high), (x, low, high)


def clamp_backward(dy: Array, x: Array, low: float | None, high: float | None) -> Gradients:
    inside = np.ones_like(x, dtype=bool) if low is None else x >= low
    return (chosen(dy, inside if high is None else inside & (x <= high)),)


CLAMP = primitive("clamp", clamp_forward, clamp_backward, formula="y = min(max(x, low), high)")


def compare_forward(a: Array, b: Array, *, compare: Any) -> Output:
    return compare(a, b).astype(a.dtype), (a.shape, b.shape, b.dtype)


def compare_backward(dy: Array, a_shape: tuple[int, ...], b_shape: tuple[int, ...], b_dtype: Any) -> Gradients:
    zeros = array_module(dy).zeros
    return zeros(a_shape, dy.dtype), zeros(b_shape, b_dtype)  # between its jumps y is constant


COMPARE = primitive(
    "compare", compare_forward, compare_backward, formula="y = 1 if a < b else 0; also =, ≠, ≤, >, ≥", fits=BROADCAST
)
