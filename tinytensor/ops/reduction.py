"""Reductions: sum, the extreme value, and the running sum. `axis` is a tuple of non-negative dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.backend import Array, total
from tinytensor.primitive import primitive


def sum_forward(x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    return total(x, axis, keepdims), (x.shape, axis)


def sum_backward(dy: Array, shape: tuple[int, ...], axis: tuple[int, ...]) -> Any:
    return (np.broadcast_to(kept(dy, shape, axis), shape),)


def kept(y: Array, shape: tuple[int, ...], axis: tuple[int, ...]) -> Array:
    """y with the reduced dimensions of `shape` back, as ones."""
    return np.reshape(y, tuple(1 if i in axis else n for i, n in enumerate(shape)))


def amax_forward(x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    y = x.max(axis=axis, keepdims=keepdims)
    return y, (x, y, axis)


def amax_backward(dy: Array, x: Array, y: Array, axis: tuple[int, ...]) -> Any:
    hit = (x == kept(y, x.shape, axis)).astype(dy.dtype)
    hit /= hit.sum(axis=axis, keepdims=True)  # ties share the gradient evenly, as in PyTorch
    hit *= kept(dy, x.shape, axis)
    return (hit,)


def amin_forward(x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    y = x.min(axis=axis, keepdims=keepdims)
    return y, (x, y, axis)


amin_backward = amax_backward


def cumsum_forward(x: Array, *, axis: int) -> Any:
    return np.cumsum(x, axis=axis), (axis,)


def cumsum_backward(dy: Array, axis: int) -> Any:
    return (np.flip(np.cumsum(np.flip(dy, axis), axis=axis), axis),)


SUM = primitive("sum", sum_forward, sum_backward, formula="y = Σ x over axis")
AMAX = primitive("amax", amax_forward, amax_backward, formula="y = max x over axis")
AMIN = primitive("amin", amin_forward, amin_backward, formula="y = min x over axis")
CUMSUM = primitive("cumsum", cumsum_forward, cumsum_backward, formula="yᵢ = x₁ + … + xᵢ")
