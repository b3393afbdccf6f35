"""gelu: the gradient of a smooth step times x, by product rule and chain rule.

    u = √(2/π) (x + 0.044715 x³)        s = (1 + tanh u) / 2        y = x·s

Shapes: x, y, dy and dx all have one shape, any.

Write backward: from dy and x, the gradient dx.

Hint: dy/dx = s + x·s′, the product rule. s′ = (1 − tanh² u) / 2 · u′, the chain rule. float32 has to stay
float32: Python's numbers, as ROOT, let it; np.sqrt(2 / np.pi) does not.

    python -m gpt.learn check gelu
"""

import math

import numpy as np

ROOT, CUBIC = math.sqrt(2 / math.pi), 0.044715


def forward(x):
    """x -> y, and what backward gets after dy. This is given; a check calls its own copy."""
    u = ROOT * (x + CUBIC * x**3)
    return x * (1 + np.tanh(u)) / 2, (x,)


def backward(dy, x):
    """dy, x -> dx."""
    t = np.tanh(ROOT * (x + CUBIC * x**3))
    s = (1 + t) / 2
    return dy * (s + x * (1 - t * t) / 2 * ROOT * (1 + 3 * CUBIC * x * x))
