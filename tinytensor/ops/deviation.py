"""Variance and standard deviation over `axis`, a tuple of non-negative dimensions. c is the correction: 1, or 0.

v = Σ (x − mean)² / (n − c)        dx = dv · 2 (x − mean) / (n − c)        y = √v        dv = dy / 2y, and 0 where y = 0

On the host they compute in float64, as PyTorch's do: the squares of float32 overflow sooner than their root does.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinytensor.backend import Array
from tinytensor.ops.reduction import kept
from tinytensor.primitive import Gradients, Output, primitive
from tinytensor.sums import total


def _variance(x: Array, axis: tuple[int, ...], correction: float, keepdims: bool) -> tuple[Array, Array, Any]:
    """v in the precision that it is computed in, the mean in that of x, n − c."""
    n = math.prod(x.shape[d] for d in axis)
    wide = x.astype(np.float64, order="K", copy=False) if isinstance(x, np.ndarray) else x
    mean = total(wide, axis, True) / n if n else total(wide, axis, True) * math.nan  # the mean of nothing is nan
    free = max(n - correction, 0)
    centred = wide - mean
    return total(centred * centred, axis, keepdims) / wide.dtype.type(free), mean.astype(x.dtype), x.dtype.type(free)


def var_forward(x: Array, *, axis: tuple[int, ...], correction: float, keepdims: bool) -> Output:
    v, mean, free = _variance(x, axis, correction, keepdims)
    return v.astype(x.dtype), (x, mean, free, axis)


def var_backward(dv: Array, x: Array, mean: Array, free: Any, axis: tuple[int, ...]) -> Gradients:
    return ((x - mean) * (kept(dv, x.shape, axis) * 2 / free),)  # the mean passes nothing on: Σ (x − mean) is 0


VAR = primitive("var", var_forward, var_backward, wide=True, formula="y = Σ (x − mean)² / (n − c)")


def std_forward(x: Array, *, axis: tuple[int, ...], correction: float, keepdims: bool) -> Output:
    v, mean, free = _variance(x, axis, correction, keepdims)
    y = np.sqrt(v).astype(x.dtype)
    return y, (x, mean, y, free, axis)


def std_backward(dy: Array, x: Array, mean: Array, y: Array, free: Any, axis: tuple[int, ...]) -> Gradients:
    return var_backward(np.where(y == 0, y, dy / (y * 2)), x, mean, free, axis)


STD = primitive("std", std_forward, std_backward, wide=True, formula="y = √(Σ (x − mean)² / (n − c))")
