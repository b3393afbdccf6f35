"""Binary cross entropy: x is the probability of class 1, y the class, both between 0 and 1.

    loss = −y ln x − (1 − y) ln(1 − x)        dx = dloss · (x − y) / (x (1 − x))        dy = dloss · (ln(1 − x) − ln x)

Both logarithms are at least −100, and x (1 − x) is at least SMALLEST, as in PyTorch.
"""

from __future__ import annotations

import numpy as np

from tinytensor.backend import Array
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
