"""test_batch: a test that notices every mistake in drawing windows of a text.

    subject(ids, size, context, rng) -> inputs, targets

ids (L,) are the tokens of a text. inputs and targets (size, context): each row of inputs is a window of the
text that begins at a random place, and its targets are the tokens after each of its tokens. All L − context
windows are equally likely, the first and the last among them. rng is np.random.default_rng(…), and nothing else
is random.

Write test: it calls subject, and asserts what has to hold. It has to pass on right code, in whatever way that
draws from rng, and to fail on each of a number of mutants: functions with one mistake.

Hint: with ids = np.arange(L) a token tells its place. A short text has few windows; many rows have to show all
of them, and then the test is not a matter of luck.

    python -m gpt.learn check test_batch
"""

import numpy as np


def test(subject):
    """Assert that subject draws windows and their targets."""
    ids = np.arange(7)
    inputs, targets = subject(ids, 200, 3, np.random.default_rng(0))
    assert inputs.shape == targets.shape == (200, 3)
    assert (targets == inputs + 1).all() and (inputs == inputs[:, :1] + np.arange(3)).all()
    assert set(inputs[:, 0].tolist()) == {0, 1, 2, 3}  # 4 windows, and each is seen: (3/4)²⁰⁰ is small
    others, _ = subject(ids, 200, 3, np.random.default_rng(1))
    assert not np.array_equal(inputs, others)
    same, _ = subject(ids, 200, 3, np.random.default_rng(0))
    assert np.array_equal(inputs, same)
