"""Layer norm over the last n elements: x (…, n), weight and bias (n,) or absent → y (…, n).

    x̂ = (x − mean) · rstd,   rstd = 1 / √(variance + ε),   y = w·x̂ + b

    dŷ = dy·w
    dx = rstd · (dŷ − mean(dŷ) − x̂ · mean(dŷ·x̂))        dw = Σ dy·x̂        db = Σ dy

The two means in dx are what a row loses because its own mean and variance move with every element.
Source: Ba, Kiros and Hinton, "Layer Normalization", 2016, arXiv:1607.06450, equation 4.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinytensor.backend import Array, ones
from tinytensor.primitive import primitive


def layer_norm_forward(x: Array, w: Array | None, b: Array | None, *, n: int, eps: float) -> Any:
    rows = x.reshape(-1, n)
    total = rows @ ones(n, x)  # by BLAS, several times as fast as .sum(-1)
    xhat = rows - (total / n)[:, None]
    rstd = np.einsum("ij,ij->i", xhat, xhat)
    rstd += n * eps
    np.sqrt(rstd, rstd)
    np.divide(math.sqrt(n), rstd, rstd)
    xhat *= rstd[:, None]
    y = xhat.copy() if w is None else xhat * w.reshape(n)
    if b is not None:
        y += b.reshape(n)
    return y.reshape(x.shape), (xhat, rstd, w, b is not None)


def layer_norm_backward(
    dy: Array, xhat: Array, rstd: Array, w: Array | None, has_bias: bool, *, onto: Array | None = None
) -> Any:
    shape, n = dy.shape, xhat.shape[1]
    dy = dy.reshape(-1, n)
    each_row, weight = ones(len(dy), dy), ones(n, dy) if w is None else w.reshape(n)
    product = dy * xhat
    dw = None if w is None else (each_row @ product).reshape(w.shape)
    db = (each_row @ dy).reshape(w.shape if w is not None else (n,)) if has_bias else None
    share = weight / n
    along, mean = product @ share, dy @ share  # along: how far dŷ points along x̂
    dx = dy.copy() if w is None else np.multiply(dy, weight, product)
    dx -= mean[:, None]
    xhat *= along[:, None]
    dx -= xhat
    dx *= rstd[:, None]
    dx = dx.reshape(shape)
    if onto is not None:
        dx += onto
    return dx, dw, db


def layer_norm_composed(x: Any, w: Any, b: Any, *, n: int, eps: float) -> Any:
    """The same, written out in smaller operations."""
    rows = x.reshape(-1, n)
    centred = rows - rows.mean(1, keepdim=True)
    variance = (centred * centred).mean(1, keepdim=True)
    y = (centred / (variance + eps).sqrt()).reshape(x.shape)
    y = y if w is None else y * w
    return y if b is None else y + b


LAYER_NORM = primitive(
    "layer_norm", layer_norm_forward, layer_norm_backward, composed=layer_norm_composed,
    formula="y = w (x − mean) / √(variance + ε) + b", fits="x (…, n), weight (n,), bias (n,)",
)  # fmt: skip
