"""test_cross_entropy: a test that notices every mistake in the loss of a language model and its gradient.

    subject(x, target) -> loss, dx        loss = mean over n of −ln softmax(x[n])[target[n]]        dx = ∂loss/∂x

x (N, C) are logits, any finite numbers, large ones as well; target (N,) are integers 0 … C − 1. loss is a
number, dx (N, C). x does not change.

Write test: it calls subject, and asserts what has to hold. It has to pass on right code, however that rounds,
and to fail on each of a number of mutants: functions with one mistake.

Hint: of equal logits the loss is known. A difference quotient of the loss says what dx is. What do logits of
1000 do? Take N and C that differ, and rows and targets that differ.

    python -m gpt.learn check test_cross_entropy
"""

import numpy as np


def test(subject):
    """Assert that subject returns the loss and its gradient."""
    x, target = np.array([[1.0, 2.0, 0.0, -1.0], [0.5, 0.0, 3.0, 1.0], [0.0, 0.0, 0.2, 0.1]]), np.array([0, 2, 3])
    before = x.copy()
    loss, dx = subject(x, target)
    p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    assert np.isclose(loss, -np.log(p[[0, 1, 2], target]).mean())
    assert np.array_equal(x, before) and dx.shape == x.shape
    for at in np.ndindex(x.shape):
        h = np.zeros_like(x)
        h[at] = 1e-5
        assert np.isclose(dx[at], (subject(x + h, target)[0] - subject(x - h, target)[0]) / 2e-5, atol=1e-7)
    large = np.array([[1000.0, 0.0], [-1000.0, -1000.0]])
    loss, dx = subject(large, np.array([1, 0]))
    assert np.isclose(loss, (1000 + np.log(2)) / 2) and np.isfinite(dx).all()
