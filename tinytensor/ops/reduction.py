"""Sum, largest and smallest element, running sum. `axis` is a tuple of non-negative dimensions (cumsum: one)."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.backend import Array
from tinytensor.layout import in_order
from tinytensor.primitive import Gradients, Output, primitive
from tinytensor.sums import running, total


def kept(y: Array, shape: tuple[int, ...], axis: tuple[int, ...]) -> Array:
    """y with the reduced dimensions of `shape` again, of size 1, so that it broadcasts to `shape`."""
    return np.reshape(y, tuple(1 if i in axis else n for i, n in enumerate(shape)))


def sum_forward(x: Array, *, axis: tuple[int, ...], keepdims: bool, dtype: Any = None) -> Output:
    return total(x, axis, keepdims, dtype), (x.shape, x.dtype, axis)


def sum_backward(dy: Array, shape: tuple[int, ...], dtype: Any, axis: tuple[int, ...]) -> Gradients:
    dy = dy if dy.dtype is dtype else dy.astype(dtype)
    return (np.broadcast_to(kept(dy, shape, axis), shape),)


SUM = primitive("sum", sum_forward, sum_backward, formula="y = Σ x over axis")


def amax_forward(x: Array, *, axis: tuple[int, ...], keepdims: bool, nan: bool = False) -> Output:
    y = in_order(x.max(axis=axis, keepdims=keepdims))
    return y, (x, y, axis, nan)


def amax_backward(dy: Array, x: Array, y: Array, axis: tuple[int, ...], nan: bool) -> Gradients:
    hit = x == kept(y, x.shape, axis)
    if nan:  # the elements that are nan share the gradient of a nan, as those of max() in PyTorch, but not of amax()
        hit |= np.isnan(x)
    share = kept(dy, x.shape, axis) / hit.sum(axis=axis, keepdims=True)  # equal elements share it evenly, as in PyTorch
    return (hit * share.astype(dy.dtype, copy=False),)


AMAX = primitive("amax", amax_forward, amax_backward, formula="y = max x over axis")


def amin_forward(x: Array, *, axis: tuple[int, ...], keepdims: bool, nan: bool = False) -> Output:
    y = in_order(x.min(axis=axis, keepdims=keepdims))
    return y, (x, y, axis, nan)


def amin_backward(dy: Array, x: Array, y: Array, axis: tuple[int, ...], nan: bool) -> Gradients:
    return amax_backward(dy, x, y, axis, nan)  # the elements equal to y, as for the maximum


AMIN = primitive("amin", amin_forward, amin_backward, formula="y = min x over axis")


def prod_forward(x: Array, *, axis: int) -> Output:
    y = np.prod(x, axis=axis, dtype=x.dtype)
    return y, (x, y, axis)


def prod_backward(dy: Array, x: Array, y: Array, axis: int) -> Gradients:
    dy, y = (kept(a, x.shape, (axis,)) for a in (dy, y))
    if isinstance(x, np.ndarray) and (x != 0).all():  # a GPU would have to be waited for
        return (dy * y / x,)  # the product of all other factors
    one = np.ones_like(dy)  # that product, where a factor is 0: of those before and of those behind
    but_last = (slice(None),) * axis + (slice(None, -1),)
    before = np.cumprod(np.concatenate([one, x[but_last]], axis), axis)
    behind = np.cumprod(np.concatenate([one, np.flip(x, axis)[but_last]], axis), axis)
    return (dy * before * np.flip(behind, axis),)


PROD = primitive("prod", prod_forward, prod_backward, formula="y = Π x over axis")


def cumsum_forward(x: Array, *, axis: int) -> Output:
    return running(x, axis), (axis,)


def cumsum_backward(dy: Array, axis: int) -> Gradients:
    return (np.flip(running(np.flip(dy, axis), axis), axis),)


CUMSUM = primitive("cumsum", cumsum_forward, cumsum_backward, formula="yᵢ = x₁ + … + xᵢ")
