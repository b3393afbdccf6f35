"""relu: the gradient of max(x, 0).

    y = max(x, 0)

Shapes: x, y, dy and dx all have one shape, any.

Write backward: from dy and x, the gradient dx.

Hint: where x is above 0, y moves as x does; where it is below, y does not move. At 0 itself the function has a
corner; PyTorch and the engine take 0 there.

    python -m gpt.learn check relu
"""

import numpy as np


def forward(x):
    """x -> y, and what backward gets after dy. This is given; a check calls its own copy."""
    return np.maximum(x, 0), (x,)


def backward(dy, x):
    """dy, x -> dx."""
    return np.where(x > 0, dy, 0)
