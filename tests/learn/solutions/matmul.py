"""matmul: the gradients of a product of matrices, and of many of them at once.

    y = a b        y[i, j] = Σ a[i, k] b[k, j]

Shapes: a (…, n, k), b (…, k, m) → y, dy (…, n, m). The … are leading dimensions that broadcast, as in NumPy. da
has the shape of a, db of b.

Write backward: from dy and what forward kept, da and db.

Hint: take n, k, m of three different sizes; then only one product of dy with b, or with a, has the right shape.
The transpose of the last two dimensions is x.swapaxes(-1, -2). A matrix that was broadcast is used several
times: sum.

    python -m gpt.learn check matmul
"""

import numpy as np


def forward(a, b):
    """a, b -> y, and what backward gets after dy. This is given; a check calls its own copy."""
    return a @ b, (a, b)


def backward(dy, a, b):
    """dy (…, n, m), a (…, n, k), b (…, k, m) -> da, db."""
    return summed(dy @ b.swapaxes(-1, -2), a.shape), summed(a.swapaxes(-1, -2) @ dy, b.shape)


def summed(dx, shape):
    dx = dx.sum(axis=tuple(range(dx.ndim - len(shape))))
    return dx.sum(axis=tuple(i for i, n in enumerate(shape[:-2]) if n == 1), keepdims=True)
