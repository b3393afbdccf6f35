"""adamw: one update of the weights, all terms.

    p ← (1 − lr λ) p                         the weights decay, apart from the gradient
    m ← β₁ m + (1 − β₁) g                    the mean of the last gradients
    v ← β₂ v + (1 − β₂) g²                   the mean of their squares
    m̂ = m / (1 − β₁ᵗ)    v̂ = v / (1 − β₂ᵗ)    both began at 0: this corrects for it
    p ← p − lr · m̂ / (√v̂ + eps)

Shapes: p, g, m and v all have one shape, any. t is the number of the step, 1 at the first.

Write step: it returns the new p, m and v, and leaves those that it gets as they are.

Hint: lr, beta1, … are Python's numbers, and so is beta2**t: float32 arrays stay float32. eps stands outside of
the root.

    python -m gpt.learn check adamw
"""

import numpy as np


def step(p, g, m, v, t, lr, beta1, beta2, eps, weight_decay):
    """Weights p, their gradient g, both moments, and numbers -> p, m, v after the step."""
    p = (1 - lr * weight_decay) * p
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    mhat, vhat = m / (1 - beta1**t), v / (1 - beta2**t)
    return p - lr * mhat / (np.sqrt(vhat) + eps), m, v
