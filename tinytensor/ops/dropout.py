"""Dropout: y = x · m, where m is 0 with probability p and 1/(1−p) otherwise, so that the mean stays x.

The caller draws the mask: a pair without randomness of its own can be checked.
Source: Srivastava et al., "Dropout", JMLR 15, 2014, section 4 (scaled in training, as section 10 notes).
"""

from __future__ import annotations

from tinytensor.backend import Array
from tinytensor.primitive import Gradients, Output, primitive


def dropout_forward(x: Array, *, mask: Array) -> Output:
    return x * mask, (mask,)


def dropout_backward(dy: Array, mask: Array) -> Gradients:
    return (dy * mask,)


DROPOUT = primitive("dropout", dropout_forward, dropout_backward, formula="y = x·m / (1 − p),  m ~ Bernoulli(1 − p)")
