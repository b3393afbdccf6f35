"""The subject of test_tape: backward over recorded Nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def subject(root: Any, dy: NDArray[Any]) -> None:
    """Set .grad of root to dy, and .grad of every Node that it was computed from."""
    nodes = [root]
    for node in nodes:
        for each in node.inputs:
            if each not in nodes:
                nodes.append(each)
    nodes.sort(key=lambda node: -node.age)
    root.grad = np.array(dy)
    for node in nodes:
        if node.backward is not None:
            for each, dx in zip(node.inputs, node.backward(node.grad)):
                each.grad = np.array(dx) if each.grad is None else each.grad + dx
