"""Indexing: y = x[index] and its relatives.

The backward adds the gradient of each element at the position that the element came from: twice, if it was read twice.
"""

from __future__ import annotations

from typing import Any

from tinytensor.backend import Array, array_module
from tinytensor.layout import in_order
from tinytensor.ops.arithmetic import unbroadcast
from tinytensor.primitive import Gradients, Output, primitive
from tinytensor.sums import add_at

_BASIC = frozenset({int, slice, type(None), type(...)})


def is_basic(index: Any) -> bool:
    """Whether x[index] is a view, which selects each element at most once: slices, numbers, None, `...`."""
    parts = index if isinstance(index, tuple) else (index,)
    return _BASIC.issuperset(map(type, parts))


def getitem_forward(x: Array, *, index: Any) -> Output:
    y = x[index]
    y = y if y.flags.c_contiguous or is_basic(index) else y.copy(order="C")  # a view stays as it is
    return y, (x.shape, x.strides, x.dtype, index)  # strides: for writes to a view (histories.py)


def getitem_backward(dy: Array, shape: tuple[int, ...], strides: tuple[int, ...], dtype: Any, index: Any) -> Gradients:
    dx = array_module(dy).zeros(shape, dtype)
    if not is_basic(index):
        return (add_at(dx, index, dy),)  # dx[index] += dy would keep one gradient of a position that was read twice
    dx[index] = dy
    return (dx,)


GETITEM = primitive("getitem", getitem_forward, getitem_backward, formula="y = x[index]")


def setitem_forward(x: Array, value: Array, *, index: Any) -> Output:
    y = x.copy(order="C")
    try:
        y[index] = value
    except TypeError as error:  # NumPy raises it where the value does not fit a mask
        raise ValueError(str(error)) from None
    return y, (value.shape, index)


def setitem_backward(dy: Array, shape: tuple[int, ...], index: Any) -> Gradients:
    dx = array_module(dy).array(dy)
    dx[index] = 0  # the forward overwrote these elements of x
    dv = dy[index]
    dv = dv.reshape((1,) * len(shape) + dv.shape)  # the value may have more leading dimensions of size 1 than x[index]
    return dx, unbroadcast(dv, shape)


SETITEM = primitive(
    "setitem", setitem_forward, setitem_backward, formula="y = x, but y[index] = value",
    fits="value broadcasts to x[index]",
)  # fmt: skip


def along(index: Array, axis: int) -> tuple[Array, ...]:
    """The positions (i, j, index[i, j, k]) for all i, j, k: index along axis (here 2), i and j along the other axes."""
    grid = array_module(index).ogrid[tuple(slice(n) for n in index.shape)]
    return (*grid[:axis], index, *grid[axis + 1 :])


def gather_forward(x: Array, *, index: Array, axis: int) -> Output:
    at = along(index, axis)
    return in_order(x[at]), (x.shape, x.dtype, at)


def gather_backward(dy: Array, shape: tuple[int, ...], dtype: Any, at: tuple[Array, ...]) -> Gradients:
    return (add_at(array_module(dy).zeros(shape, dtype), at, dy),)


GATHER = primitive("gather", gather_forward, gather_backward, formula="y[i, j] = x[i, index[i, j]]  (dim 1)")


def scatter_add_forward(x: Array, src: Array, *, at: tuple[Array, ...]) -> Output:
    return add_at(x.copy(order="C"), at, src), (at,)


def scatter_add_backward(dy: Array, at: tuple[Array, ...]) -> Gradients:
    return dy, dy[at]


SCATTER_ADD = primitive(
    "scatter_add", scatter_add_forward, scatter_add_backward,
    formula="y = x, and y[i, index[i, j]] += src[i, j]  (dim 1)",
)  # fmt: skip
