"""TF32 on the real CuPy: does the permission arrive, and what does it cost? python tests/cuda/tf32.py [--emulated]

Products of float32 matrices, with and without `set_float32_matmul_precision("high")`, beside float64, and the GPT's training
in both. The exit status is 1 where a product that may be rounded is not, one that may not be is, or is further off than 10 bits
of mantissa explain, losses are further apart than LIMIT, or the emulator could not do what CuPy wanted. The emulator breaks
ties as IEEE 754 does and adds up in double; a GPU may do both otherwise, and decides for itself which products are worth it.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import gpu  # first: before cupy is imported
import half
import numpy as np

import tinytensor as tt
from tinytensor.nn import functional as F

EXACT, ROUNDED = (
    1e-6,
    (1e-5, 1e-3),
)  # of the largest element: errors of float32, and of TF32, whose operands have 11 bits
LIMIT = 2e-3  # of each loss, after up to 20 steps
SIZES = {"a": (64, 96), "b": (96, 128), "stack": (3, 64, 96), "other": (3, 96, 32), "one": (1, 96, 32)}
PRODUCTS: dict[str, Callable[..., Any]] = {
    "two matrices": lambda a, b, **_: a @ b,
    "transposed": lambda a, b, **_: b.T @ a.T,
    "stacks": lambda stack, other, **_: stack @ other,
    "a stack and one": lambda stack, one, **_: stack @ one,
    "a stack and a matrix": lambda stack, b, **_: stack @ b,
    "linear": lambda stack, b, **_: F.linear(stack, b.T),
    "einsum": lambda a, b, **_: tt.einsum("ij,jk->ik", a, b),
    "in another thread": lambda a, b, **_: in_a_thread(lambda: a @ b),
}


def in_a_thread(function: Callable[[], Any]) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def products() -> list[str]:
    """The error of each product in float32 by both permissions, and in float64 and float16 with it."""
    rng, problems = np.random.default_rng(0), []
    values = {name: rng.standard_normal(size) for name, size in SIZES.items()}
    print(f"{'product':<24}{'highest':>10}{'high':>10}{'float64':>10}")
    for name, product in PRODUCTS.items():
        exact, rounded, double = (
            error(product, values, *how) for how in (("float32", "highest"), ("float32", "high"), ("float64", "high"))
        )
        print(f"{name:<24}{exact:>10.1e}{rounded:>10.1e}{double:>10.1e}")
        if not (exact < EXACT and ROUNDED[0] < rounded < ROUNDED[1] and double < 1e-14):
            problems.append(f"{name}: {exact:.1e}, {rounded:.1e}, {double:.1e}")
    return problems


def error(product: Callable[..., Any], values: dict[str, np.ndarray], dtype: str, precision: str) -> float:
    """Of the largest element, beside NumPy's float64 of the same operands."""
    operands = {name: tt.from_numpy(x.astype(dtype)) for name, x in values.items()}
    expected = product(**{name: x.double() for name, x in operands.items()}).numpy()
    tt.set_float32_matmul_precision(precision)
    try:
        y = product(**{name: x.to("cuda") for name, x in operands.items()}).cpu().numpy()
    finally:
        tt.set_float32_matmul_precision("highest")
    return float(np.abs(y - expected).max() / np.abs(expected).max())


def training() -> list[str]:
    """20 steps of each recipe with and without, and recorded as a CUDA graph."""
    problems = []
    for name, config in half.CONFIGS.items():
        losses = {}
        for how in ({}, {"tf32": True}, {"tf32": True, "cuda_graph": True}):
            changed = dataclasses.replace(config, **how)
            tt.set_float32_matmul_precision("high" if changed.tf32 else "highest")
            losses[len(how)] = [told.loss for told in half.Training(changed).steps(0, half.STEPS)]
        tt.set_float32_matmul_precision("highest")
        apart = max(abs(x - y) / x for x, y in zip(losses[0], losses[1], strict=True))
        print(
            f"{name}: {half.STEPS} steps, loss {losses[0][-1]:.6f}, by TF32 {losses[1][-1]:.6f}: {apart:.1e} apart at most"
        )
        problems += [f"{name}: losses {apart:.1e} apart"] if not apart <= LIMIT or (gpu.EMULATED and not apart) else []
        problems += [f"{name}: recorded, TF32 gives other numbers"] if losses[1] != losses[2] else []
    return problems


def main() -> int:
    """Both; 0 if nothing is wrong."""
    if int(gpu.cupy.cuda.Device().compute_capability) < 80:
        print(f"{gpu.name()} has no TF32: nothing to compare")
        return 0
    wrong = products() + training()
    wrong += [f"emulator: {what}: {n}" for what, n in gpu.troubles().items()]
    print("\n".join(["", *wrong, f"{len(wrong)} problems"]))
    return int(bool(wrong))


if __name__ == "__main__":
    gpu.finish(main())
