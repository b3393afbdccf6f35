"""How new arrays lie in memory, by PyTorch's rules.

    element by element, copies, *_like     as the input, if that fills its memory without gaps, in any order of dimensions
    all other results                      row-major
    the gradient of a leaf                 as the leaf

NumPy's reductions keep the order of their input, and its copies of an expanded array run backwards.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from tinytensor.backend import Array


def in_order(y: Array) -> Array:
    """y in row-major memory."""
    return y if y.flags.c_contiguous else y.copy(order="C")


def order_of(x: Array) -> Literal["K", "C"]:
    """The order of a copy of x: that of x, but for an expanded array row-major."""
    return "C" if 0 in x.strides else "K"


def as_type(x: Array, dtype: Any) -> Array:
    """A copy of x in another dtype, laid out as x."""
    return x.astype(dtype, order=order_of(x))


def laid_out_as(like: Array, y: Array) -> Array:
    """y in the memory order of `like`: y itself if it has that order, or lies on another device."""
    if y.strides == like.strides or type(y) is not type(like) or (y.flags.c_contiguous and like.flags.c_contiguous):
        return y
    z = np.empty_like(like, dtype=y.dtype, order=order_of(like))
    if z.strides == y.strides:
        return y
    z[...] = y
    return z
