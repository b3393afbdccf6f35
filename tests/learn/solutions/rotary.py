"""rotary: the gradient of pairs of numbers that are turned by an angle.

    pair j at position t: (a, b) = (x[t, 2j], x[t, 2j + 1]), turned by θ = t · 10000^(−2j / D):
    y[t, 2j] = a cos θ − b sin θ        y[t, 2j + 1] = a sin θ + b cos θ

Shapes: x, y, dy, dx (…, T, D), D even; cos and sin (T, D/2), one for each position and pair.

Write backward: from dy, cos and sin, the gradient dx.

Hint: for one pair y = R x with a matrix R of 2 × 2, so dx = Rᵀ dy. What does the transpose of a rotation do?

    python -m gpt.learn check rotary
"""

import numpy as np


def forward(x):
    """x -> y, and what backward gets after dy. This is given; a check calls its own copy."""
    T, D = x.shape[-2:]
    angle = np.arange(T)[:, None] * 10_000.0 ** (-np.arange(0, D, 2) / D)
    cos, sin = np.cos(angle).astype(x.real.dtype), np.sin(angle).astype(x.real.dtype)
    a, b = x[..., 0::2], x[..., 1::2]
    y = np.empty_like(x)
    y[..., 0::2] = a * cos - b * sin
    y[..., 1::2] = a * sin + b * cos
    return y, (cos, sin)


def backward(dy, cos, sin):
    """dy (…, T, D), cos (T, D/2), sin (T, D/2) -> dx (…, T, D)."""
    a, b = dy[..., 0::2], dy[..., 1::2]
    dx = np.empty_like(dy)
    dx[..., 0::2] = a * cos + b * sin
    dx[..., 1::2] = b * cos - a * sin
    return dx
