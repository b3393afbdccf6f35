"""Derivatives of a given forward by differences: the numbers that a reader's backward is compared with.

    central       ∂y/∂xⱼ = (f(x + h eⱼ) − f(x − h eⱼ)) / 2h    h = 6·10⁻⁶: right to about ten digits
    complex step  ∂y/∂xⱼ = Im f(x + i h eⱼ) / h                h = 10⁻³⁰: nothing is subtracted, so right to the last digits

The second needs a forward that takes complex numbers, which those of the exercises do.
Source: Squire and Trapp, "Using complex variables to estimate derivatives of real functions", SIAM Review 40, 1998.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpt.learn.exercise import Array, Arrays

STEP = float(np.finfo(np.float64).eps) ** (1 / 3)
TINY = 1e-30

Forward = Callable[..., tuple[Any, tuple[Any, ...]]]


def central(forward: Forward, inputs: Arrays, static: dict[str, Any], name: str) -> Array:
    """The Jacobian of all outputs by inputs[name], (y.size, x.size), by central differences."""
    x = inputs[name]
    columns = [(moved(forward, inputs, static, name, i, STEP) - moved(forward, inputs, static, name, i, -STEP)) / (2 * STEP)
               for i in range(x.size)]  # fmt: skip
    return stacked(forward, inputs, static, columns)


def complex_step(forward: Forward, inputs: Arrays, static: dict[str, Any], name: str) -> Array:
    """The same Jacobian by complex steps."""
    x = inputs[name]
    columns = [moved(forward, inputs, static, name, i, 1j * TINY).imag / TINY for i in range(x.size)]
    return stacked(forward, inputs, static, columns)


def moved(forward: Forward, inputs: Arrays, static: dict[str, Any], name: str, i: int, by: complex) -> Array:
    """All outputs, flat, with `by` added to element i of inputs[name]."""
    x = inputs[name].astype(np.result_type(inputs[name], type(by)), order="C")
    x.reshape(-1)[i] += by
    return np.asarray(forward(**{**inputs, name: x}, **static)[0]).reshape(-1)


def stacked(forward: Forward, inputs: Arrays, static: dict[str, Any], columns: list[Array]) -> Array:
    """The columns side by side; without any, as many rows as there are outputs."""
    return np.stack(columns, 1) if columns else np.zeros((np.asarray(forward(**inputs, **static)[0]).size, 0))
