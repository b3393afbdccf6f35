"""Powers, roots, exponentials and logarithms, element by element."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.backend import Array
from tinytensor.base import TensorBase
from tinytensor.dtypes import result_type
from tinytensor.functions.arithmetic import rdiv
from tinytensor.functions.operands import Number, apply_to_pair, apply_with_number, as_tensor_like, floating
from tinytensor.ops.powers import POW, POW_SCALAR
from tinytensor.ops.unary import EXP, EXPM1, LOG, LOG1P, SQRT
from tinytensor.tape import apply

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor


def pow(input: Tensor | Number, exponent: Tensor | Number) -> Tensor:
    """input ** exponent; either may be a number."""
    if isinstance(exponent, TensorBase):
        base = input if isinstance(input, TensorBase) else as_tensor_like(input, exponent)
        _check_integer_power(result_type(base.array, exponent.array), exponent.array)
        return apply_to_pair(POW, base, exponent)
    assert isinstance(input, TensorBase)
    _check_integer_power(result_type(input.array, exponent), np.asarray(exponent))
    return apply_with_number(POW_SCALAR, input, exponent)


def _check_integer_power(dtype: np.dtype[Any], exponent: Array) -> None:
    if dtype.kind == "b":
        raise NotImplementedError("pow: not implemented for bools; call .int() first")
    if dtype.kind == "i" and (exponent < 0).any():
        raise RuntimeError("Integers to negative integer powers are not allowed; call .float() first")


def rpow(input: Tensor, base: Number) -> Tensor:
    """base ** input, for a number."""
    return pow(base, input)


def square(input: Tensor) -> Tensor:
    """x²."""
    return pow(input, 2)


def sqrt(input: Tensor) -> Tensor:
    """√x; nan below 0."""
    return apply(SQRT, floating(input))


def rsqrt(input: Tensor) -> Tensor:
    """1 / √x; ∞ at 0."""
    return pow(floating(input), -0.5)


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
