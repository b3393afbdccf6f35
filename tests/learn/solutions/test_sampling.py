"""test_sampling: a test that notices every mistake in the probabilities of the next token.

    subject(logits, temperature=1.0, top_k=None, top_p=None) -> p

    p = softmax(logits / temperature)
    top_k: the k most probable tokens stay, the others get 0
    top_p: of these the fewest stay whose probabilities add up to top_p or more, the most probable first
    after each of the two, p is divided by its sum

logits and p (V,), any finite numbers, large ones as well.

Write test: it calls subject, and asserts what has to hold. It has to pass on right code, however that rounds,
and to fail on each of a number of mutants: functions with one mistake.

Hint: logits = np.log of probabilities that you choose, not in order of size. Keep sums away from top_p itself,
where rounding decides.

    python -m gpt.learn check test_sampling
"""

import numpy as np


def test(subject):
    """Assert that subject returns the right probabilities."""
    p = np.array([0.1, 0.45, 0.15, 0.3])
    z = np.log(p)
    assert np.allclose(subject(z), p)
    assert np.allclose(subject(z, 0.5), p**2 / (p**2).sum())
    assert np.allclose(subject(z + 1000), p)
    assert np.allclose(subject(z, top_k=2), [0, 0.6, 0, 0.4])
    assert np.allclose(subject(z, top_k=3), np.array([0, 0.45, 0.15, 0.3]) / 0.9)
    assert np.allclose(subject(z, top_p=0.5), [0, 0.6, 0, 0.4])
    assert np.allclose(subject(z, top_p=0.2), [0, 1, 0, 0])
    assert np.allclose(subject(z, top_k=2, top_p=0.5), [0, 1, 0, 0])
