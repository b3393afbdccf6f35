"""Attention in blocks: y = softmax(scale · q kᵀ) v, the form that a default training run executes.

attention.py computes the same and is the one to read first. Its memory grows with T·S, that of this form with T.

Forward. One tile of the scores a = scale · q kᵀ exists at a time: a block of queries by a span of keys. The softmax is
computed online. For the keys seen so far, each query keeps the largest score m, the sum s = Σ e^(a−m) and the mixture
z = Σ e^(a−m) v. To combine two sets of keys, both are scaled to the larger m; after the last key, y = z / s:

    m = max(m₁, m₂)      s = e^(m₁−m) s₁ + e^(m₂−m) s₂      z = e^(m₁−m) z₁ + e^(m₂−m) z₂

The forward saves q, k, v, y and one number for each query, L = m + ln s. The backward recomputes the weights of a tile
from them, with one matrix product:

    w = e^(a−L)      dv = wᵀ dy      da = w (dy vᵀ − Σ dy·y)      dq = scale · da k      dk = scale · daᵀ q

In attention.py, da contains Σ dw·w, a sum over all keys. It equals Σ w (dy vᵀ) = dy (w v)ᵀ = Σ dy·y, a sum over a row
of y, which needs no tile. The backward walks over blocks of keys and, for each, over spans of queries. So dk and dv of
a block are complete while the block is in the cache of the processor.

Causal: tiles above the diagonal are not computed, which is half of the work.
Sources: Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018, arXiv:1805.02867, section 3;
Dao et al., "FlashAttention", 2022, arXiv:2205.14135, algorithms 1 and 4.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.backend import Array, array_module, matmul
from tinytensor.ops.attention import attention_composed, causal_mask
from tinytensor.primitive import Gradients, Output, primitive

BLOCK, SPAN = 32, 256  # near the fastest of 16 to 128 by 64 to 1024, for T from 256 to 2048


def check(q: Array, k: Array, v: Array, block: int, span: int) -> None:
    """ValueError unless batches are equal (attention.py broadcasts), each key has a value, spans end with blocks."""
    if not q.shape[:-2] == k.shape[:-2] == v.shape[:-2] or k.shape[-2] != v.shape[-2]:
        raise ValueError("q, k and v differ in their batches, or k and v in their lengths")
    if span % block:
        raise ValueError(f"a span of {span} is not a multiple of a block of {block}")


def scores(q: Array, kt: Array, rows: slice, columns: slice, causal: bool) -> Array:
    """The tile q kᵀ of these rows and columns; causal: −∞ above the diagonal, which crosses some of the tiles."""
    a = matmul(q, kt)
    if causal and columns.stop > rows.start:
        height, width = min(rows.stop, columns.stop) - rows.start, columns.stop - rows.start
        a[..., :height, -width:] += causal_mask(height, width, a.dtype, array_module(a))
    return a


def merged(seen: Any, tile: Any) -> Any:
    """(m, s, z) of all keys so far: of those before this tile (None if it is the first) and those of this tile."""
    if seen is None:
        return tile
    (m1, s1, z1), (m2, s2, z2) = seen, tile
    m = np.maximum(m1, m2)
    c1, c2 = np.exp(m1 - m), np.exp(m2 - m)
    z1 *= c1
    z2 *= c2
    z1 += z2
    return m, c1 * s1 + c2 * s2, z1


def added(total: Array | None, x: Array) -> Array:
    """total + x, in place; x itself if there is no total yet."""
    if total is None:
        return x
    total += x
    return total


def blockwise_attention_forward(
    q: Array, k: Array, v: Array, *, scale: float, causal: bool, block: int = BLOCK, span: int = SPAN
) -> Output:
    check(q, k, v, block, span)
    xp, T, (S, E) = array_module(q), q.shape[-2], v.shape[-2:]
    y = np.empty_like(q, shape=(*q.shape[:-1], E))  # with the memory layout of q, as matmul_like in attention_speed.py
    log_sum = xp.empty((*q.shape[:-1], 1), q.dtype)
    ones = xp.ones((span, 1), q.dtype)
    kt = k.swapaxes(-1, -2).copy()  # (…, D, S)
    kt *= scale
    for i in range(0, T, block):
        rows = slice(i, min(i + block, T))
        end = min(rows.stop, S) if causal else S
        seen: Any = None
        for j in range(0, end, span):
            columns = slice(j, min(j + span, end))
            a = scores(q[..., rows, :], kt[..., columns], rows, columns, causal)
            m = a.max(-1, keepdims=True)  # (…, block, 1), as s; z is (…, block, E)
            a -= m
            w = np.exp(a, out=a)
            seen = merged(seen, (m, matmul(w, ones[: w.shape[-1]]), matmul(w, v[..., columns, :])))
        m, s, z = seen
        np.divide(z, s, out=y[..., rows, :])
        log_sum[..., rows, :] = m + np.log(s)
    return y, (q, k, v, y, log_sum, scale, causal, block, span)


def blockwise_attention_backward(
    dy: Array, q: Array, k: Array, v: Array, y: Array, log_sum: Array, scale: float, causal: bool, block: int, span: int
) -> Gradients:
    xp, T, (S, E) = array_module(q), q.shape[-2], v.shape[-2:]
    q, dy = q.copy(), dy.copy()  # the rows of a head in one piece
    q *= scale
    dyy = matmul(dy * y, xp.ones((E, 1), q.dtype))  # Σ dy·y, (…, T, 1)
    dq, dk, dv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    for j in range(0, min(T, S) if causal else S, block):
        columns = slice(j, min(j + block, S))
        kt, vt = (x[..., columns, :].swapaxes(-1, -2).copy() for x in (k, v))
        dk_block, dv_block = None, None
        for i in range(j if causal else 0, T, span):
            rows = slice(i, min(i + span, T))
            w = scores(q[..., rows, :], kt, rows, columns, causal)  # a; e^(a−L) in place
            w -= log_sum[..., rows, :]
            np.exp(w, out=w)
            dv_block = added(dv_block, matmul(w.swapaxes(-1, -2), dy[..., rows, :]))
            da = matmul(dy[..., rows, :], vt)  # dw = dy vᵀ; da = w (dw − Σ dy·y) in place
            da -= dyy[..., rows, :]
            da *= w
            dq[..., rows, :] += matmul(da, k[..., columns, :])
            dk_block = added(dk_block, matmul(da.swapaxes(-1, -2), q[..., rows, :]))
        dk[..., columns, :], dv[..., columns, :] = dk_block, dv_block
    dq *= scale  # dk has the factor already, since q was multiplied by it
    return dq, dk, dv


def blockwise_attention_composed(q: Any, k: Any, v: Any, *, scale: float, causal: bool, **sizes: int) -> Any:
    """The same, with all weights at once."""
    return attention_composed(q, k, v, None, scale=scale, causal=causal)


BLOCKWISE_ATTENTION = primitive(
    "blockwise_attention", blockwise_attention_forward, blockwise_attention_backward,
    composed=blockwise_attention_composed, wide=True,
    formula="y = softmax(scale·q kᵀ) v", fits="q (…, T, D), k (…, S, D), v (…, S, E), equal batches",
)  # fmt: skip
