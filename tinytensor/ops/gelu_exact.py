"""GELU, exact: y = x Φ(x), where Φ is the normal distribution function. The form with tanh: gelu.py.

    Φ(x) = (1 + erf(x/√2)) / 2        φ(x) = Φ′(x) = e^(−x²/2) / √(2π)        dy/dx = Φ(x) + x φ(x)

Source: Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016, arXiv:1606.08415, section 2.
"""

from __future__ import annotations

import math

import numpy as np

from tinytensor.backend import Array
from tinytensor.ops.erf import erf
from tinytensor.primitive import Gradients, Output, primitive


def gelu_forward(x: Array) -> Output:
    cdf = erf(x * math.sqrt(0.5))
    cdf *= 0.5
    cdf += 0.5
    return x * cdf, (x, cdf)


def gelu_backward(dy: Array, x: Array, cdf: Array) -> Gradients:
    dx = np.multiply(x, x, out=np.empty_like(x))
    dx *= -0.5
    np.exp(dx, out=dx)
    dx *= 1 / math.sqrt(2 * math.pi)  # φ(x)
    dx *= x
    dx += cdf  # Φ(x) + x φ(x)
    dx *= dy
    return (dx,)


GELU = primitive("gelu", gelu_forward, gelu_backward, wide=True, formula="y = x Φ(x)")
