"""Comparisons and logic: bool Tensors, which have no gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tinytensor.backend import Array, is_array
from tinytensor.base import TensorBase, wrap
from tinytensor.dtypes import result_type
from tinytensor.functions.operands import Number, implemented, plain
from tinytensor.layout import as_type
from tinytensor.ops.arithmetic import BROADCAST

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor

Comparison: TypeAlias = "Callable[[Tensor, Any], Tensor]"


def _is_number(x: Any) -> bool:
    return isinstance(x, (int, float, np.number, np.bool_))


def _comparison(ufunc: np.ufunc, symbol: str) -> Comparison:
    def compare(input: Tensor, other: Tensor | Number) -> Tensor:
        if isinstance(other, TensorBase):
            b: Array = other.array
        elif _is_number(other):
            b = plain(other)
        elif is_array(other):
            b = other
        else:
            return NotImplemented  # type: ignore[no-any-return]
        if symbol in "&|^":
            implemented(ufunc.__name__, "ib", input, other)
        a: Array = input.array
        if isinstance(other, TensorBase) and a.dtype != b.dtype:  # NumPy would compare int32 and float32 as float64
            dtype = result_type(a, b)
            with np.errstate(all="ignore"):
                a, b = as_type(a, dtype), as_type(b, dtype)
        try:
            return wrap(ufunc(a, b))
        except ValueError as error:
            raise RuntimeError(f"{ufunc.__name__}: {error}; what fits: {BROADCAST}") from None

    compare.__name__ = compare.__qualname__ = ufunc.__name__
    compare.__doc__ = f"input {symbol} other, as a bool Tensor; no gradient."
    return compare


eq: Comparison = _comparison(np.equal, "=")
ne: Comparison = _comparison(np.not_equal, "≠")
lt: Comparison = _comparison(np.less, "<")
le: Comparison = _comparison(np.less_equal, "≤")
gt: Comparison = _comparison(np.greater, ">")
ge: Comparison = _comparison(np.greater_equal, "≥")
logical_and: Comparison = _comparison(np.logical_and, "and")
logical_or: Comparison = _comparison(np.logical_or, "or")
bitwise_and: Comparison = _comparison(np.bitwise_and, "&")
bitwise_or: Comparison = _comparison(np.bitwise_or, "|")
bitwise_xor: Comparison = _comparison(np.bitwise_xor, "^")


def logical_not(input: Tensor) -> Tensor:
    """not input, as a bool Tensor."""
    return wrap(np.logical_not(input.array))


def bitwise_not(input: Tensor) -> Tensor:
    """~input, of a bool or integer Tensor."""
    if input.array.dtype.kind == "f":
        raise TypeError(f"~ (bitwise_not) takes bool and integer tensors, not {input.dtype}")
    return wrap(np.invert(input.array))


def isfinite(input: Tensor) -> Tensor:
    """Neither infinite nor nan, as a bool Tensor."""
    return wrap(np.isfinite(input.array))


def isinf(input: Tensor) -> Tensor:
    """Infinite, as a bool Tensor."""
    return wrap(np.isinf(input.array))


def isnan(input: Tensor) -> Tensor:
    """Not a number, as a bool Tensor."""
    return wrap(np.isnan(input.array))
