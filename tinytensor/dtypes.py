"""Data types, and PyTorch's rules for the dtype that an operation returns.

The highest kind wins: bool < integer < floating point. Within a kind, a Tensor with dimensions wins over a 0-d Tensor,
and both win over a Python number. In NumPy, int64 + float32 and a list of floats are float64; here, as in PyTorch, both
are float32.
Source: PyTorch's documentation, "Tensor Attributes", section torch.dtype.
"""

from __future__ import annotations

import builtins
import functools
import math
from typing import Any, NoReturn

import numpy as np


class dtype:
    """A data type, such as `tinytensor.float32`. There is one object per type, so `is` and `==` agree."""

    __slots__ = ("is_floating_point", "itemsize", "name", "numpy")

    def __init__(self, name: str) -> None:
        self.name = name
        self.numpy = np.dtype(name)
        self.is_floating_point = self.numpy.kind == "f"
        self.itemsize = self.numpy.itemsize

    def __repr__(self) -> str:
        return f"tinytensor.{self.name}"

    def __reduce__(self) -> str:  # copies and pickles are the object itself
        return self.name


class _Absent(dtype):
    """A type that scripts name but NumPy lacks: it can be compared and printed, but no Tensor can have it."""

    def __init__(self, name: str) -> None:
        self.name, self.is_floating_point, self.itemsize = name, True, 2

    @property
    def numpy(self) -> NoReturn:  # type: ignore[override]
        raise TypeError(f"{self.name} is outside tinytensor's subset, since NumPy has no such type: use float32")


bfloat16 = _Absent("bfloat16")
float16 = half = dtype("float16")
float32 = float = dtype("float32")
float64 = double = dtype("float64")
uint8 = dtype("uint8")
int32 = int = dtype("int32")
int64 = long = dtype("int64")
bool = dtype("bool")

_BY_NUMPY = {d.numpy: d for d in (float16, float32, float64, uint8, int32, int64, bool)}
_BY_PYTHON = {builtins.float: float64, builtins.int: int64, builtins.bool: bool}  # PyTorch takes dtype=float as well
_KIND = {"b": 0, "u": 1, "i": 1, "f": 2}


def from_numpy_dtype(d: np.dtype[Any]) -> dtype:
    """The dtype of an array; TypeError for one outside the subset (int8, complex128, str …)."""
    try:
        return _BY_NUMPY[d]
    except KeyError:
        known = ", ".join(sorted(x.name for x in _BY_NUMPY.values()))
        raise TypeError(f"arrays of {d} are outside tinytensor's subset; convert to one of {known}") from None


def to_numpy_dtype(d: dtype | None, default: dtype = float32) -> np.dtype[Any]:
    """The NumPy type behind a dtype argument; None means the default."""
    if d is None:
        return default.numpy
    if isinstance(d, dtype):
        return d.numpy
    if d in _BY_PYTHON:
        return _BY_PYTHON[d].numpy
    raise TypeError(f"dtype must be a tinytensor.dtype such as tinytensor.float32, not {d!r}")


def promote(a: np.dtype[Any], b: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype for both: the one of the higher kind, or the wider one of the same kind."""
    if a == b:
        return a
    ka, kb = _KIND[a.kind], _KIND[b.kind]
    if ka != kb:
        return a if ka > kb else b
    return np.promote_types(a, b)


def fits_in(a: np.dtype[Any], b: np.dtype[Any]) -> builtins.bool:
    """Whether an in-place operation may cast a result of dtype a to b: to a higher kind, or within a kind."""
    return _KIND[a.kind] <= _KIND[b.kind]


def number_dtype(value: Any) -> np.dtype[Any]:
    """The dtype of a Python number on its own: float32, int64 or bool."""
    if isinstance(value, (builtins.bool, np.bool_)):
        return bool.numpy
    if isinstance(value, (builtins.int, np.integer)):
        return int64.numpy
    if isinstance(value, (builtins.float, np.floating)):
        return float32.numpy
    raise TypeError(f"expected a number or a Tensor, not {type(value).__name__}")


@functools.cache
def limits(d: np.dtype[Any]) -> tuple[Any, Any]:
    """The lowest and the highest number of a dtype that is not bool."""
    found: Any = np.finfo(d) if d.kind == "f" else np.iinfo(d)
    return found.min.item() if d.kind == "f" else found.min, found.max.item() if d.kind == "f" else found.max


def converted(value: Any, d: np.dtype[Any]) -> Any:
    """A Python number in this dtype, without its decimals for integers; RuntimeError if it does not fit.

    A negative integer counts from 256 downwards in uint8, as in C; ±∞ and nan fit into floats.
    """
    if d.kind == "b":
        return np.bool_(value)
    low, high = limits(d)
    if low <= value <= high:  # nearly always
        return d.type(value) if d.kind == "f" else d.type(builtins.int(value))
    low = -high if d.kind == "u" and isinstance(value, builtins.int) else low
    if not low <= value <= high and (d.kind != "f" or math.isfinite(value)):
        raise RuntimeError(f"value {value} cannot be converted to type {d} without overflow")
    return d.type(value) if d.kind == "f" else np.int64(builtins.int(value)).astype(d)


def positions(x: Any) -> Any:
    """Positions or counts that NumPy returned, in int64. NumPy has 32 bits for them where a pointer has 32, as in Pyodide."""
    return x.astype(np.int64, copy=False)


def result_type(*operands: Any) -> np.dtype[Any]:
    """The NumPy dtype of a result, from arrays and Python numbers, by the rules above."""
    levels: list[np.dtype[Any] | None] = [None, None, None]  # with dimensions, without, Python numbers
    for x in operands:
        level = 2 if not hasattr(x, "ndim") or isinstance(x, np.generic) else (0 if x.ndim else 1)
        d = number_dtype(x) if level == 2 else x.dtype
        levels[level] = d if levels[level] is None else promote(levels[level], d)  # type: ignore[arg-type]
    result: np.dtype[Any] | None = None
    for d in levels:  # a lower priority counts only if its kind is higher
        if result is None or (d is not None and _KIND[d.kind] > _KIND[result.kind]):
            result = d
    assert result is not None
    return result
