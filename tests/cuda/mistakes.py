"""Three slips that NumPy forgives or never sees: does the comparison of primitives.py notice them?

Prints what was found for each. The exit status is 1 if one goes unnoticed. Only the emulator sees a copy back, so on a GPU the
hidden float() is not planted.
"""

from __future__ import annotations

from typing import Any

import gpu  # first: before cupy is imported
import numpy as np
import primitives
from primitives import Primitive, Sample

from tinytensor.ops import indexing, more_arithmetic, unary


def tanh_with_a_host_array(dy: Any, y: Any) -> Any:
    return (dy * (np.ones(y.shape, y.dtype) - y * y),)


def neg_with_a_hidden_float(x: Any) -> Any:
    return x * -float(x.sum() * 0 + 1), ()


def getitem_with_a_repeated_index(dy: Any, shape: tuple[int, ...], strides: Any, dtype: Any, index: Any) -> Any:
    if isinstance(dy, np.ndarray):
        return indexing.getitem_backward(dy, shape, strides, dtype, index)
    dx = np.zeros_like(dy, shape=shape)
    dx[index] += dy
    return (dx,)


HIDDEN = "a hidden float()"
MISTAKES = {  # what has to be said of it, and where it is planted
    "a host array in a kernel": (
        "Unsupported type <class 'numpy.ndarray'>", "tanh", unary.tanh_forward, tanh_with_a_host_array,
    ),
    HIDDEN: ("copies from the device to the host", "neg", neg_with_a_hidden_float, more_arithmetic.neg_backward),
    "a repeated index and +=": ("an error of", "getitem", indexing.getitem_forward, getitem_with_a_repeated_index),
}  # fmt: skip


def main() -> int:
    """Plant each; 0 if every one was noticed for what it is."""
    unnoticed = 0
    for what, (message, name, forward, backward) in MISTAKES.items():
        if what == HIDDEN and not gpu.EMULATED:
            continue
        samples: list[Sample] = primitives.SAMPLES[name]
        _, problems = primitives.compare_row(Primitive(name, forward, backward, "", ""), samples)
        print(f"{what}: {'; '.join(problems) or 'NOT NOTICED'}")
        unnoticed += not any(message in problem for problem in problems)
    return int(unnoticed > 0)


if __name__ == "__main__":
    gpu.finish(main())
