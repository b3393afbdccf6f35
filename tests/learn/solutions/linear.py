"""linear: the gradients of y = x Wᵀ + b, for any number of leading dimensions.

    y = x Wᵀ + b        y[…, o] = Σ x[…, i] W[o, i] + b[o]

Shapes: x (…, in), W (out, in), b (out,) → y, dy (…, out). dx, dW and db have the shapes of x, W and b.

Write backward: from dy and what forward kept, the three gradients.

Hint: make two dimensions of x and dy first, (…, in) -> (N, in): every row uses W and b, so their gradients are
sums over the rows. Keep an eye on x of one dimension, and on none at all: N may be 0.

    python -m gpt.learn check linear
"""

import numpy as np


def forward(x, w, b):
    """x, w, b -> y, and what backward gets after dy. This is given; a check calls its own copy."""
    return x @ w.T + b, (x, w)


def backward(dy, x, w):
    """dy (…, out), x (…, in), w (out, in) -> dx, dw, db."""
    rows, dy_rows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    return dy @ w, dy_rows.T @ rows, dy_rows.sum(0)
