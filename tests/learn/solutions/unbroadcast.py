"""unbroadcast: the gradient of an array that was stretched to a larger shape.

    y = np.broadcast_to(x, shape)        each element of x stands in several places of y

Shapes: x may lack dimensions of y on the left, (3,) used as (2, 3), and have sizes of 1 that were stretched,
(2, 1) used as (2, 3). dx has the shape of x.

Write backward: from dy, which has the shape of y, the gradient dx.

Hint: if the loss uses an element of x in three places, its gradient is the sum of the three. First sum over the
dimensions that x lacks, then over those of size 1, which have to stay. () and shapes with a 0 are shapes, too.

    python -m gpt.learn check unbroadcast
"""

import numpy as np


def forward(x, shape):
    """x, shape -> y, and what backward gets after dy. This is given; a check calls its own copy."""
    return np.broadcast_to(x, shape), (x.shape,)


def backward(dy, x_shape):
    """dy, the shape of x as a tuple -> dx."""
    dy = dy.sum(axis=tuple(range(dy.ndim - len(x_shape))))
    return dy.sum(axis=tuple(i for i, n in enumerate(x_shape) if n == 1), keepdims=True)
