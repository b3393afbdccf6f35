"""More moves of elements: expand, cat, roll, flip, tril and triu. Each backward is the move in the other direction."""

from __future__ import annotations

import numpy as np

from tinytensor.backend import Array
from tinytensor.layout import copy, in_order
from tinytensor.ops.arithmetic import unbroadcast
from tinytensor.ops.shape import pieces
from tinytensor.primitive import Gradients, Output, primitive


def expand_forward(x: Array, *, shape: tuple[int, ...]) -> Output:
    y = np.broadcast_to(x, shape)
    if isinstance(y, np.ndarray) and x.flags.writeable:
        y.flags.writeable = True  # NumPy returns it read-only; PyTorch lets one write to x through y
    return y, (x.shape,)


def expand_backward(dy: Array, shape: tuple[int, ...]) -> Gradients:
    return (unbroadcast(dy, shape),)


EXPAND = primitive(
    "expand", expand_forward, expand_backward, formula="y = x, repeated along dimensions of size 1",
    fits="sizes of x are 1 or equal, counted from the right",
)  # fmt: skip


def cat_forward(*xs: Array, axis: int) -> Output:
    return in_order(np.concatenate(xs, axis=axis)), ([x.shape[axis] for x in xs], axis)


def cat_backward(dy: Array, sizes: list[int], axis: int) -> Gradients:
    return tuple(pieces(dy, sizes, axis))


CAT = primitive(
    "cat", cat_forward, cat_backward, formula="y = x₁ … xₙ end to end along axis",
    fits="all sizes equal except along the dimension that is joined",
)  # fmt: skip


def roll_forward(x: Array, *, shifts: tuple[int, ...], axis: tuple[int, ...]) -> Output:
    return in_order(np.roll(x, shifts, axis)), (shifts, axis)


def roll_backward(dy: Array, shifts: tuple[int, ...], axis: tuple[int, ...]) -> Gradients:
    return (np.roll(dy, tuple(-s for s in shifts), axis),)


ROLL = primitive("roll", roll_forward, roll_backward, formula="yᵢ = xᵢ₋ₛ, around the end")


def flip_forward(x: Array, *, axis: tuple[int, ...]) -> Output:
    return copy(np.flip(x, axis)), (axis,)  # NumPy returns a view, PyTorch a copy


def flip_backward(dy: Array, axis: tuple[int, ...]) -> Gradients:
    return (np.flip(dy, axis),)


FLIP = primitive("flip", flip_forward, flip_backward, formula="y = x, backwards along axis")


def tril_forward(x: Array, *, diagonal: int) -> Output:
    return in_order(np.tril(x, diagonal)), (diagonal,)


def tril_backward(dy: Array, diagonal: int) -> Gradients:
    return (np.tril(dy, diagonal),)


TRIL = primitive("tril", tril_forward, tril_backward, formula="y = x below the diagonal, 0 above")


def triu_forward(x: Array, *, diagonal: int) -> Output:
    return in_order(np.triu(x, diagonal)), (diagonal,)


def triu_backward(dy: Array, diagonal: int) -> Gradients:
    return (np.triu(dy, diagonal),)


TRIU = primitive("triu", triu_forward, triu_backward, formula="y = x above the diagonal, 0 below")
