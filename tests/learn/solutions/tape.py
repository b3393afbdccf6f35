"""tape: play a recorded calculation backwards, in the right order, and add up what meets.

    y = f(g(x), x):        x.grad = the gradient that comes through g + the one that comes directly

A Node is a value of the calculation: a leaf, or what a call computed from other Nodes. node.backward(dy)
returns the gradients of node.inputs, a tuple of arrays in their order; each is what this one use of an input
contributes.

Write backward: it sets .grad of the root to dy, and .grad of every Node that the root was computed from.

Hint: a node may be played when all that use it were played, so that its gradient is complete; then it is played
once. An input is always older than what is computed from it: node.age says how old. No recursion: a chain may
have thousands of Nodes. A backward may return one array for two inputs, and dy itself: add into a new array,
not into theirs.

    python -m gpt.learn check tape
"""

import itertools

import numpy as np

COUNT = itertools.count()


class Node:
    """A value: the Nodes that it was computed from, and the function that returns their gradients. A leaf has neither."""

    def __init__(self, inputs=(), backward=None):
        self.inputs = inputs
        self.backward = backward
        self.grad = None
        self.age = next(COUNT)  # the smaller, the older


def backward(root, dy):
    """Set .grad of root and of all Nodes below it. Returns nothing."""
    seen, nodes = {root}, [root]
    for node in nodes:  # the list grows while it is read
        for each in node.inputs:
            if each not in seen:
                seen.add(each)
                nodes.append(each)
    root.grad = dy
    for node in sorted(nodes, key=lambda node: node.age, reverse=True):
        if node.backward is not None:
            for each, dx in zip(node.inputs, node.backward(node.grad)):
                each.grad = dx if each.grad is None else each.grad + dx
