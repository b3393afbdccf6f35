"""GELU (Gaussian error linear unit) by tanh: y = x s, s close to Φ(x), the normal distribution; with Φ: gelu_exact.py.

    u = √(2/π) (x + 0.044715 x³)           s = (1 + tanh u) / 2 = σ(2u)        y = x s
    u′ = √(2/π) (1 + 3 · 0.044715 x²)      s′ = s (1 − s) · 2u′                dy/dx = s + x s′ = s + y (1 − s) · 2u′

tanh u ≈ 2Φ − 1, whose slope at 0 is √(2/π); 0.044715 is fitted. Source: Hendrycks and Gimpel, 2016, arXiv:1606.08415.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinytensor.backend import Array
from tinytensor.primitive import Gradients, Output, primitive

ROOT, CUBIC = math.sqrt(2 / math.pi), 0.044715  # Python floats: an np.float64 would promote float32 arrays


def gelu_tanh_forward(x: Array, *, save: bool = True) -> Output:
    s = np.multiply(x, x, out=np.empty_like(x))  # one array, overwritten step by step: x² …
    s *= ROOT * CUBIC
    derivative = s * 6 if save else None  # x² is at hand: begin dy/dx, with one term of 2u′
    s += ROOT
    s *= x  # … u …
    np.tanh(s, out=s)
    s *= 0.5
    s += 0.5  # … (1 + tanh u) / 2
    y = x * s
    if derivative is not None:  # saved as one array, where the backward would need two, x and s
        derivative += 2 * ROOT  # 2u′
        derivative *= y
        derivative *= 1 - s  # y (1 − s) · 2u′ = x s′
        derivative += s  # s + x s′ = dy/dx
    return y, (derivative,)


def gelu_tanh_backward(dy: Array, derivative: Array) -> Gradients:
    return (dy * derivative,)


def gelu_tanh_composed(x: Any) -> Any:
    """The same, written out in smaller operations."""
    return 0.5 * x * (1 + (ROOT * (x + CUBIC * x**3)).tanh())


GELU_TANH = primitive(
    "gelu_tanh", gelu_tanh_forward, gelu_tanh_backward, composed=gelu_tanh_composed, wide=True,
    formula="y = x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2",
)  # fmt: skip
