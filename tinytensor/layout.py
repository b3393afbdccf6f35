"""How new arrays lie in memory, by PyTorch's rules.

    element by element    without gaps, in the order of dimensions of the first input that tells two of them apart
    copies, *_like        the same, of one input
    all other results     row-major
    the gradient of a leaf as the leaf

NumPy's functions of one array do so by themselves. Its arithmetic prefers row-major memory where inputs disagree, its
reductions keep the order of their input, and its copies of an expanded array run backwards. On a GPU results lie as
CuPy's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.backend import Array


def in_order(y: Array) -> Array:
    """y in row-major memory."""
    return y if y.flags.c_contiguous else y.copy(order="C")


def elementwise(y: Array, *xs: Array) -> Array:
    """y, computed element by element from xs, in the memory order that it has in PyTorch."""
    if type(y) is np.ndarray:
        for x in xs:  # no generator: it runs for every call
            if not x.flags.c_contiguous:
                return _moved(y, empty(y.shape, y.dtype, *xs))
    return y


def copy(x: Array, dtype: Any = None) -> Array:
    """A copy of x, also in another dtype, in the order of its dimensions."""
    dtype = x.dtype if dtype is None else dtype
    if x.flags.c_contiguous:  # most are, and this is sooner known
        return x.astype(dtype, order="C")
    if _plain(x) or not isinstance(x, np.ndarray):
        return x.astype(dtype, order="C" if 0 in x.strides else "K")
    y = empty(x.shape, dtype, x)
    np.copyto(y, x, casting="unsafe")
    return y


def laid_out_as(like: Array, y: Array) -> Array:
    """y in the memory order of a copy of `like`: y itself if it has that order, or lies on another device."""
    if y.strides == like.strides or type(y) is not type(like) or (y.flags.c_contiguous and like.flags.c_contiguous):
        return y
    if _plain(like):
        return _moved(y, np.empty_like(like, dtype=y.dtype))
    return _moved(y, empty(y.shape, y.dtype, like)) if isinstance(y, np.ndarray) else in_order(y)


def empty(shape: tuple[int, ...], dtype: Any, *xs: Array) -> Array:
    """New memory for what is computed element by element from xs."""
    order = _order(shape, [_steps(x, shape) for x in xs])
    return np.empty([shape[d] for d in order], dtype).transpose([order.index(d) for d in range(len(shape))])


def _plain(x: Array) -> bool:
    """Whether no two elements of x share their place, so that NumPy and CuPy see its order as PyTorch does."""
    steps = x.strides
    return x.flags.c_contiguous or (0 not in steps and len(set(steps)) == len(steps))


def _moved(y: Array, z: Array) -> Array:
    if z.strides == y.strides:
        return y
    z[...] = y
    return z


def _steps(x: Array, shape: tuple[int, ...]) -> list[int]:
    """The strides of x, broadcast to a shape."""
    missing = len(shape) - x.ndim
    steps = [0 if n == 1 != shape[missing + d] else abs(x.strides[d]) for d, n in enumerate(x.shape)]
    return [0] * missing + steps


def _order(shape: tuple[int, ...], steps: list[list[int]]) -> list[int]:
    """The dimensions of a result, slowest first. From TensorIteratorBase::reorder_dimensions in PyTorch."""
    order = list(range(len(shape)))[::-1]  # fastest first; sorted by insertion, which leaves alone what says nothing
    for i in range(1, len(order)):
        j = i
        for k in range(i - 1, -1, -1):
            found = _compared(order[k], order[j], shape, steps)
            if found < 0:
                break
            if found > 0:
                order[k], order[j] = order[j], order[k]
                j = k
    return order[::-1]


def _compared(d: int, e: int, shape: tuple[int, ...], steps: list[list[int]]) -> int:
    """1 if dimension d should be slower than e, −1 if not, 0 if no input tells."""
    for step in steps:
        if step[d] and step[e]:
            if step[d] != step[e]:
                return 1 if step[d] > step[e] else -1
            if shape[d] > shape[e]:
                return 1
    return 0
