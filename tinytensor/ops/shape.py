"""The moves that a transformer makes: reshape, permute and split. They compute nothing; more of them: moves.py.

Each backward is the move in the other direction. Where the forward returns a view, y shares the memory of x.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinytensor.backend import Array, array_module
from tinytensor.primitive import Gradients, Output, primitive


def reshape_forward(x: Array, *, shape: tuple[int, ...]) -> Output:
    return x.reshape(shape), (x.shape,)  # a view where the layout in memory permits, else a copy


def reshape_backward(dy: Array, shape: tuple[int, ...]) -> Gradients:
    return (dy.reshape(shape),)  # back to the shape of x


RESHAPE = primitive("reshape", reshape_forward, reshape_backward, formula="y = x in another shape")


def permute_forward(x: Array, *, axes: tuple[int, ...]) -> Output:
    return x.transpose(axes), (axes,)  # axes (0, 2, 1, 3): (B, T, H, D) -> (B, H, T, D), a view


def permute_backward(dy: Array, axes: Sequence[int]) -> Gradients:
    back = sorted(range(len(axes)), key=axes.__getitem__)  # the inverse order: dimension i of y was axes[i] of x
    return (dy.transpose(back),)


PERMUTE = primitive("permute", permute_forward, permute_backward, formula="y = x, dimensions in another order")


def pieces(x: Array, sizes: list[int], axis: int) -> list[Array]:
    """Views of x with these sizes, one after the other along axis."""
    before, views, start = (slice(None),) * axis, [], 0  # before: all of each dimension in front of axis
    for n in sizes:
        views.append(x[before + (slice(start, start + n),)])  # noqa: RUF005
        start += n
    return views


def split_forward(x: Array, *, sizes: list[int], axis: int) -> Output:
    # qkv (B, 3H, T, D), sizes [H, H, H], axis 1 -> q, k, v (B, H, T, D)
    return tuple(pieces(x, sizes, axis)), (x.shape, x.strides, x.dtype, sizes, axis)


def split_backward(
    dys: list[Array | None], shape: tuple[int, ...], strides: tuple[int, ...], dtype: Any, sizes: list[int], axis: int
) -> Gradients:
    xp = array_module(next(dy for dy in dys if dy is not None))
    order = sorted(range(len(shape)), key=lambda d: -strides[d])  # the dimensions of x as they lie in memory
    dx = xp.empty([shape[d] for d in order], dtype)  # with the layout of x: if x is permuted, going back copies nothing
    (dx,) = permute_backward(dx, order)  # a view of the shape of x
    for dy, part in zip(dys, pieces(dx, sizes, axis)):  # each output was a piece of x: its gradient is that piece of dx
        part[...] = 0 if dy is None else dy  # None: nobody used that output
    return (dx,)


SPLIT = primitive("split", split_forward, split_backward, formula="y₀, y₁, … = the parts of x along one axis, in order")
