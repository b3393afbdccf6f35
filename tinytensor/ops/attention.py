"""Scaled dot-product attention, the form to read: q (…, T, D), k (…, S, D), v (…, S, E) → y (…, T, E).

A default training run executes its twin, blockwise_attention.py: the same function, block by block, for contexts from
128 on. This form runs for shorter ones, and with a mask or dropout (nn/functional/attention.py decides).

    a = scale · q kᵀ + mask      w = softmax(a)      y = w v
    dv = wᵀ dy      dw = dy vᵀ      da = w (dw − Σ dw·w)      dq = scale · da k      dk = scale · daᵀ q

w: the attention weights, which sum to 1 for each query. `dropout`: an array of 0 and 1 / (1 − p); gpt/model.py has p.
Causal: query t sees the keys s ≤ t alone. Weights of 4 positions with equal scores (q and k are 0, v is 1, so y = w):

    >>> print(attention_forward(*np.zeros((2, 4, 2)), np.eye(4), None, scale=1.0, causal=True)[0].round(2))
    [[1.   0.   0.   0.  ]
     [0.5  0.5  0.   0.  ]
     [0.33 0.33 0.33 0.  ]
     [0.25 0.25 0.25 0.25]]

Source: Vaswani et al., "Attention Is All You Need", 2017, arXiv:1706.03762, section 3.2.1.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from tinytensor.backend import Array, array_module, matmul
from tinytensor.ops.arithmetic import unbroadcast
from tinytensor.ops.attention_speed import matmul_like, softmax_rows, transposed  # faster forms of @, softmax, ᵀ
from tinytensor.primitive import Gradients, Output, primitive


@functools.lru_cache(maxsize=16)
def causal_mask(t: int, s: int, dtype: Any, xp: Any) -> Array:
    """(T, S): 0 on and below the diagonal, −∞ above it."""
    mask = xp.triu(xp.full((t, s), -xp.inf, dtype), 1)
    mask.flags.writeable = False  # it is kept for the next call
    return mask


def attention_forward(
    q: Array, k: Array, v: Array, mask: Array | None, *, scale: float, causal: bool, dropout: Array | None = None
) -> Output:
    a = matmul(q * scale, transposed(k, q.shape[-2]))  # scores: (…, T, D) @ (…, D, S) -> (…, T, S)
    if causal:
        a += causal_mask(a.shape[-2], a.shape[-1], a.dtype, array_module(a))  # mask: e^−∞ is 0, so the weight is 0
    if mask is not None:
        a += mask
    w = softmax_rows(a, mask is not None)  # a causal row always sees key 0; only a given mask can close a whole row
    dropped = w if dropout is None else w * dropout  # dropout: a weight times 0 or 1 / (1 − p)
    y = matmul_like(dropped, v, q)  # mix: (…, T, S) @ (…, S, E) -> (…, T, E)
    return y, (q, k, v, w, scale, None if mask is None else mask.shape, dropout)


def attention_backward(
    dy: Array, q: Array, k: Array, v: Array, w: Array, scale: float,
    mask_shape: tuple[int, ...] | None, dropout: Array | None, *, needs: tuple[bool, ...] = (True,) * 4,
) -> Gradients:  # fmt: skip
    dv = matmul_like((w if dropout is None else w * dropout).swapaxes(-1, -2), dy, v)  # mix, y = w v: dv = wᵀ dy
    da = matmul(dy, transposed(v, dy.shape[-2]))  # and dw = dy vᵀ; overwritten until it is da
    if dropout is not None:
        da *= dropout  # through the dropout
    da -= np.einsum("...ts,...ts->...t", da, w)[..., None]  # through the softmax: dw − Σ dw·w …
    da *= w  # … da = w (dw − Σ dw·w), which is 0 where the mask is −∞
    dmask = None if mask_shape is None or not needs[3] else unbroadcast(da, mask_shape)  # a + mask passes da on
    dq = matmul_like(da, k, q)  # scores, a = scale · q kᵀ: dq = scale · da k
    dq *= scale
    dk = matmul_like(da.swapaxes(-1, -2), q, k)  # and dk = scale · daᵀ q
    dk *= scale
    return unbroadcast(dq, q.shape), unbroadcast(dk, k.shape), unbroadcast(dv, v.shape), dmask


def attention_composed(
    q: Any, k: Any, v: Any, mask: Any, *, scale: float, causal: bool, dropout: Any = None, point: Any = lambda _, x: x
) -> Any:
    """The same, written out in smaller operations. point(name, x) sees the scores and the weights (inside/trace.py)."""
    a = q @ k.transpose(-2, -1) * scale
    if causal:
        a = a.masked_fill(a.new_ones(a.shape).triu(1) != 0, float("-inf"))
    a = point("scores", a if mask is None else a + mask)
    closed = None if mask is None else (a == float("-inf")).all(-1, keepdim=True)  # a query that may see no key …
    w = a.softmax(-1) if closed is None else a.masked_fill(closed, 0.0).softmax(-1).masked_fill(closed, 0.0)
    w = point("weights", w)  # … has weights 0, not nan
    return (w if dropout is None else w * dropout) @ v


ATTENTION = primitive(
    "attention", attention_forward, attention_backward, composed=attention_composed, wide=True,
    formula="y = softmax(scale·q kᵀ + mask) v",
    fits="q (…, T, D), k (…, S, D), v (…, S, E), mask broadcast to (…, T, S)",
)  # fmt: skip
