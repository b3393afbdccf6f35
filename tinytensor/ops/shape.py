"""Pairs that move elements and compute nothing. Each backward is the move in the other direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytensor.backend import Array, array_module
from tinytensor.ops.elementwise import unbroadcast
from tinytensor.primitive import primitive


def reshape_forward(x: Array, *, shape: tuple[int, ...]) -> Any:
    return x.reshape(shape), (x.shape,)


def reshape_backward(dy: Array, shape: tuple[int, ...]) -> Any:
    return (dy.reshape(shape),)


def permute_forward(x: Array, *, axes: tuple[int, ...]) -> Any:
    return x.transpose(axes), (axes,)


def permute_backward(dy: Array, axes: Sequence[int]) -> Any:
    back = sorted(range(len(axes)), key=axes.__getitem__)
    return (dy.transpose(back),)


def expand_forward(x: Array, *, shape: tuple[int, ...]) -> Any:
    y = np.broadcast_to(x, shape)
    if isinstance(y, np.ndarray) and x.flags.writeable:
        y.flags.writeable = True  # a view like any other: what is written to it is seen in x, as in PyTorch
    return y, (x.shape,)


def expand_backward(dy: Array, shape: tuple[int, ...]) -> Any:
    return (unbroadcast(dy, shape),)


def cat_forward(*xs: Array, axis: int) -> Any:
    return np.concatenate(xs, axis=axis), ([x.shape[axis] for x in xs], axis)


def cat_backward(dy: Array, sizes: list[int], axis: int) -> Any:
    return tuple(pieces(dy, sizes, axis))


def split_forward(x: Array, *, sizes: list[int], axis: int) -> Any:
    return tuple(pieces(x, sizes, axis)), (x.shape, x.strides, x.dtype, sizes, axis)


def split_backward(
    dys: list[Array | None], shape: tuple[int, ...], strides: tuple[int, ...], dtype: Any, sizes: list[int], axis: int
) -> Any:
    xp = array_module(next(dy for dy in dys if dy is not None))
    order = sorted(range(len(shape)), key=lambda d: -strides[d])  # x's own, which a view of x goes back to for nothing
    dx = permute_backward(xp.empty([shape[d] for d in order], dtype), order)[0]
    for dy, part in zip(dys, pieces(dx, sizes, axis)):
        part[...] = 0 if dy is None else dy  # an output that nobody used has no gradient
    return (dx,)


def pieces(x: Array, sizes: list[int], axis: int) -> list[Array]:
    """Views of x, of these sizes, one after the other along axis."""
    before, out, start = (slice(None),) * axis, [], 0
    for n in sizes:
        out.append(x[before + (slice(start, start + n),)])  # noqa: RUF005
        start += n
    return out


def roll_forward(x: Array, *, shifts: tuple[int, ...], axis: tuple[int, ...]) -> Any:
    return np.roll(x, shifts, axis), (shifts, axis)


def roll_backward(dy: Array, shifts: tuple[int, ...], axis: tuple[int, ...]) -> Any:
    return (np.roll(dy, tuple(-s for s in shifts), axis),)


def flip_forward(x: Array, *, axis: tuple[int, ...]) -> Any:
    return np.flip(x, axis).copy(), (axis,)  # NumPy's is a view, PyTorch's is not


def flip_backward(dy: Array, axis: tuple[int, ...]) -> Any:
    return (np.flip(dy, axis),)


def tril_forward(x: Array, *, diagonal: int) -> Any:
    return np.tril(x, diagonal), (diagonal,)


def tril_backward(dy: Array, diagonal: int) -> Any:
    return (np.tril(dy, diagonal),)


def triu_forward(x: Array, *, diagonal: int) -> Any:
    return np.triu(x, diagonal), (diagonal,)


def triu_backward(dy: Array, diagonal: int) -> Any:
    return (np.triu(dy, diagonal),)


RESHAPE = primitive("reshape", reshape_forward, reshape_backward, formula="y = x in another shape")
PERMUTE = primitive("permute", permute_forward, permute_backward, formula="y = x, dimensions in another order")
EXPAND = primitive(
    "expand", expand_forward, expand_backward, formula="y = x, repeated along dimensions of size 1",
    fits="sizes of x are 1 or equal, counted from the right",
)  # fmt: skip
CAT = primitive(
    "cat", cat_forward, cat_backward, formula="y = x₁ … xₙ end to end along axis",
    fits="all sizes equal except along the dimension that is joined",
)  # fmt: skip
SPLIT = primitive("split", split_forward, split_backward, formula="y₁ … yₙ = x cut along axis")
ROLL = primitive("roll", roll_forward, roll_backward, formula="yᵢ = xᵢ₋ₛ, around the end")
FLIP = primitive("flip", flip_forward, flip_backward, formula="y = x, backwards along axis")
TRIL = primitive("tril", tril_forward, tril_backward, formula="y = x below the diagonal, 0 above")
TRIU = primitive("triu", triu_forward, triu_backward, formula="y = x above the diagonal, 0 below")
