"""Powers, roots, exponentials and logarithms, element by element."""

from __future__ import annotations

import math
import typing
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.base import TensorBase, wrap
from tinytensor.dtypes import result_type
from tinytensor.functions.arithmetic import rdiv
from tinytensor.functions.operands import (
    Number,
    apply_to_pair,
    apply_with_number,
    as_tensor_like,
    broadcastable,
    cast,
    floating,
    in_range,
    only_tensors,
    plain,
)  # fmt: skip
from tinytensor.layout import in_order
from tinytensor.ops.powers import POW, POW_SCALAR
from tinytensor.ops.unary import EXP, EXPM1, LOG, LOG1P, RSQRT, SQRT
from tinytensor.tape import apply

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor


def pow(input: Tensor | Number, exponent: Tensor | Number) -> Tensor:
    """input ** exponent; either may be a number.

    Among integers a negative exponent leaves 0, or ±1 of ±1; RuntimeError if it is a number.
    """
    if isinstance(exponent, TensorBase):
        base = input if isinstance(input, TensorBase) else as_tensor_like(input, exponent)
        if base.array.dtype.kind == exponent.array.dtype.kind == "b":
            broadcastable("pow", base, exponent)  # the first mistake, as PyTorch sees it
        dtype = _power_dtype(base.array, exponent.array)
        if dtype.kind in "iu" and (exponent.array < 0).any():
            return _negative_power(cast(base, dtype), cast(exponent, dtype))
        y = apply_to_pair(POW, base, exponent)
        if base is not input:  # of a number PyTorch returns row-major memory
            y.array = in_order(y.array)
        return y
    only_tensors("pow", input)
    x = typing.cast("Tensor", input)
    if x.array.dtype == bool and isinstance(exponent, bool):  # PyTorch has x⁰ and x¹ of all dtypes
        return wrap(x.array | (not exponent))
    dtype = _power_dtype(x.array, plain(exponent))
    if dtype.kind in "iu":
        in_range("pow", exponent, dtype)
        if exponent < 0:
            raise RuntimeError(f"Integers to negative integer powers are not allowed: {exponent}; call .float() first")
    return apply_with_number(POW_SCALAR, x, exponent)


def _power_dtype(base: Any, exponent: Any) -> np.dtype[Any]:
    dtype = result_type(base, exponent)
    if dtype.kind == "b":
        raise NotImplementedError("pow: not implemented for bools; call .int() first")
    return dtype


def _negative_power(base: Tensor, exponent: Tensor) -> Tensor:
    """xⁿ of integers, rounded to 0: for n < 0 only 1 and −1 leave something."""
    a, n = base.array, exponent.array
    power = np.power(a, np.where(n < 0, n % 2, n))  # of ±1 by whether n is odd
    return wrap(np.where((n < 0) & (abs(a) != 1), 0, power).astype(a.dtype))


def square(input: Tensor) -> Tensor:
    """x²."""
    return pow(input, 2)


def sqrt(input: Tensor) -> Tensor:
    """√x; nan below 0."""
    return apply(SQRT, floating(input))


def rsqrt(input: Tensor) -> Tensor:
    """1 / √x; ∞ at 0."""
    return apply(RSQRT, floating(input))


def reciprocal(input: Tensor) -> Tensor:
    """1 / x."""
    return rdiv(input, 1)


def exp(input: Tensor) -> Tensor:
    """eˣ."""
    return apply(EXP, floating(input))


def expm1(input: Tensor) -> Tensor:
    """eˣ − 1, exact for small x."""
    return apply(EXPM1, floating(input))


def log(input: Tensor) -> Tensor:
    """ln x; −∞ at 0, nan below."""
    return apply(LOG, floating(input))


def log1p(input: Tensor) -> Tensor:
    """ln(1 + x), exact for small x."""
    return apply(LOG1P, floating(input))


def log2(input: Tensor) -> Tensor:
    """ln x / ln 2."""
    return log(input) / math.log(2)


def log10(input: Tensor) -> Tensor:
    """ln x / ln 10."""
    return log(input) / math.log(10)
