"""test_adamw: a test that notices every mistake in an update of AdamW.

    subject(p, g, m, v, t, lr, beta1, beta2, eps, weight_decay) -> p, m, v

    p ← (1 − lr λ) p        m ← β₁ m + (1 − β₁) g        v ← β₂ v + (1 − β₂) g²
    m̂ = m / (1 − β₁ᵗ)       v̂ = v / (1 − β₂ᵗ)           p ← p − lr · m̂ / (√v̂ + eps)

Arrays of one shape and numbers; λ is weight_decay, t is 1 at the first step. The arrays that are given do not change.

Write test: it calls subject, and asserts what has to hold. It has to pass on right code, in whatever order that computes, and to fail
on each of a number of mutants: functions with one mistake.

Hint: compute a step by hand, or in five lines. A first step from m = v = 0 hides some mistakes, and shows others.

    python -m gpt.learn check test_adamw
"""

import numpy as np


def test(subject):
    """Assert that subject takes the step of AdamW."""
    zero = np.zeros(2)
    p, m, v = subject(np.ones(2), np.array([1.0, -1.0]), zero, zero, 1, 0.1, 0.9, 0.99, 1e-8, 0.0)
    assert np.allclose(p, [0.9, 1.1])
