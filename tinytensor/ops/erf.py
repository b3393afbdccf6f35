"""The error function, which NumPy lacks: erf x = 2/√π ∫₀ˣ e^(−t²) dt.

float32: x P(x²) / Q(x²) on |x| ≤ 3.92, beyond which erf is ±1 in float32. The coefficients are a weighted
least-squares fit to `math.erf`; the worst relative error in float32 arithmetic is 4e-7 (tests/derivatives/test_erf.py).
float64: W. J. Cody's rational approximations on three ranges, good to 16 digits.
Source: Cody, "Rational Chebyshev Approximations for the Error Function", Math. Comp. 23, 1969, tables II to IV.
"""

from __future__ import annotations

import math

import numpy as np

from tinytensor.backend import Array, as_array
from tinytensor.layout import copy
from tinytensor.primitive import Gradients, Output, primitive

# each list runs from the highest power to the constant
SINGLE_P = (2.05009920e-6, 2.84882934e-4, 3.76559769e-3, 5.27486635e-2, 1.90405927e-1, 1.12837915e0)
SINGLE_Q = (3.80918511e-5, 1.16253210e-3, 1.49691766e-2, 1.14108900e-1, 5.02075601e-1, 1.0)
SMALL_P = (
    1.85777706184603153e-1,
    3.16112374387056560e0,
    1.13864154151050156e2,
    3.77485237685302021e2,
    3.20937758913846947e3,
)
SMALL_Q = (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3)
MIDDLE_P = (
    2.15311535474403846e-8,
    5.64188496988670089e-1,
    8.88314979438837594e0,
    6.61191906371416295e1,
    2.98635138197400131e2,
    8.81952221241769090e2,
    1.71204761263407058e3,
    2.05107837782607147e3,
    1.23033935479799725e3,
)
MIDDLE_Q = (
    1.0,
    1.57449261107098347e1,
    1.17693950891312499e2,
    5.37181101862009858e2,
    1.62138957456669019e3,
    3.29079923573345963e3,
    4.36261909014324716e3,
    3.43936767414372164e3,
    1.23033935480374942e3,
)
LARGE_P = (
    1.63153871373020978e-2,
    3.05326634961232344e-1,
    3.60344899949804439e-1,
    1.25781726111229246e-1,
    1.60837851487422766e-2,
    6.58749161529837803e-4,
)
LARGE_Q = (
    1.0,
    2.56852019228982242e0,
    1.87295284992346725e0,
    5.27905102951428412e-1,
    6.05183413124413191e-2,
    2.33520497626869185e-3,
)


def erf(x: Array) -> Array:
    """erf x in the dtype of x; a 0-d array for a 0-d x."""
    return _erf_single(x) if x.dtype == np.float32 else _erf_double(x)


def _erf_single(x: Array) -> Array:
    y = np.clip(x, -3.92, 3.92)
    square = as_array(y * y)
    y = as_array(y * _horner(square, SINGLE_P))
    y /= _horner(square, SINGLE_Q)
    return np.clip(y, -1, 1, out=y)


def _erf_double(x: Array) -> Array:
    wide = copy(x, np.float64)
    size = np.abs(wide)
    small = wide * _ratio(np.minimum(size, 0.5) ** 2, SMALL_P, SMALL_Q)
    at = np.clip(size, 0.46875, 4)
    middle = 1 - np.exp(-at * at) * _ratio(at, MIDDLE_P, MIDDLE_Q)
    at = np.clip(size, 4, 6)  # from 6 on erf is 1 to the last bit
    inverse = 1 / (at * at)
    tail = (1 / math.sqrt(math.pi) - inverse * _ratio(inverse, LARGE_P, LARGE_Q)) / at
    large = 1 - np.exp(-at * at) * tail
    y = np.where(size <= 0.46875, small, np.copysign(np.where(size <= 4, middle, large), wide))
    return y.astype(x.dtype, copy=False)


def _ratio(x: Array, p: tuple[float, ...], q: tuple[float, ...]) -> Array:
    return _horner(x, p) / _horner(x, q)


def _horner(x: Array, coefficients: tuple[float, ...]) -> Array:
    """c₀xⁿ + … + cₙ = (…(c₀x + c₁)x + …)x + cₙ."""
    y = as_array(x * coefficients[0])
    for c in coefficients[1:-1]:
        y += c
        y *= x
    y += coefficients[-1]
    return y


def erf_forward(x: Array) -> Output:
    return erf(x), (x,)


def erf_backward(dy: Array, x: Array) -> Gradients:
    return (dy * (np.exp(-x * x) * (2 / math.sqrt(math.pi))),)  # the integrand


ERF = primitive("erf", erf_forward, erf_backward, formula="y = 2/√π ∫₀ˣ e⁻ᵗ² dt")
