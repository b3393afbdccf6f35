"""Comparisons and logic, which return bool Tensors, and operations on bits. None has a gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tinytensor.backend import Array, is_array
from tinytensor.base import TensorBase, wrap
from tinytensor.dtypes import result_type
from tinytensor.functions.operands import Number, broadcastable, only_tensors, pair, plain, wrapped
from tinytensor.layout import copy, elementwise
from tinytensor.ops.arithmetic import BROADCAST

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor

Binary: TypeAlias = "Callable[[Tensor, Any], Tensor]"


def _broadcast(name: str, ufunc: np.ufunc, a: Array, b: Any) -> Tensor:
    try:
        y = ufunc(a, b)
    except ValueError as error:
        raise RuntimeError(f"{name}: {error}; what fits: {BROADCAST}") from None
    if not is_array(b):
        return wrap(y if a.flags.c_contiguous else elementwise(y, a))
    return wrap(y if a.flags.c_contiguous and b.flags.c_contiguous else elementwise(y, a, b))


def _in_one_dtype(a: Array, b: Array) -> tuple[Array, Array]:
    if a.dtype == b.dtype:
        return a, b
    dtype = result_type(a, b)
    with np.errstate(all="ignore"):
        return (a, copy(b, dtype)) if a.dtype == dtype else (copy(a, dtype), b if b.dtype == dtype else copy(b, dtype))


def _comparison(name: str, ufunc: np.ufunc, symbol: str) -> Binary:
    def compare(input: Tensor, other: Tensor | Number) -> Tensor:
        a: Array = input.array
        if isinstance(other, TensorBase):
            b: Any = other.array
        else:
            b = plain(other)
            if type(b) is int:
                wrapped(b, a.dtype)  # OverflowError beyond 64 bits; 300 is no uint8, and larger than all of them
        if isinstance(other, TensorBase):
            a, b = _in_one_dtype(a, b)  # NumPy would compare int32 and float32 as float64
        return _broadcast(name, ufunc, a, b)

    return _named(compare, name, f"input {symbol} other, as a bool Tensor; no gradient.")


def _logical(name: str, ufunc: np.ufunc, symbol: str) -> Binary:
    def combine(input: Tensor, other: Tensor) -> Tensor:
        only_tensors(name, input, other)
        return _broadcast(name, ufunc, *_in_one_dtype(input.array, other.array))

    return _named(combine, name, f"input {symbol} other, as a bool Tensor; what is not 0 counts as True.")


def _bitwise(name: str, ufunc: np.ufunc, symbol: str, kinds: str = "iub") -> Binary:
    def combine(input: Tensor | Number, other: Tensor | Number) -> Tensor:
        a, b = pair(name, input, other)
        if a.array.dtype.kind not in kinds:
            broadcastable(name, a, b)  # the first mistake, as PyTorch sees it
            raise NotImplementedError(f"{name}: not implemented for {a.dtype}; cast with .to() first")
        return _broadcast(name, ufunc, a.array, b.array)

    what = "integers and bools" if "b" in kinds else "integers"
    return _named(combine, name, f"input {symbol} other, of {what}; either may be a number. NotImplementedError else.")


def _named(function: Any, name: str, doc: str) -> Binary:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function  # type: ignore[no-any-return]


eq: Binary = _comparison("eq", np.equal, "=")
ne: Binary = _comparison("ne", np.not_equal, "≠")
lt: Binary = _comparison("lt", np.less, "<")
le: Binary = _comparison("le", np.less_equal, "≤")
gt: Binary = _comparison("gt", np.greater, ">")
ge: Binary = _comparison("ge", np.greater_equal, "≥")
logical_and: Binary = _logical("logical_and", np.logical_and, "and")
logical_or: Binary = _logical("logical_or", np.logical_or, "or")
logical_xor: Binary = _logical("logical_xor", np.logical_xor, "either or")
bitwise_and: Binary = _bitwise("bitwise_and", np.bitwise_and, "&")
bitwise_or: Binary = _bitwise("bitwise_or", np.bitwise_or, "|")
bitwise_xor: Binary = _bitwise("bitwise_xor", np.bitwise_xor, "^")
bitwise_left_shift: Binary = _bitwise("bitwise_left_shift", np.left_shift, "<<", "iu")
bitwise_right_shift: Binary = _bitwise("bitwise_right_shift", np.right_shift, ">>", "iu")


def logical_not(input: Tensor) -> Tensor:
    """not input, as a bool Tensor."""
    return wrap(elementwise(np.logical_not(input.array), input.array))


def bitwise_not(input: Tensor) -> Tensor:
    """~input, of a bool or integer Tensor."""
    if input.array.dtype.kind == "f":
        raise NotImplementedError(f"bitwise_not: not implemented for {input.dtype}; cast with .to() first")
    return wrap(elementwise(np.invert(input.array), input.array))


def invert(input: Tensor) -> Tensor:
    """~input: bitwise_not, but TypeError for floats."""
    if input.array.dtype.kind == "f":
        raise TypeError(f"~ takes bool and integer tensors, not {input.dtype}")
    return bitwise_not(input)


def isfinite(input: Tensor) -> Tensor:
    """Neither infinite nor nan, as a bool Tensor."""
    return wrap(elementwise(np.isfinite(input.array), input.array))


def isinf(input: Tensor) -> Tensor:
    """Infinite, as a bool Tensor."""
    return wrap(elementwise(np.isinf(input.array), input.array))


def isnan(input: Tensor) -> Tensor:
    """Not a number, as a bool Tensor."""
    return wrap(elementwise(np.isnan(input.array), input.array))
