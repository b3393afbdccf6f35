"""Reading by position. The backward puts every gradient where its value came from; repeated positions add up."""

from __future__ import annotations

from typing import Any

from tinytensor.backend import Array, array_module
from tinytensor.ops.elementwise import unbroadcast
from tinytensor.primitive import primitive


def getitem_forward(x: Array, *, index: Any) -> Any:
    return x[index], (x.shape, x.dtype, index)


def getitem_backward(dy: Array, shape: tuple[int, ...], dtype: Any, index: Any) -> Any:
    xp = array_module(dy)
    dx = xp.zeros(shape, dtype)
    if is_basic(index):
        dx[index] = dy
    else:
        xp.add.at(dx, index, dy)  # dx[index] += dy would lose all but one of a repeated position
    return (dx,)


def is_basic(index: Any) -> bool:
    """Whether an index selects every element at most once, and gives a view: slices, numbers, None, `...`."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(i is None or i is Ellipsis or isinstance(i, (int, slice)) for i in parts)


def setitem_forward(x: Array, value: Array, *, index: Any) -> Any:
    y = x.copy()
    try:
        y[index] = value
    except TypeError as error:  # NumPy's word for a misfit under a mask
        raise ValueError(str(error)) from None
    return y, (value.shape, index)


def setitem_backward(dy: Array, shape: tuple[int, ...], index: Any) -> Any:
    dx = array_module(dy).array(dy)
    dx[index] = 0  # what was overwritten counts no more
    dv = dy[index]
    return dx, unbroadcast(
        dv.reshape((1,) * len(shape) + dv.shape), shape
    )  # a value may have more leading ones than dv


def gather_forward(x: Array, *, index: Array, axis: int) -> Any:
    at = along(index, axis)
    return x[at], (x.shape, x.dtype, at)


def gather_backward(dy: Array, shape: tuple[int, ...], dtype: Any, at: tuple[Array, ...]) -> Any:
    xp = array_module(dy)
    dx = xp.zeros(shape, dtype)
    xp.add.at(dx, at, dy)
    return (dx,)


def scatter_add_forward(x: Array, src: Array, *, at: tuple[Array, ...]) -> Any:
    y = x.copy()
    array_module(x).add.at(y, at, src)
    return y, (at,)


def scatter_add_backward(dy: Array, at: tuple[Array, ...]) -> Any:
    return dy, dy[at]


def along(index: Array, axis: int) -> tuple[Array, ...]:
    """The positions (i, j, index[i, j, k]) for all i, j, k: index along one axis, itself along the others."""
    grid = array_module(index).ogrid[tuple(slice(n) for n in index.shape)]
    return (*grid[:axis], index, *grid[axis + 1 :])


GETITEM = primitive("getitem", getitem_forward, getitem_backward, formula="y = x[index]")
SETITEM = primitive(
    "setitem", setitem_forward, setitem_backward, formula="y = x, but y[index] = value",
    fits="value broadcasts to x[index]",
)  # fmt: skip
GATHER = primitive("gather", gather_forward, gather_backward, formula="y[i, j] = x[i, index[i, j]]  (dim 1)")
SCATTER_ADD = primitive(
    "scatter_add",
    scatter_add_forward,
    scatter_add_backward,
    formula="y = x, and y[i, index[i, j]] += src[i, j]  (dim 1)",
)
