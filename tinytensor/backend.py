"""The array backend: NumPy, or CuPy where the data is on a GPU.

The data decides. A kernel asks `array_module(x)` where it has to make a new array; everything else it calls as
`np.exp(x)`, which NumPy's dispatch protocols (NEP 13, NEP 18) hand on to CuPy when x lies there.
"""

from __future__ import annotations

import functools
import sys
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from tinytensor.dispatch import gpu

Array: TypeAlias = Any  # numpy.ndarray or cupy.ndarray: same methods, no common type


def array_module(x: Array) -> ModuleType:
    """numpy or cupy, whichever made x."""
    return np if type(x) is np.ndarray else sys.modules[type(x).__module__.partition(".")[0]]


def is_array(x: object) -> bool:
    """Whether x is an array of one of the backends."""
    return isinstance(x, np.ndarray) or type(x).__module__.partition(".")[0] == "cupy"


def as_array(x: Any) -> Array:
    """x, as a 0-d array if it is one of the scalars that NumPy's ufuncs and reductions give; CuPy's give arrays."""
    return np.asarray(x) if isinstance(x, np.generic) else x


def ones(count: int, like: Array) -> Array:
    """(count,) ones of like's dtype and device, not to be written to: `x @ ones` is a sum by BLAS, faster than x.sum."""
    return _ones(count, like.dtype) if isinstance(like, np.ndarray) else array_module(like).ones(count, like.dtype)


@functools.lru_cache(maxsize=64)
def _ones(count: int, dtype: np.dtype[Any]) -> Array:
    ones = np.ones(count, dtype)
    ones.flags.writeable = False
    return ones


def total(x: Array, axis: Any, keepdims: bool = False) -> Array:
    """Σ x over axis, of x's dtype. float16 is added up in float32, as NumPy does unasked, and CuPy by way of CUB does not."""
    if isinstance(x, np.ndarray) or x.dtype != np.float16:
        return x.sum(axis=axis, dtype=x.dtype, keepdims=keepdims)
    return x.sum(axis=axis, dtype=np.float32, keepdims=keepdims).astype(x.dtype)


def product(a: Array, b: Array, out: Array | None = None) -> Array:
    """a @ b, in out if it is given: np.matmul, and on a GPU one that a CUDA graph can record."""
    return np.matmul(a, b, out) if type(a) is np.ndarray else gpu("matmul")(a, b, out)


def contraction(equation: str, *xs: Array, optimize: bool) -> Array:
    """np.einsum, and on a GPU in the precision that is permitted."""
    if type(xs[0]) is np.ndarray:
        return np.einsum(equation, *xs, optimize=optimize)
    return gpu("einsum")(equation, *xs, optimize=optimize)


def scatter_add(rows: int, index: Array, updates: Array) -> Array:
    """out[index[n]] += updates[n] over n; out (rows, C), index (N,), updates (N, C).

    Repeated indices add up, which `out[index] += updates` would lose. For few rows a product with one-hot
    columns is fastest (it is one BLAS call); for many, sorted runs are summed.
    """
    xp = array_module(updates)
    n, c = updates.shape
    if rows <= 1024:
        onehot = xp.zeros((n, rows), updates.dtype)
        onehot[xp.arange(n), index] = 1
        return product(onehot.T, updates)
    out = xp.zeros((rows, c), updates.dtype)
    if xp is not np:
        xp.add.at(out, index, updates)
    elif n:
        order = np.argsort(index, kind="stable")
        ordered = index[order]
        first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        out[ordered[first]] = np.add.reduceat(updates[order], first, axis=0)
    return out
