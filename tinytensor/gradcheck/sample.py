"""Sample: one call of a primitive, with its twin in PyTorch; and the numbers for such calls."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tinytensor.backend import Array


@dataclass(frozen=True)
class Sample:
    """One call of a primitive, and the same in PyTorch.

    arrays: float64 inputs of the forward, None for an absent one; static: its keyword arguments. torch takes the same
    inputs as tensors of PyTorch. smooth=False: the function has a kink or jump there, so it is compared with PyTorch
    alone. dtypes: those that it can compute in.
    """

    arrays: tuple[Any, ...]
    torch: Callable[..., Any]
    static: dict[str, Any] = field(default_factory=dict)
    smooth: bool = True
    dtypes: tuple[str, ...] = ("float64", "float32", "float16")

    def cast(self, dtype: Any) -> Sample:
        """The same call in another precision; integers and bools stay."""
        static = {k: v.astype(dtype) if _is_float(v) else v for k, v in self.static.items()}
        return replace(self, arrays=tuple(None if a is None else a.astype(dtype) for a in self.arrays), static=static)


def _is_float(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def in_torch() -> Any:
    """PyTorch, imported when a sample first needs it: other checks use the samples without it."""
    return importlib.import_module("torch")


def normal(*shape: int, seed: int = 0) -> Array:
    """Normal numbers; no two alike, so no kink of max, sort or where lies within a finite difference."""
    return np.asarray(np.random.default_rng([seed, *shape]).standard_normal(shape))


def positive(*shape: int, seed: int = 0) -> Array:
    """Numbers in [0.5, 2.5): for log and sqrt, and to divide by."""
    return np.asarray(0.5 + 2 * np.random.default_rng([seed, *shape]).random(shape))


def off_zero(*shape: int, seed: int = 0) -> Array:
    """Numbers of either sign, at least 0.1 from 0: away from the kinks of abs and relu."""
    x = normal(*shape, seed=seed)
    return np.asarray(x + 0.1 * np.sign(x))


def wide(*shape: int, seed: int = 0) -> Array:
    """Numbers up to about ±12: where a gate is shut or open, and an exponential large or small."""
    return np.asarray(5 * normal(*shape, seed=seed))


def binary(torch: Callable[..., Any], make: Any = normal) -> list[Sample]:
    """Equal shapes, broadcasting of either side, of both, of a 0-d one, 0-d alone, one element, and none at all."""
    shapes = [
        ((2, 3), (2, 3)), ((2, 3), (3,)), ((1, 3), (2, 1)), ((2, 1, 3), (4, 1)), ((), (2, 2)), ((2, 2), ()), ((), ()),
        ((1,), (1, 1)), ((0, 3), (3,)), ((0, 1), (1, 4)), ((2, 1, 1), (2, 3, 1)),
    ]  # fmt: skip
    return [Sample((make(*a, seed=1), make(*b, seed=2)), torch) for a, b in shapes]


def unary(torch: Callable[..., Any], make: Any = normal, **static: Any) -> list[Sample]:
    """A matrix, a vector, a 0-d array, one element, and none at all."""
    return [Sample((make(*s),), torch, static) for s in [(2, 3), (4,), (), (1,), (0, 3)]]


def at_kinks(torch: Callable[..., Any], *arrays: Any, **static: Any) -> Sample:
    """A sample at kinks, where differences mean nothing: PyTorch's convention decides."""
    return Sample(tuple(np.array(a, np.float64) for a in arrays), torch, static, smooth=False)


def each_shape(torch: Callable[..., Any], *shapes: tuple[int, ...], **static: Any) -> list[Sample]:
    """One input of normal numbers, in each of the shapes."""
    return [Sample((normal(*shape),), torch, static) for shape in shapes]
