"""layer_norm: the gradients of rows that are brought to mean 0 and variance 1.

    x̂ = (x − mean(x)) · rstd        rstd = 1 / √(variance(x) + eps)        y = w·x̂ + b

Shapes: x, y, dy (…, n), w and b (n,); mean and variance are those of each row, so rstd is (…, 1). dx, dw, db as
x, w, b.

Write backward: from dy and what forward kept, the three gradients.

Hint: dw and db are sums over the rows. For dx begin with dx̂ = dy·w. Each x moves x̂ in three ways: directly,
through the mean of its row, and through rstd of its row. ∂mean/∂x[j] = 1/n, ∂rstd/∂x[j] = −rstd² · x̂[j] / n.

    python -m gpt.learn check layer_norm
"""

import numpy as np


def forward(x, w, b, eps=1e-5):
    """x, w, b -> y, and what backward gets after dy. This is given; a check calls its own copy."""
    centred = x - x.mean(-1, keepdims=True)
    rstd = 1 / np.sqrt((centred * centred).mean(-1, keepdims=True) + eps)
    xhat = centred * rstd
    return xhat * w + b, (xhat, rstd, w)


def backward(dy, xhat, rstd, w):
    """dy (…, n), xhat (…, n), rstd (…, 1), w (n,) -> dx (…, n), dw (n,), db (n,)."""
    d = dy * w
    dx = rstd * (d - d.mean(-1, keepdims=True) - xhat * (d * xhat).mean(-1, keepdims=True))
    rows = tuple(range(dy.ndim - 1))
    return dx, (dy * xhat).sum(rows), dy.sum(rows)
