"""GELU: y = x Φ(x), where Φ is the normal distribution function; and its approximation with tanh.

exact    Φ(x) = (1 + erf(x/√2)) / 2                     dy/dx = Φ + x φ(x),   φ(x) = e^(−x²/2) / √(2π)
tanh     s = (1 + tanh u) / 2 = σ(2u),                  dy/dx = s + y (1 − s) 2u′
         u = √(2/π) (x + 0.044715 x³)                   u′ = √(2/π) (1 + 3 · 0.044715 x²)

The tanh form finds the derivative on its way, where x² and s are at hand. Then one array is saved where x and s would be
two, and the backward is one product.
Source: Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016, arXiv:1606.08415, section 2.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinytensor.backend import Array
from tinytensor.ops.erf import erf
from tinytensor.primitive import primitive

ROOT = math.sqrt(2 / math.pi)  # Python floats: an np.float64 scalar would promote float32 arrays
CUBIC = 0.044715


def gelu_tanh_forward(x: Array, *, recorded: bool = True) -> Any:
    s = np.multiply(x, x, out=np.empty_like(x))
    s *= ROOT * CUBIC
    derivative = s * 6 if recorded else None
    s += ROOT
    s *= x  # u
    np.tanh(s, out=s)
    s *= 0.5
    s += 0.5
    y = x * s
    if derivative is not None:
        derivative += 2 * ROOT  # 2u′
        derivative *= y
        derivative *= 1 - s
        derivative += s
    return y, (derivative,)


def gelu_tanh_backward(dy: Array, derivative: Array) -> Any:
    return (dy * derivative,)


def gelu_forward(x: Array) -> Any:
    cdf = erf(x * math.sqrt(0.5))
    cdf *= 0.5
    cdf += 0.5
    return x * cdf, (x, cdf)


def gelu_backward(dy: Array, x: Array, cdf: Array) -> Any:
    dx = np.multiply(x, x, out=np.empty_like(x))
    dx *= -0.5
    np.exp(dx, out=dx)
    dx *= 1 / math.sqrt(2 * math.pi)
    dx *= x
    dx += cdf
    dx *= dy
    return (dx,)


def gelu_tanh_composed(x: Any) -> Any:
    """The tanh form, written out in smaller operations."""
    return 0.5 * x * (1 + (ROOT * (x + CUBIC * x**3)).tanh())


GELU = primitive("gelu", gelu_forward, gelu_backward, formula="y = x Φ(x)")
GELU_TANH = primitive(
    "gelu_tanh", gelu_tanh_forward, gelu_tanh_backward, composed=gelu_tanh_composed,
    formula="y = x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2",
)  # fmt: skip
