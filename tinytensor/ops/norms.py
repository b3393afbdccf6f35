"""The p-norm over `axis`, a tuple of non-negative dimensions.

y = (Σ |x|ᵖ)^(1/p)        dx = dy · sign x · (|x| / y)ᵖ⁻¹

At 0 the derivative is 0, also where the formula has 0/0, as in PyTorch. For p = ∞, y is the largest |x|, and the elements
that are as large, or nan, share the gradient evenly.
"""

from __future__ import annotations

import math

import numpy as np

from tinytensor.backend import Array
from tinytensor.layout import in_order
from tinytensor.ops.powers import power
from tinytensor.ops.reduction import kept
from tinytensor.ops.unary import sign
from tinytensor.primitive import Gradients, Output, primitive
from tinytensor.sums import total


def norm_forward(x: Array, *, p: float, axis: tuple[int, ...], keepdims: bool) -> Output:
    if p == math.inf or all(
        x.shape[d] == 1 for d in axis
    ):  # of one number it is |x|, which neither over- nor underflows
        y = in_order(np.abs(x).max(axis=axis, keepdims=keepdims))
    elif p == 2:
        y = np.sqrt(total(x * x, axis, keepdims))
    else:
        y = power(total(power(np.abs(x), p), axis, keepdims), 1 / p)
    return y, (x, y, p, axis)


def norm_backward(dy: Array, x: Array, y: Array, p: float, axis: tuple[int, ...]) -> Gradients:
    dy, y = kept(dy, x.shape, axis), kept(y, x.shape, axis)
    if p == 1:
        return (dy * sign(x),)
    if p == 2:
        return (dy * np.where(y == 0, y, x / y),)
    if p == math.inf:
        hit = (np.abs(x) == y) | np.isnan(x)
        return (sign(x) * hit * (dy / hit.sum(axis=axis, keepdims=True).astype(dy.dtype)),)
    grown = np.where(x == 0, x, sign(x) * power(np.abs(x), p - 1))  # below p = 1, 0ᵖ⁻¹ is ∞
    return (grown * np.where(y == 0, y, dy / power(y, p - 1)),)


NORM = primitive("norm", norm_forward, norm_backward, wide=True, formula="y = (Σ |x|ᵖ)^(1/p)")
