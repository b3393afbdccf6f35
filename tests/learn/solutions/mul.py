"""mul: the gradients of a product, element by element, with broadcasting.

    y = a·b        ∂y/∂a = b        ∂y/∂b = a

Shapes: those of a and b broadcast, as in NumPy; y and dy have the shape that results. da has the shape of a, db of b.

Write backward. It gets dy, the gradient of the loss with respect to y, and what forward kept, and returns da and db.

Hint: for a and b of one shape it is one line each. An element that was broadcast is used several times; the
gradients of its uses add up.

    python -m gpt.learn check mul
"""

import numpy as np


def forward(a, b):
    """a, b -> y, and what backward gets after dy. This is given; a check calls its own copy."""
    return a * b, (a, b)


def backward(dy, a, b):
    """dy (the shape of y), a, b -> da, db."""
    return summed(dy * b, a.shape), summed(dy * a, b.shape)


def summed(dy, shape):
    dy = dy.sum(axis=tuple(range(dy.ndim - len(shape))))
    return dy.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)
