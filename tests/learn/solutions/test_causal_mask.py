"""test_causal_mask: a test that notices every mistake in attention that may not see the future.

    subject(q, k, v) -> y

    a[t, s] = q[t] · k[s] / √D for s ≤ t, else −∞        w = softmax of each row of a        y = w v

q and k (T, D), v (T, E), y (T, E).

Write test: it calls subject, and asserts what has to hold. It has to pass on right code, however that rounds,
and to fail on each of a number of mutants: functions with one mistake.

Hint: what has to stay the same if a later key or value changes? With v = np.eye(T), y is the matrix of the
weights. Take scores that differ, and once T, D and E that differ, once E = D.

    python -m gpt.learn check test_causal_mask
"""

import numpy as np


def test(subject):
    """Assert that no position sees a later one, and that the weights are right."""
    T, D = 5, 3
    rng = np.random.default_rng(0)
    q, k = rng.standard_normal((2, T, D))
    w = subject(q, k, np.eye(T))
    for t in range(T):
        e = np.exp([q[t] @ k[s] / np.sqrt(D) for s in range(t + 1)])
        assert np.allclose(w[t, : t + 1], e / e.sum()) and not w[t, t + 1 :].any()
    v = rng.standard_normal((T, D))
    assert np.allclose(subject(q, k, v), w @ v)
