"""Binary cross entropy, and a ln b. x is the probability of class 1, y the class, both between 0 and 1.

    loss = −y ln x − (1 − y) ln(1 − x)        dx = dloss · (x − y) / (x (1 − x))        dy = dloss · (ln(1 − x) − ln x)

Both logarithms are at least −100, and x (1 − x) is at least SMALLEST, as in PyTorch.

    y = a ln b, and 0 where a = 0        da = dy · ln b, and 0 where a = 0 and b ≤ 0        db = dy · a / b
"""

from __future__ import annotations

import numpy as np

from tinytensor.backend import Array
from tinytensor.ops.arithmetic import BROADCAST, unbroadcast
from tinytensor.primitive import Gradients, Output, primitive

SMALLEST = float(np.float32(1e-12))  # rounded to float32 in every precision, as in PyTorch


def binary_cross_entropy_forward(x: Array, y: Array) -> Output:
    p, q = np.maximum(np.log(x), -100), np.maximum(np.log1p(-x), -100)  # at 0 and 1 a logarithm is −∞
    return (y - 1) * q - y * p, (x, y)


def binary_cross_entropy_backward(dloss: Array, x: Array, y: Array) -> Gradients:
    return dloss * (x - y) / np.maximum((1 - x) * x, SMALLEST), dloss * (np.log1p(-x) - np.log(x))


BINARY_CROSS_ENTROPY = primitive(
    "binary_cross_entropy", binary_cross_entropy_forward, binary_cross_entropy_backward,
    formula="loss = −y ln x − (1 − y) ln(1 − x)",
)  # fmt: skip


def xlogy(a: Array, b: Array) -> Array:
    """a ln b; 0 where a is 0, also where ln b is infinite or nan, but not where b is nan."""
    return np.where((a == 0) & ~np.isnan(b), a.dtype.type(0), a * np.log(b))


def xlogy_forward(a: Array, b: Array) -> Output:
    return xlogy(a, b), (a, b)


def xlogy_backward(dy: Array, a: Array, b: Array) -> Gradients:
    da = np.where((a == 0) & (b <= 0), dy.dtype.type(0), xlogy(dy, b))
    return unbroadcast(da, a.shape), unbroadcast(dy * a / b, b.shape)


XLOGY = primitive("xlogy", xlogy_forward, xlogy_backward, wide=True, formula="y = a ln b", fits=BROADCAST)
