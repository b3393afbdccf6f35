"""Scaled dot-product attention: q (…, T, D), k (…, S, D), v (…, S, E) → y (…, T, E).

    a = scale · q kᵀ + mask      w = softmax(a)      y = w v

    dv = wᵀ dy      dw = dy vᵀ      da = w (dw − Σ dw·w)      dq = scale · da k      dk = scale · daᵀ q

Causal: row t sees only columns s ≤ t; the others get −∞ before the softmax, so their weight is exactly 0.
Dropout multiplies w by a given array, zeros and 1/(1−p), between the softmax and v.
Fused, because one array of T·S weights is kept instead of five; blockwise_attention.py keeps none.
Source: Vaswani et al., "Attention Is All You Need", 2017, arXiv:1706.03762, section 3.2.1.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from tinytensor.backend import Array, array_module, ones
from tinytensor.ops.elementwise import unbroadcast
from tinytensor.primitive import primitive


def attention_forward(
    q: Array, k: Array, v: Array, mask: Array | None, *, scale: float, causal: bool, dropout: Array | None = None
) -> Any:
    a = np.matmul(q * scale, transposed(k, q.shape[-2]))
    if causal:
        a += causal_mask(a.shape[-2], a.shape[-1], a.dtype, array_module(a))
    if mask is not None:
        a += mask  # a mask may have fewer dimensions than q kᵀ, not more
    w = weights(a, mask is not None)
    y = matmul_like(q, w if dropout is None else w * dropout, v)
    return y, (q, k, v, w, scale, None if mask is None else mask.shape, dropout)


def attention_backward(
    dy: Array, q: Array, k: Array, v: Array, w: Array, scale: float,
    mask_shape: tuple[int, ...] | None, dropout: Array | None, *, needs: tuple[bool, ...] = (True,) * 4,
) -> Any:  # fmt: skip
    dv = matmul_like(v, (w if dropout is None else w * dropout).swapaxes(-1, -2), dy)
    da = np.matmul(dy, transposed(v, dy.shape[-2]))  # dw; it becomes da in place
    if dropout is not None:
        da *= dropout
    da -= np.einsum("...ts,...ts->...t", da, w)[..., None]
    da *= w
    dmask = None if mask_shape is None or not needs[3] else unbroadcast(da, mask_shape)
    dq = matmul_like(q, da, k)
    dq *= scale
    dk = matmul_like(k, da.swapaxes(-1, -2), q)
    dk *= scale
    return unbroadcast(dq, q.shape), unbroadcast(dk, k.shape), unbroadcast(dv, v.shape), dmask


def weights(a: Array, masked: bool) -> Array:
    """softmax(a) over the last dimension; where masked, rows of −∞ alone give 0, not nan. a is used up.

    What is taken off a row changes the range of its e^a and not their quotients. The first score is at hand; to find the
    largest takes NumPy twice as long as to compute e^a, so it is looked for only where a row's sum overflows without.
    """
    each = ones(a.shape[-1], a)
    if masked or not isinstance(a, np.ndarray):  # the first may be −∞; on a GPU to look at a sum is to wait for it
        top = a.max(-1, keepdims=True)
        if masked:
            top = np.where(np.isinf(top), np.zeros_like(top), top)
    else:
        w = a - a[..., :1]
        np.exp(w, out=w)
        total = np.matmul(w, each)
        fine = np.isfinite(total)
        if fine.all():
            w /= total[..., None]
            return w
        top = np.where(fine, a[..., 0], a.max(-1))[..., None]
    a -= top
    np.exp(a, out=a)
    total = np.matmul(a, each)
    if masked:
        total += total == 0
    a /= total[..., None]
    return a


def transposed(x: Array, rows: int) -> Array:
    """xᵀ (…, N, M) of x (…, M, N), the right side of a product with that many rows.

    Copied if it is small and used often: BLAS has a kernel for small matrices that takes half the time then.
    """
    xt = x.swapaxes(-1, -2)
    return xt.copy() if rows >= 32 and x.shape[-2] * x.shape[-1] <= 4096 else xt


def matmul_like(x: Array, a: Array, b: Array) -> Array:
    """a b, laid out in memory like x: heads that are views of (B, T, H, D) are merged again without a copy."""
    if a.shape[:-2] != b.shape[:-2]:
        return np.matmul(a, b)
    return np.matmul(a, b, out=np.empty_like(x, shape=(*a.shape[:-1], b.shape[-1])))


@functools.lru_cache(maxsize=16)
def causal_mask(t: int, s: int, dtype: Any, xp: Any) -> Array:
    """(T, S): 0 on and below the diagonal, −∞ above it."""
    mask = xp.triu(xp.full((t, s), -xp.inf, dtype), 1)
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
