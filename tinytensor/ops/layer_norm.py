"""Layer norm over the last n elements: x (…, n), weight and bias (n,) or absent → y (…, n).

    x̂ = (x − mean(x)) · rstd        rstd = 1 / √(variance(x) + ε)        y = w·x̂ + b
    dx̂ = dy·w        dx = rstd · (dx̂ − mean(dx̂) − x̂ · mean(dx̂·x̂))        dw = Σ dy·x̂        db = Σ dy

Each xⱼ changes all x̂ᵢ of its row. Through the mean, ∂mean/∂xⱼ = 1/n, so dxⱼ loses rstd · mean(dx̂). Through rstd,
∂rstd/∂xⱼ = −rstd² · x̂ⱼ / n, so dxⱼ loses rstd · x̂ⱼ · mean(dx̂·x̂): one rstd cancels, as xᵢ − mean = x̂ᵢ / rstd.
Source: Ba, Kiros and Hinton, "Layer Normalization", 2016, arXiv:1607.06450, equation 4.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinytensor.backend import Array, ones
from tinytensor.primitive import Gradients, Output, primitive
from tinytensor.sums import column_sums, row_squares, row_sums


def layer_norm_forward(x: Array, w: Array | None, b: Array | None, *, n: int, eps: float) -> Output:
    rows = x.reshape(-1, n)  # (…, n) -> (N, n)
    mean = row_sums(rows) / n  # (N,)
    xhat = rows - mean[:, None]  # x − mean: overwritten until it is x̂
    rstd = row_squares(xhat)  # (N,): Σ (x − mean)² = n · variance; overwritten until it is rstd
    rstd += n * eps  # n (variance + ε)
    np.sqrt(rstd, out=rstd)
    np.divide(math.sqrt(n), rstd, out=rstd)  # √n / √(n (variance + ε)) = 1 / √(variance + ε)
    xhat *= rstd[:, None]
    y = xhat.copy() if w is None else xhat * w.reshape(n)
    if b is not None:
        y += b.reshape(n)
    return y.reshape(x.shape), (xhat, rstd, w, b is not None)


def layer_norm_backward(
    dy: Array, xhat: Array, rstd: Array, w: Array | None, has_bias: bool, *, add_to: Array | None = None
) -> Gradients:
    shape, n = dy.shape, xhat.shape[1]
    dy = dy.reshape(-1, n)  # (…, n) -> (N, n)
    dy_xhat, each_row = dy * xhat, ones(len(dy), dy)
    dw = None if w is None else column_sums(dy_xhat, each_row).reshape(w.shape)  # y = w·x̂: dw = Σ dy·x̂ over the rows
    db = column_sums(dy, each_row).reshape(w.shape if w is not None else (n,)) if has_bias else None  # + b: db = Σ dy
    w_over_n = (ones(n, dy) if w is None else w.reshape(n)) / n  # a weighted mean is one product: z @ (w / n)
    mean_dxhat, mean_dxhat_xhat = row_sums(dy, w_over_n), row_sums(dy_xhat, w_over_n)  # (N,): mean(dx̂) and mean(dx̂·x̂)
    dx = dy.copy() if w is None else np.multiply(dy, w.reshape(n), out=dy_xhat)  # dx̂ = dy·w, now in this memory
    dx -= mean_dxhat[:, None]  # through the mean
    xhat *= mean_dxhat_xhat[:, None]  # nobody else has x̂, so the backward may overwrite it
    dx -= xhat  # through the variance
    dx *= rstd[:, None]  # through the division by the standard deviation
    dx = dx.reshape(shape)  # (N, n) -> (…, n)
    if add_to is not None:
        dx += add_to  # the gradient that x has from elsewhere: x + f(layer_norm(x)) uses x twice
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
    "layer_norm", layer_norm_forward, layer_norm_backward, composed=layer_norm_composed, wide=True,
    formula="y = w (x − mean) / √(variance + ε) + b", fits="x (…, n), weight (n,), bias (n,)",
)  # fmt: skip
