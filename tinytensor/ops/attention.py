"""Scaled dot-product attention: q (…, T, D), k (…, S, D), v (…, S, E) → y (…, T, E).

    a = scale · q kᵀ + mask      w = softmax(a)      y = w v

    dv = wᵀ dy      dw = dy vᵀ      da = w (dw − Σ dw·w)      dq = scale · da k      dk = scale · daᵀ q

Causal: row t sees only columns s ≤ t; the others get −∞ before the softmax, so their weight is exactly 0.
Dropout multiplies w by a given array, zeros and 1/(1−p), between the softmax and v.
Fused, because in between there is one array of T·S weights instead of five.
Source: Vaswani et al., "Attention Is All You Need", 2017, arXiv:1706.03762, section 3.2.1.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from tinytensor.backend import Array, array_module
from tinytensor.ops.elementwise import unbroadcast
from tinytensor.primitive import primitive


def attention_forward(
    q: Array, k: Array, v: Array, mask: Array | None, *, scale: float, causal: bool, dropout: Array | None = None
) -> Any:
    w = np.matmul(q * scale, k.swapaxes(-1, -2))
    if causal:
        w += causal_mask(w.shape[-2], w.shape[-1], w.dtype, array_module(w))
    if mask is not None:
        w += mask  # a mask may have fewer dimensions than q kᵀ, not more
    top = w.max(-1, keepdims=True)
    if mask is not None:
        top = np.where(np.isinf(top), np.zeros_like(top), top)  # a row without one open column: weights 0, not nan
    w -= top
    np.exp(w, out=w)
    total = np.matmul(w, array_module(w).ones(w.shape[-1], w.dtype))
    if mask is not None:
        total += total == 0
    w /= total[..., None]
    y = np.matmul(w if dropout is None else w * dropout, v)
    return y, (q, k, v, w, scale, None if mask is None else mask.shape, dropout)


def attention_backward(
    dy: Array, q: Array, k: Array, v: Array, w: Array, scale: float,
    mask_shape: tuple[int, ...] | None, dropout: Array | None, *, needs: tuple[bool, ...] = (True,) * 4,
) -> Any:  # fmt: skip
    dv = np.matmul((w if dropout is None else w * dropout).swapaxes(-1, -2), dy)
    da = np.matmul(dy, v.swapaxes(-1, -2))  # dw; it becomes da in place
    if dropout is not None:
        da *= dropout
    da -= np.einsum("...ts,...ts->...t", da, w)[..., None]
    da *= w
    dmask = None if mask_shape is None or not needs[3] else unbroadcast(da, mask_shape)
    dq = np.matmul(da, k)
    dq *= scale
    dk = np.matmul(da.swapaxes(-1, -2), q)
    dk *= scale
    return unbroadcast(dq, q.shape), unbroadcast(dk, k.shape), unbroadcast(dv, v.shape), dmask


@functools.lru_cache(maxsize=16)
def causal_mask(t: int, s: int, dtype: Any, xp: Any) -> Array:
    """(T, S): 0 on and below the diagonal, −∞ above it."""
    mask = xp.zeros((t, s), dtype)
    mask[xp.arange(s)[None, :] > xp.arange(t)[:, None]] = -xp.inf
    mask.flags.writeable = False
    return mask


def attention_composed(q: Any, k: Any, v: Any, mask: Any, *, scale: float, causal: bool, dropout: Any = None) -> Any:
    """The same, written out in smaller operations."""
    a = q @ k.transpose(-2, -1) * scale
    if causal:
        a = a.masked_fill(a.new_ones(a.shape).triu(1) != 0, float("-inf"))
    if mask is not None:
        a = a + mask
    closed = (a == float("-inf")).all(-1, keepdim=True)  # rows without one open column: weights 0, not nan
    w = a.masked_fill(closed, 0.0).softmax(-1).masked_fill(closed, 0.0)
    return (w if dropout is None else w * dropout) @ v


ATTENTION = primitive(
    "attention", attention_forward, attention_backward, composed=attention_composed,
    formula="y = softmax(scale·q kᵀ + mask) v", fits="q (…, T, D), k (…, S, D), v (…, S, E), mask broadcast to (…, T, S)",
)  # fmt: skip
