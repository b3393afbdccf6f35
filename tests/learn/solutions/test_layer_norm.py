"""test_layer_norm: a test that notices every mistake in layer norm, forward and backward.

    subject(x, w, b, dy, eps=1e-5) -> y, dx, dw, db

    x̂ = (x − mean(x)) / √(variance(x) + eps), for each row        y = w·x̂ + b

x and dy (N, n), w and b (n,). y and dx (N, n), dw and db (n,): the gradients of Σ dy·y.

Write test: it calls subject, and asserts what has to hold. It has to pass on right code, however that rounds,
and to fail on each of a number of mutants: functions with one mistake.

Hint: y can be computed in one line with x.mean and x.var. Difference quotients of Σ dy·y say what the gradients
are. The size of eps matters where a row has a small variance.

    python -m gpt.learn check test_layer_norm
"""

import numpy as np


def test(subject):
    """Assert that subject normalises, and returns the gradients."""
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 3, 4))
    x[2] /= 100  # here eps matters
    w, b = rng.standard_normal((2, 4))
    y, *gradients = subject(x, w, b, dy, 1e-3)
    assert np.allclose(y, (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-3) * w + b)
    arguments = [x, w, b]
    for i, gradient in enumerate(gradients):
        assert gradient.shape == arguments[i].shape
        for at in np.ndindex(gradient.shape):
            values = []
            for h in (1e-6, -1e-6):
                moved = [a.copy() for a in arguments]
                moved[i][at] += h
                values.append((dy * subject(*moved, dy, 1e-3)[0]).sum())
            assert np.isclose(gradient[at], (values[0] - values[1]) / 2e-6, rtol=1e-4, atol=1e-6)
    assert np.isfinite(subject(np.ones((1, 4)), w, b, np.ones((1, 4)))[0]).all()
