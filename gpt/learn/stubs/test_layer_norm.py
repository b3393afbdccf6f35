"""test_layer_norm: a test that notices every mistake in layer norm, forward and backward.

    subject(x, w, b, dy, eps=1e-5) -> y, dx, dw, db

    x̂ = (x − mean(x)) / √(variance(x) + eps), for each row        y = w·x̂ + b

x and dy (N, n), w and b (n,). y and dx (N, n), dw and db (n,): the gradients of Σ dy·y.

Write test: it calls subject, and asserts what has to hold. It has to pass on right code, however that rounds, and to fail on each of a
number of mutants: functions with one mistake.

Hint: y can be computed in one line with x.mean and x.var. Difference quotients of Σ dy·y say what the gradients are. The size of eps
matters where a row has a small variance.

    python -m gpt.learn check test_layer_norm
"""

import numpy as np


def test(subject):
    """Assert that subject normalises, and returns the gradients."""
    x = np.array([[1.0, 2.0, 3.0], [4.0, 4.0, 5.0]])
    y, dx, dw, db = subject(x, np.ones(3), np.zeros(3), np.ones((2, 3)))
    assert np.allclose(y.mean(1), 0)
