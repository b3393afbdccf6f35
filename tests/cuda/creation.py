"""New Tensors on the device: python tests/cuda/creation.py [--emulated]

The same numbers and dtypes as on the host, made where they are wanted: nothing is copied to the device.
The exit status is 1 where something differs, or is copied.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gpu  # first: before cupy is imported
import numpy as np

import tinytensor as tt
from tinytensor.base import wrap
from tinytensor.ops.attention import causal_mask

CALLS: dict[str, Callable[[str], tt.Tensor]] = {
    "zeros": lambda where: tt.zeros(2, 3, device=where),
    "zeros of int32": lambda where: tt.zeros(3, dtype=tt.int32, device=where),
    "ones": lambda where: tt.ones((2, 0), device=where),
    "full": lambda where: tt.full((2, 2), -1.5, device=where, requires_grad=True),
    "full of bools": lambda where: tt.full((2,), True, device=where),
    "empty_like": lambda where: tt.empty_like(tt.zeros(2, dtype=tt.float16, device=where)),
    "eye": lambda where: tt.eye(2, 3, device=where),
    "arange": lambda where: tt.arange(7, device=where),
    "arange from 3 to 20 by 4": lambda where: tt.arange(3, 20, 4, device=where),
    "arange downwards": lambda where: tt.arange(5, -5, -3, device=where),
    "arange of nothing": lambda where: tt.arange(0, device=where),
    "a causal mask": lambda where: wrap(causal_mask(3, 5, np.dtype("f4"), gpu.cupy if where == "cuda" else np)),
}


def wrong(call: Callable[[str], Any]) -> str:
    """What is wrong with a call, or nothing."""
    before = gpu.count["host to device"]
    made, expected = call("cuda"), call("cpu")
    if gpu.count["host to device"] != before:
        return "copied to the device"
    if type(made.array) is not gpu.cupy.ndarray:
        return "not on the device"
    same = (made.dtype, made.shape, made.requires_grad) == (expected.dtype, expected.shape, expected.requires_grad)
    return "" if same and np.array_equal(made.array.get(), expected.array) else f"{made}, on the host {expected}"


def main() -> int:
    """Compare every call; 0 if all agree and nothing was left undone."""
    problems = {name: problem for name, call in CALLS.items() if (problem := wrong(call))}
    problems |= {f"emulator: {what}": str(n) for what, n in gpu.troubles().items()}
    print("".join(f"{name}: {problem}\n" for name, problem in problems.items()), end="")
    print(f"{len(CALLS)} calls compared; {len(problems)} problems")
    return int(bool(problems))


if __name__ == "__main__":
    gpu.finish(main())
