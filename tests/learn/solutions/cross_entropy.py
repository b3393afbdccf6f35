"""cross_entropy: the gradient of the loss of a language model.

    p = softmax(x)        loss = mean over the rows n of −ln p[n, target[n]]

Shapes: x (N, C), target (N,) of integers 0 … C − 1, or −1: a row with −1 does not count, neither in the sum nor
in the number of rows. loss and dy are single numbers, arrays of the shape (). dx (N, C).

Write backward: from dy, p and target, the gradient dx.

Hint: −ln p[t] = ln Σ eˣ − x[t]. The derivative of the first part is p, that of the second is 1 at the target.
Then come the mean, dy, and the rows that do not count. Their number, (target >= 0).sum(), is an integer of
NumPy's; int(…) of it lets float32 stay float32.

    python -m gpt.learn check cross_entropy
"""

import numpy as np


def forward(x, target):
    """x, target -> loss, and what backward gets after dy. This is given; a check calls its own copy."""
    kept = target >= 0
    shifted = x - x.max(1, keepdims=True)
    e = np.exp(shifted)
    total = e.sum(1, keepdims=True)
    losses = np.log(total[:, 0]) - shifted[np.arange(len(x)), target]
    return losses[kept].mean(), (e / total, target)


def backward(dy, p, target):
    """dy (), p (N, C), target (N,) -> dx (N, C)."""
    kept = target >= 0
    dx = p.copy()
    dx[np.arange(len(p)), target] -= 1
    dx[~kept] = 0
    return dx * (dy / int(kept.sum()))
