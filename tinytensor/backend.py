"""The array backend: NumPy, or CuPy if the data is on a GPU.

The data decides. To make a new array, a kernel asks `array_module(x)`. For everything else it calls `np.exp(x)` and
the like: NumPy passes the call on to CuPy if x is a CuPy array (NEP 13, NEP 18).
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
    """The module that x comes from: numpy or cupy."""
    return np if type(x) is np.ndarray else sys.modules[type(x).__module__.partition(".")[0]]


def is_array(x: object) -> bool:
    """Whether x is an array of NumPy or CuPy."""
    return isinstance(x, np.ndarray) or type(x).__module__.partition(".")[0] == "cupy"


def as_array(x: Any) -> Array:
    """x; a scalar becomes a 0-d array. NumPy's ufuncs and reductions return scalars, CuPy's return 0-d arrays."""
    return np.asarray(x) if isinstance(x, np.generic) else x


def ones(count: int, like: Array) -> Array:
    """(count,) ones in like's dtype, on its device; do not write to them. `x @ ones` is a sum, faster than x.sum()."""
    return _ones(count, like.dtype) if isinstance(like, np.ndarray) else array_module(like).ones(count, like.dtype)


@functools.lru_cache(maxsize=64)
def _ones(count: int, dtype: np.dtype[Any]) -> Array:
    ones = np.ones(count, dtype)
    ones.flags.writeable = False
    return ones


def total(x: Array, axis: Any, keepdims: bool = False) -> Array:
    """Σ x over axis, in x's dtype. float16 is added up in float32: NumPy does so by itself, CuPy does not with CUB."""
    if isinstance(x, np.ndarray) or x.dtype != np.float16:
        return x.sum(axis=axis, dtype=x.dtype, keepdims=keepdims)
    return x.sum(axis=axis, dtype=np.float32, keepdims=keepdims).astype(x.dtype)


def product(a: Array, b: Array, out: Array | None = None) -> Array:
    """a @ b, written to out if it is given. On a GPU, a CUDA graph can record this product."""
    return np.matmul(a, b, out) if type(a) is np.ndarray else gpu("matmul")(a, b, out)


def contraction(equation: str, *xs: Array, optimize: bool) -> Array:
    """np.einsum; on a GPU, in the precision that `precision.py` permits."""
    if type(xs[0]) is np.ndarray:
        return np.einsum(equation, *xs, optimize=optimize)
    return gpu("einsum")(equation, *xs, optimize=optimize)


def scatter_add(rows: int, index: Array, updates: Array) -> Array:
    """out[index[n]] += updates[n] over n; out (rows, C), index (N,), updates (N, C).

    Repeated indices add up; `out[index] += updates` would keep only one of them. With few rows, a product with a
    one-hot matrix is fastest, since it is one BLAS call. With many, the updates are sorted and each run is summed.
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
