"""The subject of test_layer_norm: layer norm of rows, with the gradients of x, weight and bias."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def subject(x: Array, w: Array, b: Array, dy: Array, eps: float = 1e-5) -> tuple[Array, Array, Array, Array]:
    """Return y, dx, dw, db for x and dy (N, n), w and b (n,)."""
    centred = x - x.mean(1, keepdims=True)
    variance = (centred * centred).mean(1, keepdims=True)
    rstd = 1 / np.sqrt(variance + eps)
    xhat = centred * rstd
    y = xhat * w + b
    d = dy * w
    through_mean = d.mean(1, keepdims=True)
    through_rstd = xhat * (d * xhat).mean(1, keepdims=True)
    dx = rstd * (d - through_mean - through_rstd)
    dw = (dy * xhat).sum(0)
    db = dy.sum(0)
    return y, dx, dw, db
