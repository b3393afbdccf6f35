"""Elementwise pairs. Two arrays broadcast; the gradient of a broadcast input is summed back to its shape.

A Python number takes no gradient, so the pairs whose name ends in _scalar save the number and nothing else.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinytensor.backend import Array, total
from tinytensor.ops.erf import erf
from tinytensor.primitive import primitive

BROADCAST = "from the right, sizes are equal, or one of them is 1 or missing"


def unbroadcast(dy: Array, shape: tuple[int, ...]) -> Array:
    """dy summed over the dimensions along which `shape` was broadcast. The transpose of broadcasting is a sum."""
    if dy.shape == shape:
        return dy
    extra = dy.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(extra + i for i, n in enumerate(shape) if n == 1 and dy.shape[extra + i] != 1)
    return total(dy, axes).reshape(shape)


# ------------------------------------------------------------------------------------------- two arrays


def add_forward(a: Array, b: Array) -> Any:
    return a + b, (a.shape, b.shape)


def add_backward(dy: Array, a_shape: tuple[int, ...], b_shape: tuple[int, ...]) -> Any:
    return unbroadcast(dy, a_shape), unbroadcast(dy, b_shape)


def sub_forward(a: Array, b: Array) -> Any:
    return a - b, (a.shape, b.shape)


def sub_backward(dy: Array, a_shape: tuple[int, ...], b_shape: tuple[int, ...]) -> Any:
    return unbroadcast(dy, a_shape), unbroadcast(-dy, b_shape)


def mul_forward(a: Array, b: Array) -> Any:
    return a * b, (a, b)


def mul_backward(dy: Array, a: Array, b: Array) -> Any:
    return unbroadcast(dy * b, a.shape), unbroadcast(dy * a, b.shape)


def div_forward(a: Array, b: Array) -> Any:
    y = a / b
    return y, (y, a.shape, b)


def div_backward(dy: Array, y: Array, a_shape: tuple[int, ...], b: Array) -> Any:
    da = dy / b
    return unbroadcast(da, a_shape), unbroadcast(-(da * y), b.shape)


def pow_forward(a: Array, b: Array) -> Any:
    y = np.power(a, b)
    return y, (a, b, y)


def pow_backward(dy: Array, a: Array, b: Array, y: Array) -> Any:
    da = dy * np.where(b == 0, b, b * np.power(a, b - 1))  # 0·a⁻¹ is 0, also at a = 0
    db = dy * np.where((a == 0) & (b >= 0), np.zeros_like(y), y * np.log(a))
    return unbroadcast(da, a.shape), unbroadcast(db, b.shape)


def maximum_forward(a: Array, b: Array) -> Any:
    return np.maximum(a, b), (a, b)


def maximum_backward(dy: Array, a: Array, b: Array) -> Any:
    da = dy * (a > b) + dy * (a == b) * 0.5  # a tie shares the gradient, as in PyTorch
    return unbroadcast(da, a.shape), unbroadcast(dy - da, b.shape)


def minimum_forward(a: Array, b: Array) -> Any:
    return np.minimum(a, b), (a, b)


def minimum_backward(dy: Array, a: Array, b: Array) -> Any:
    da = dy * (a < b) + dy * (a == b) * 0.5
    return unbroadcast(da, a.shape), unbroadcast(dy - da, b.shape)


def where_forward(a: Array, b: Array, *, condition: Array) -> Any:
    return np.where(condition, a, b), (condition, a.shape, b.shape)


def where_backward(dy: Array, condition: Array, a_shape: tuple[int, ...], b_shape: tuple[int, ...]) -> Any:
    zero = np.zeros_like(dy)
    return unbroadcast(np.where(condition, dy, zero), a_shape), unbroadcast(np.where(condition, zero, dy), b_shape)


ADD = primitive("add", add_forward, add_backward, formula="y = a + b", fits=BROADCAST)
SUB = primitive("sub", sub_forward, sub_backward, formula="y = a − b", fits=BROADCAST)
MUL = primitive("mul", mul_forward, mul_backward, formula="y = a·b", fits=BROADCAST)
DIV = primitive("div", div_forward, div_backward, formula="y = a / b", fits=BROADCAST)
POW = primitive("pow", pow_forward, pow_backward, formula="y = aᵇ", fits=BROADCAST)
MAXIMUM = primitive("maximum", maximum_forward, maximum_backward, formula="y = max(a, b)", fits=BROADCAST)
MINIMUM = primitive("minimum", minimum_forward, minimum_backward, formula="y = min(a, b)", fits=BROADCAST)
WHERE = primitive("where", where_forward, where_backward, formula="y = a if condition else b", fits=BROADCAST)


# -------------------------------------------------------------------------------- an array and a number


def add_scalar_forward(x: Array, *, c: float) -> Any:
    return x + c, ()


def add_scalar_backward(dy: Array) -> Any:
    return (dy,)


def mul_scalar_forward(x: Array, *, c: float) -> Any:
    return x * c, (c,)


def mul_scalar_backward(dy: Array, c: float) -> Any:
    return (dy * c,)


def div_scalar_forward(x: Array, *, c: float) -> Any:
    return np.divide(x, c), (c,)


def div_scalar_backward(dy: Array, c: float) -> Any:
    return (np.divide(dy, c),)


def pow_scalar_forward(x: Array, *, c: float) -> Any:
    return _power(x, c), (x, c)


def pow_scalar_backward(dy: Array, x: Array, c: float) -> Any:
    return (dy * (_power(x, c - 1) * c) if c != 0 else np.zeros_like(dy),)


def _power(x: Array, c: float) -> Array:
    """xᶜ. Small powers are products: NumPy's float32 `power` takes 300 times as long as x·x·x."""
    if c == 0.5:
        return np.sqrt(x)
    if c == -0.5:  # −∞ at −0.0, as 1/√x is; `power` gives ∞
        return 1 / np.sqrt(x)
    if c in (2, 3):
        return x * x if c == 2 else x * x * x
    return np.power(x, c)


ADD_SCALAR = primitive("add_scalar", add_scalar_forward, add_scalar_backward, formula="y = x + c")
MUL_SCALAR = primitive("mul_scalar", mul_scalar_forward, mul_scalar_backward, formula="y = c·x")
DIV_SCALAR = primitive("div_scalar", div_scalar_forward, div_scalar_backward, formula="y = x / c")
POW_SCALAR = primitive("pow_scalar", pow_scalar_forward, pow_scalar_backward, formula="y = xᶜ")


# -------------------------------------------------------------------------------------------- one array


def neg_forward(x: Array) -> Any:
    return -x, ()


def neg_backward(dy: Array) -> Any:
    return (-dy,)


def abs_forward(x: Array) -> Any:
    return np.abs(x), (x,)


def abs_backward(dy: Array, x: Array) -> Any:
    return (dy * np.sign(x),)


def exp_forward(x: Array) -> Any:
    y = np.exp(x)
    return y, (y,)


def exp_backward(dy: Array, y: Array) -> Any:
    return (dy * y,)


def log_forward(x: Array) -> Any:
    return np.log(x), (x,)


def log_backward(dy: Array, x: Array) -> Any:
    return (dy / x,)


def sqrt_forward(x: Array) -> Any:
    y = np.sqrt(x)
    return y, (y,)


def sqrt_backward(dy: Array, y: Array) -> Any:
    return (dy / (y + y),)


def sin_forward(x: Array) -> Any:
    return np.sin(x), (x,)


def sin_backward(dy: Array, x: Array) -> Any:
    return (dy * np.cos(x),)


def cos_forward(x: Array) -> Any:
    return np.cos(x), (x,)


def cos_backward(dy: Array, x: Array) -> Any:
    return (-dy * np.sin(x),)


def tanh_forward(x: Array) -> Any:
    y = np.tanh(x)
    return y, (y,)


def tanh_backward(dy: Array, y: Array) -> Any:
    return (dy * (1 - y * y),)


def sigmoid_forward(x: Array) -> Any:
    y = sigmoid(x)
    return y, (y,)


def sigmoid_backward(dy: Array, y: Array) -> Any:
    return (dy * (y * (1 - y)),)


def sigmoid(x: Array) -> Array:
    """1 / (1 + e⁻ˣ). For x below −88 e⁻ˣ overflows to ∞ in float32, and 1/∞ is the 0 that is right."""
    return 1 / (1 + np.exp(-x))


def silu_forward(x: Array) -> Any:
    s = sigmoid(x)
    return x * s, (x, s)


def silu_backward(dy: Array, x: Array, s: Array) -> Any:
    return (dy * (s + x * s * (1 - s)),)


def silu_composed(x: Any) -> Any:
    """The same, as a product of two Tensors."""
    return x * x.sigmoid()


def relu_forward(x: Array) -> Any:
    y = np.maximum(x, x.dtype.type(0))
    return y, (y,)


def relu_backward(dy: Array, y: Array) -> Any:
    return (dy * (y > 0),)


def log1p_forward(x: Array) -> Any:
    return np.log1p(x), (x,)


def log1p_backward(dy: Array, x: Array) -> Any:
    return (dy / (x + 1),)


def expm1_forward(x: Array) -> Any:
    y = np.expm1(x)
    return y, (y,)


def expm1_backward(dy: Array, y: Array) -> Any:
    return (dy * (y + 1),)


def erf_forward(x: Array) -> Any:
    return erf(x), (x,)


def erf_backward(dy: Array, x: Array) -> Any:
    return (dy * (np.exp(-x * x) * (2 / math.sqrt(math.pi))),)


def softplus_forward(x: Array) -> Any:
    return np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0), (x,)  # e^x would overflow


def softplus_backward(dy: Array, x: Array) -> Any:
    return (dy * sigmoid(x),)


def steps_forward(x: Array, *, ufunc: Any) -> Any:
    return ufunc(x), ()


def steps_backward(dy: Array) -> Any:
    return (np.zeros_like(dy),)


def clamp_forward(x: Array, *, low: float | None, high: float | None) -> Any:
    return np.clip(x, low, high), (x, low, high)


def clamp_backward(dy: Array, x: Array, low: float | None, high: float | None) -> Any:
    inside = np.ones_like(x, dtype=bool) if low is None else x >= low
    return (dy * (inside if high is None else inside & (x <= high)),)


def cast_forward(x: Array, *, to: Any) -> Any:
    return x.astype(to), (x.dtype,)


def cast_backward(dy: Array, dtype: Any) -> Any:
    return (dy.astype(dtype),)


def copy_forward(x: Array, *, order: str = "K") -> Any:
    return x.copy(order=order), ()


def copy_backward(dy: Array) -> Any:
    return (dy,)


NEG = primitive("neg", neg_forward, neg_backward, formula="y = −x")
ABS = primitive("abs", abs_forward, abs_backward, formula="y = |x|")
EXP = primitive("exp", exp_forward, exp_backward, formula="y = eˣ")
LOG = primitive("log", log_forward, log_backward, formula="y = ln x")
SQRT = primitive("sqrt", sqrt_forward, sqrt_backward, formula="y = √x")
SIN = primitive("sin", sin_forward, sin_backward, formula="y = sin x")
COS = primitive("cos", cos_forward, cos_backward, formula="y = cos x")
TANH = primitive("tanh", tanh_forward, tanh_backward, formula="y = tanh x")
SIGMOID = primitive("sigmoid", sigmoid_forward, sigmoid_backward, formula="y = 1 / (1 + e⁻ˣ)")
SILU = primitive("silu", silu_forward, silu_backward, composed=silu_composed, formula="y = x·σ(x)")
RELU = primitive("relu", relu_forward, relu_backward, formula="y = max(x, 0)")
LOG1P = primitive("log1p", log1p_forward, log1p_backward, formula="y = ln(1 + x)")
EXPM1 = primitive("expm1", expm1_forward, expm1_backward, formula="y = eˣ − 1")
ERF = primitive("erf", erf_forward, erf_backward, formula="y = 2/√π ∫₀ˣ e⁻ᵗ² dt")
SOFTPLUS = primitive("softplus", softplus_forward, softplus_backward, formula="y = ln(1 + eˣ)")
STEPS = primitive("steps", steps_forward, steps_backward, formula="y = ⌊x⌋, ⌈x⌉, sign x …: constant in pieces")
CLAMP = primitive("clamp", clamp_forward, clamp_backward, formula="y = min(max(x, low), high)")
CAST = primitive("cast", cast_forward, cast_backward, formula="y = x in another dtype")
COPY = primitive("copy", copy_forward, copy_backward, formula="y = x, in memory of its own")
