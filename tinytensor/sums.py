"""Sums that NumPy and CuPy compute differently: over axes, over the letters of an einsum, over repeated indices."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.backend import Array, array_module
from tinytensor.dispatch import gpu


def total(x: Array, axis: Any, keepdims: bool = False) -> Array:
    """Σ x over axis, in x's dtype. float16 is added up in float32: NumPy does so by itself, CuPy does not with CUB."""
    if isinstance(x, np.ndarray) or x.dtype != np.float16:
        return x.sum(axis=axis, dtype=x.dtype, keepdims=keepdims)
    return x.sum(axis=axis, dtype=np.float32, keepdims=keepdims).astype(x.dtype)


def contraction(equation: str, *xs: Array, optimize: bool) -> Array:
    """np.einsum; on a GPU, in the precision that `precision.py` permits."""
    if type(xs[0]) is np.ndarray:
        return np.einsum(equation, *xs, optimize=optimize)
    return gpu("einsum")(equation, *xs, optimize=optimize)


def add_rows(rows: int, index: Array, updates: Array) -> Array:
    """out[index[n]] += updates[n] over n; out (rows, C), index (N,), updates (N, C). Repeated indices add up.

    On the CPU the updates are sorted by index, so that those of one row are a run, and each run is summed.
    """
    xp = array_module(updates)
    out = xp.zeros((rows, updates.shape[1]), updates.dtype)
    if xp is not np:
        xp.add.at(out, index, updates)
    elif len(updates):
        order = np.argsort(index, kind="stable")
        ordered = index[order]
        first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        out[ordered[first]] = np.add.reduceat(updates[order], first, axis=0)
    return out
