"""test_unbroadcast: a test that notices every mistake in summing a gradient to a shape.

    subject(dy, shape) -> dx        dx[…] = the sum of dy over all places to which the element of an array was broadcast

dy is an array, shape a tuple that broadcasts to dy.shape: it may lack dimensions on the left, and have sizes of 1. dx has that
shape and the dtype of dy, and dy does not change.

Write test: it calls subject, and asserts what has to hold. It has to pass on right code, whatever order that adds in, and to fail
on each of a number of mutants: functions with one mistake.

Hint: which shapes are different cases? Take sizes that differ from each other, and numbers that differ, too.

    python -m gpt.learn check test_unbroadcast
"""

import numpy as np


def test(subject):
    """Assert that subject sums as it should."""
    dx = subject(np.ones((2, 3)), (3,))
    assert dx.shape == (3,)
