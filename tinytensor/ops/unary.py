"""Functions of one array, element by element: dx = dy · y′(x).

Where y′ is a function of y (exp, sqrt, tanh, sigmoid, relu, expm1), y is saved instead of x.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.backend import Array
from tinytensor.ops.choice import chosen
from tinytensor.primitive import Gradients, Output, primitive


def sign(x: Array) -> Array:
    """−1, 0 or 1, in the dtype of x; 0 for nan, as in PyTorch."""
    return (x > 0).astype(x.dtype) - (x < 0).astype(x.dtype)


def abs_forward(x: Array) -> Output:
    return np.abs(x), (x,)


def abs_backward(dy: Array, x: Array) -> Gradients:
    return (dy * sign(x),)


ABS = primitive("abs", abs_forward, abs_backward, formula="y = |x|")


def exp_forward(x: Array) -> Output:
    y = np.exp(x)
    return y, (y,)


def exp_backward(dy: Array, y: Array) -> Gradients:
    return (dy * y,)


EXP = primitive("exp", exp_forward, exp_backward, formula="y = eˣ")


def log_forward(x: Array) -> Output:
    return np.log(x), (x,)


def log_backward(dy: Array, x: Array) -> Gradients:
    return (dy / x,)


LOG = primitive("log", log_forward, log_backward, formula="y = ln x")


def sqrt_forward(x: Array) -> Output:
    y = np.sqrt(x)
    return y, (y,)


def sqrt_backward(dy: Array, y: Array) -> Gradients:
    return (dy / (y + y),)  # y′ = 1 / (2√x)


SQRT = primitive("sqrt", sqrt_forward, sqrt_backward, formula="y = √x")


def rsqrt_forward(x: Array) -> Output:
    y = 1 / np.sqrt(x)
    return y, (y,)


def rsqrt_backward(dy: Array, y: Array) -> Gradients:
    return (dy * (y * y * y * -0.5),)  # y′ = −½ x^(−3/2) = −½ y³


RSQRT = primitive("rsqrt", rsqrt_forward, rsqrt_backward, formula="y = 1 / √x")


def sin_forward(x: Array) -> Output:
    return np.sin(x), (x,)


def sin_backward(dy: Array, x: Array) -> Gradients:
    return (dy * np.cos(x),)


SIN = primitive("sin", sin_forward, sin_backward, formula="y = sin x")


def cos_forward(x: Array) -> Output:
    return np.cos(x), (x,)


def cos_backward(dy: Array, x: Array) -> Gradients:
    return (-dy * np.sin(x),)


COS = primitive("cos", cos_forward, cos_backward, formula="y = cos x")


def tanh_forward(x: Array) -> Output:
    y = np.tanh(x)
    return y, (y,)


def tanh_backward(dy: Array, y: Array) -> Gradients:
    return (dy * (1 - y * y),)  # y′ = 1 − tanh² x


TANH = primitive("tanh", tanh_forward, tanh_backward, wide=True, formula="y = tanh x")


def sigmoid(x: Array) -> Array:
    """1 / (1 + e⁻ˣ). In float32 e⁻ˣ overflows to ∞ for x below −88; then 1/∞ is 0, which is correct."""
    return 1 / (1 + np.exp(-x))


def sigmoid_forward(x: Array) -> Output:
    y = sigmoid(x)
    return y, (y,)


def sigmoid_backward(dy: Array, y: Array) -> Gradients:
    return (dy * (y * (1 - y)),)  # y′ = σ (1 − σ)


SIGMOID = primitive("sigmoid", sigmoid_forward, sigmoid_backward, wide=True, formula="y = 1 / (1 + e⁻ˣ)")


def silu_forward(x: Array) -> Output:
    s = sigmoid(x)
    return x * s, (x, s)


def silu_backward(dy: Array, x: Array, s: Array) -> Gradients:
    return (dy * (s + x * s * (1 - s)),)  # y′ = σ + x σ′


def silu_composed(x: Any) -> Any:
    """The same, as a product of two Tensors."""
    return x * x.sigmoid()


SILU = primitive("silu", silu_forward, silu_backward, composed=silu_composed, wide=True, formula="y = x·σ(x)")


def relu_forward(x: Array) -> Output:
    y = np.maximum(x, x.dtype.type(0))
    return y, (y,)


def relu_backward(dy: Array, y: Array) -> Gradients:
    return (chosen(dy, ~(y <= 0)),)  # y′ = 1 where x > 0, and at nan; else 0


RELU = primitive("relu", relu_forward, relu_backward, formula="y = max(x, 0)")


def log1p_forward(x: Array) -> Output:
    return np.log1p(x), (x,)


def log1p_backward(dy: Array, x: Array) -> Gradients:
    return (dy / (x + 1),)


LOG1P = primitive("log1p", log1p_forward, log1p_backward, formula="y = ln(1 + x)")


def expm1_forward(x: Array) -> Output:
    y = np.expm1(x)
    return y, (y,)


def expm1_backward(dy: Array, y: Array) -> Gradients:
    return (dy * (y + 1),)  # y′ = eˣ


EXPM1 = primitive("expm1", expm1_forward, expm1_backward, formula="y = eˣ − 1")


def softplus_forward(x: Array) -> Output:
    return np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0), (x,)  # ln(1 + eˣ), without eˣ, which overflows


def softplus_backward(dy: Array, x: Array) -> Gradients:
    return (dy * sigmoid(x),)


SOFTPLUS = primitive("softplus", softplus_forward, softplus_backward, wide=True, formula="y = ln(1 + eˣ)")


def steps_forward(x: Array, *, ufunc: Any) -> Output:
    return ufunc(x), ()


def steps_backward(dy: Array) -> Gradients:
    return (np.zeros_like(dy),)  # between its jumps the function is constant


STEPS = primitive("steps", steps_forward, steps_backward, formula="y = ⌊x⌋, ⌈x⌉, sign x …: constant in pieces")
