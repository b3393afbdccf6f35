"""Three slips that NumPy forgives or never sees: does the comparison of primitives.py notice them?

Prints what was found for each. The exit status is 1 if one goes unnoticed.
"""

from __future__ import annotations

from typing import Any

import primitives  # first: it imports the emulator
from emulator import finish
from primitives import Primitive, Sample, np

from tinytensor.ops import elementwise, indexing


def tanh_with_a_host_array(dy: Any, y: Any) -> Any:
    return (dy * (np.ones(y.shape, y.dtype) - y * y),)


def neg_with_a_hidden_float(x: Any) -> Any:
    return x * -float(x.sum() * 0 + 1), ()


def getitem_with_a_repeated_index(dy: Any, shape: tuple[int, ...], dtype: Any, index: Any) -> Any:
    if isinstance(dy, np.ndarray):
        return indexing.getitem_backward(dy, shape, dtype, index)
    dx = np.zeros_like(dy, shape=shape)
    dx[index] += dy
    return (dx,)


MISTAKES = {
    "a host array in a kernel": ("tanh", elementwise.tanh_forward, tanh_with_a_host_array),
    "a hidden float()": ("neg", neg_with_a_hidden_float, elementwise.neg_backward),
    "a repeated index and +=": ("getitem", indexing.getitem_forward, getitem_with_a_repeated_index),
}


def main() -> int:
    """Plant each; 0 if every one was noticed."""
    unnoticed = 0
    for what, (name, forward, backward) in MISTAKES.items():
        samples: list[Sample] = primitives.SAMPLES[name]
        _, problems = primitives.compare_row(Primitive(name, forward, backward, "", ""), samples)
        print(f"{what}: {'; '.join(problems) or 'NOT NOTICED'}")
        unnoticed += not problems
    return int(unnoticed > 0)


if __name__ == "__main__":
    finish(main())
