"""dropout: the gradient of an array with elements left out at random.

    y = x · keep / (1 − p)        keep: True with the probability 1 − p, False with p

Shapes: x, keep, y, dy and dx all have one shape, any. keep and p are no variables: they get no gradient.

Write backward: from dy, keep and p, the gradient dx.

Hint: once keep is drawn, y is x times a constant. 1 / (1 − p) keeps the mean of y where that of x was.

    python -m gpt.learn check dropout
"""

import numpy as np


def forward(x, keep, p):
    """x, keep, p -> y, and what backward gets after dy. This is given; a check calls its own copy."""
    return x * keep / (1 - p), (keep, p)


def backward(dy, keep, p):
    """dy, keep (bool), p (a number) -> dx."""
    return dy * keep / (1 - p)
