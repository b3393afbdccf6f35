"""test_cross_entropy: a test that notices every mistake in the loss of a language model and its gradient.

    subject(x, target) -> loss, dx        loss = mean over n of −ln softmax(x[n])[target[n]]        dx = ∂loss/∂x

x (N, C) are logits, any finite numbers, large ones as well; target (N,) are integers 0 … C − 1. loss is a number, dx (N, C).
x does not change.

Write test: it calls subject, and asserts what has to hold. It has to pass on right code, however that rounds, and to fail on each of a
number of mutants: functions with one mistake.

Hint: of equal logits the loss is known. A difference quotient of the loss says what dx is. What do logits of 1000 do? Take N and C
that differ, and rows and targets that differ.

    python -m gpt.learn check test_cross_entropy
"""

import numpy as np


def test(subject):
    """Assert that subject returns the loss and its gradient."""
    loss, dx = subject(np.zeros((1, 4)), np.array([2]))
    assert np.isclose(loss, np.log(4))
