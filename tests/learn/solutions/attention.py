"""attention: the gradients of scores, mask, softmax and mix.

    a = q kᵀ / √D        a[t, s] = −∞ for s > t        w = softmax(a)        y = w v

Shapes: q, k (…, T, D), v (…, T, E) → y, dy (…, T, E); a and w (…, T, T), a row for each query. dq, dk, dv as q, k, v.

Write backward: from dy and what forward kept, the three gradients. Go back through the lines of forward, the
last one first.

Hint: y = w v is a product of matrices: it has a gradient dw and a gradient dv. Through the softmax: da = w (dw
− Σ dw·w). A score that is masked has the weight 0, so its da is 0 by itself. The scores are a product of
matrices again.

    python -m gpt.learn check attention
"""

import math

import numpy as np


def forward(q, k, v):
    """q, k, v -> y, and what backward gets after dy. This is given; a check calls its own copy."""
    T, D = q.shape[-2:]
    a = q @ k.swapaxes(-1, -2) / math.sqrt(D)
    a = np.where(np.tri(T, dtype=bool), a, -np.inf)
    e = np.exp(a - a.max(-1, keepdims=True))
    w = e / e.sum(-1, keepdims=True)
    return w @ v, (q, k, v, w)


def backward(dy, q, k, v, w):
    """dy (…, T, E), q (…, T, D), k (…, T, D), v (…, T, E), w (…, T, T) -> dq, dk, dv."""
    dv = w.swapaxes(-1, -2) @ dy
    dw = dy @ v.swapaxes(-1, -2)
    da = w * (dw - (dw * w).sum(-1, keepdims=True)) / math.sqrt(q.shape[-1])
    return da @ k, da.swapaxes(-1, -2) @ q, dv
