"""The array backend: NumPy, or CuPy where the data is on a GPU.

The data decides. Where a kernel has to make a new array, it asks `array_module(x)`. Everything else it calls as
`np.exp(x)`; if x lies on a GPU, NumPy passes the call on to CuPy (by the protocols of NEP 13 and NEP 18).
"""

from __future__ import annotations

import functools
import sys
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from tinytensor.without_blas import matmul as matmul  # a @ b: np.matmul, or a faster one where NumPy has no BLAS

Array: TypeAlias = Any  # numpy.ndarray or cupy.ndarray: same methods, no common type


def array_module(x: Array) -> ModuleType:
    """The module that x comes from: numpy or cupy."""
    return np if type(x) is np.ndarray else sys.modules[type(x).__module__.partition(".")[0]]  # "cupy._core.core"


def is_array(x: object) -> bool:
    """Whether x is an array of NumPy or CuPy."""
    return isinstance(x, np.ndarray) or type(x).__module__.partition(".")[0] == "cupy"  # without an import of CuPy


def as_array(x: Any) -> Array:
    """x; a scalar becomes a 0-d array. NumPy's ufuncs and reductions return scalars, CuPy's return 0-d arrays."""
    return np.asarray(x) if isinstance(x, np.generic) else x  # np.float32(1).sum() is no array


def ones(count: int, like: Array) -> Array:
    """(count,) ones in like's dtype, on its device; do not write to them. `x @ ones` is a sum, faster than x.sum()."""
    return _ones(count, like.dtype) if isinstance(like, np.ndarray) else array_module(like).ones(count, like.dtype)


@functools.lru_cache(maxsize=64)  # a training step asks for the same few sizes again and again
def _ones(count: int, dtype: np.dtype[Any]) -> Array:
    ones = np.ones(count, dtype)
    ones.flags.writeable = False  # all callers share it
    return ones
