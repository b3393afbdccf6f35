"""test_adamw: a test that notices every mistake in an update of AdamW.

    subject(p, g, m, v, t, lr, beta1, beta2, eps, weight_decay) -> p, m, v

    p ← (1 − lr λ) p        m ← β₁ m + (1 − β₁) g        v ← β₂ v + (1 − β₂) g²
    m̂ = m / (1 − β₁ᵗ)       v̂ = v / (1 − β₂ᵗ)           p ← p − lr · m̂ / (√v̂ + eps)

Arrays of one shape and numbers; λ is weight_decay, t is 1 at the first step. The arrays that are given do not change.

Write test: it calls subject, and asserts what has to hold. It has to pass on right code, in whatever order that
computes, and to fail on each of a number of mutants: functions with one mistake.

Hint: compute a step by hand, or in five lines. A first step from m = v = 0 hides some mistakes, and shows others.

    python -m gpt.learn check test_adamw
"""

import numpy as np


def test(subject):
    """Assert that subject takes the step of AdamW."""
    p, g, m, v = np.array([[1.0, -2.0, 3.0], [0.3, 0.1, -0.2], [0.1, 0.0, 0.4], [0.2, 0.5, 0.1]])
    for t in (1, 5):
        before = p.copy()
        p1, m1, v1 = subject(p, g, m, v, t, 0.1, 0.8, 0.95, 0.01, 0.3)
        assert np.array_equal(p, before)
        assert np.allclose(m1, 0.8 * m + 0.2 * g) and np.allclose(v1, 0.95 * v + 0.05 * g**2)
        step = m1 / (1 - 0.8**t) / (np.sqrt(v1 / (1 - 0.95**t)) + 0.01)
        assert np.allclose(p1, p - 0.1 * 0.3 * p - 0.1 * step)
    zero = np.zeros(3)
    assert np.allclose(subject(p, zero, zero, zero, 1, 0.1, 0.8, 0.95, 0.01, 0.0)[0], p)
