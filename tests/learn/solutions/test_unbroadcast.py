"""test_unbroadcast: a test that notices every mistake in summing a gradient to a shape.

    subject(dy, shape) -> dx        dx[…] = the sum of dy over all places to which the element of an array was broadcast

dy is an array, shape a tuple that broadcasts to dy.shape: it may lack dimensions on the left, and have sizes of
1. dx has that shape and the dtype of dy, and dy does not change.

Write test: it calls subject, and asserts what has to hold. It has to pass on right code, whatever order that
adds in, and to fail on each of a number of mutants: functions with one mistake.

Hint: which shapes are different cases? Take sizes that differ from each other, and numbers that differ, too.

    python -m gpt.learn check test_unbroadcast
"""

import numpy as np


def test(subject):
    """Assert that subject sums as it should."""
    for shape in [(3, 5), (5,), (3, 1), (1, 5), (1, 1), (1,), ()]:
        for lead in [(), (2,), (4, 2)]:
            dy = np.sin(np.arange(np.prod((*lead, 3, 5)))).reshape(*lead, 3, 5).astype(np.float32)
            before = dy.copy()
            dx = subject(dy, shape)
            assert dx.shape == shape and dx.dtype == dy.dtype
            x = np.zeros(shape)
            for at in np.ndindex(dy.shape):  # the element of x that stands at this place
                place = at[dy.ndim - len(shape) :]
                x[tuple(0 if n == 1 else i for i, n in zip(place, shape))] += dy[at]
            assert np.allclose(dx, x, atol=1e-5)
            assert np.array_equal(dy, before)
