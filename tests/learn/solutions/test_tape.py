"""test_tape: a test that notices every mistake in playing a recorded calculation backwards.

    subject(root, dy): sets .grad of root to dy, and .grad of every Node that it was computed from; returns nothing

Node, add and mul below are given: they record calculations. A Node that is used several times gets the sum of
its gradients. A call is played when its gradient is complete. subject changes no array that a backward
returned.

Write test: it records calculations, calls subject, and asserts what has to hold. It has to pass on right code,
and to fail on each of a number of mutants: functions with one mistake.

Hint: which shapes may a graph have? One after the other; one value used twice, by one call or by two; a short
way and a long way to the same value, in both orders. add returns one array for both inputs.

    python -m gpt.learn check test_tape
"""

import itertools

import numpy as np

COUNT = itertools.count()


class Node:
    """A value: the Nodes that it was computed from, and the function that returns their gradients. A leaf has neither."""

    def __init__(self, value, inputs=(), backward=None):
        self.value = np.asarray(value)
        self.inputs = inputs
        self.backward = backward
        self.grad = None
        self.age = next(COUNT)  # the smaller, the older


def add(a, b):
    return Node(a.value + b.value, (a, b), lambda dy: (dy, dy))


def mul(a, b):
    return Node(a.value * b.value, (a, b), lambda dy: (dy * b.value, dy * a.value))


def test(subject):
    """Assert that subject sets the gradients of recorded calculations."""
    dy = np.array([1.0, -2.0])
    x, y = Node([2.0, 3.0]), Node([5.0, 7.0])
    z = mul(x, y)
    subject(z, dy)
    assert np.allclose(x.grad, dy * y.value) and np.allclose(y.grad, dy * x.value) and np.allclose(z.grad, dy)

    x = Node([2.0, 3.0])
    subject(mul(x, x), dy)
    assert np.allclose(x.grad, dy * 2 * x.value)

    for short_first in (True, False):
        x, c = Node([2.0, 3.0]), Node([0.5, 0.25])
        h = mul(x, x)
        long = mul(mul(mul(h, c), c), c)
        root = add(h, long) if short_first else add(long, h)
        subject(root, dy)
        assert np.allclose(x.grad, dy * 2 * x.value * (1 + c.value**3))
        assert np.allclose(h.grad, dy * (1 + c.value**3))

    x, y = Node([2.0, 3.0]), Node([5.0, 7.0])
    s = add(x, y)
    subject(add(s, x), dy)
    assert np.allclose(x.grad, 2 * dy) and np.allclose(y.grad, dy) and np.allclose(s.grad, dy)
    assert np.allclose(dy, [1.0, -2.0])
