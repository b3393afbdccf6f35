"""embedding: the gradient of a table from which rows are read.

    y[n] = W[ids[n]]        dW[v] = Σ dy[n] over all n with ids[n] = v

Shapes: W (V, C), ids (…) of integers 0 … V − 1, y and dy (…, C), dW (V, C).

Write backward: from dy, the ids and the shape of W, the gradient dW.

Hint: a row that is read three times gets three gradients, and they add up. A row that is never read gets 0.
Look up in NumPy's documentation what dw[ids] += dy does if an id occurs twice.

    python -m gpt.learn check embedding
"""

import numpy as np


def forward(w, ids):
    """w, ids -> y, and what backward gets after dy. This is given; a check calls its own copy."""
    return w[ids], (ids, w.shape)


def backward(dy, ids, w_shape):
    """dy (…, C), ids (…), the shape (V, C) -> dw."""
    dw = np.zeros(w_shape, dy.dtype)
    np.add.at(dw, ids, dy)
    return dw
