"""rms_norm: the gradients of rows that are divided by their root mean square.

    x̂ = x · r        r = 1 / √(mean(x²) + eps)        y = w·x̂

Shapes: x, y, dy (…, n), w (n,); r is one number for each row, (…, 1). dx and dw as x and w.

Write backward: from dy and what forward kept, the two gradients.

Hint: it is layer norm without the mean. Begin with dx̂ = dy·w. Each x moves x̂ in two ways: directly, and
through r of its row, ∂r/∂x[j] = −r² · x̂[j] / n.

    python -m gpt.learn check rms_norm
"""

import numpy as np


def forward(x, w, eps=1e-5):
    """x, w -> y, and what backward gets after dy. This is given; a check calls its own copy."""
    r = 1 / np.sqrt((x * x).mean(-1, keepdims=True) + eps)
    xhat = x * r
    return xhat * w, (xhat, r, w)


def backward(dy, xhat, r, w):
    """dy (…, n), xhat (…, n), r (…, 1), w (n,) -> dx (…, n), dw (n,)."""
    d = dy * w
    return r * (d - xhat * (d * xhat).mean(-1, keepdims=True)), (dy * xhat).sum(tuple(range(dy.ndim - 1)))
