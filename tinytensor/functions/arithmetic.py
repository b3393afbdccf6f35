"""Addition, subtraction, multiplication, division: how a function checks its arguments and calls a primitive.

Every function goes through three steps: check the operands, cast them to one dtype, apply a primitive.
All raise RuntimeError for shapes that do not broadcast, and TypeError for what is neither a Tensor nor a number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytensor.base import TensorBase
from tinytensor.dtypes import bool as bool_dtype
from tinytensor.dtypes import result_type
from tinytensor.functions.operands import (
    Number,
    apply_to_pair,
    apply_with_number,
    as_tensor_like,
    cast,
    floating,
    in_its_order,
    plain,
    wrapped,
)  # fmt: skip
from tinytensor.ops.arithmetic import ADD, MUL, MUL_SCALAR
from tinytensor.ops.more_arithmetic import DIV, NEG, SUB
from tinytensor.ops.scalars import ADD_SCALAR, DIV_SCALAR
from tinytensor.tape import apply

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor


def add(input: Tensor, other: Tensor | Number, *, alpha: Number = 1) -> Tensor:
    """input + alpha·other."""
    other = scaled(input, other, alpha)
    if isinstance(other, TensorBase):
        return apply_to_pair(ADD, input, other)  # two inputs, a gradient for each
    return apply_with_number(ADD_SCALAR, input, other)  # a number is a constant: one input, one gradient


def scaled(input: Tensor, other: Tensor | Number, alpha: Number) -> Tensor | Number:
    """alpha·other. alpha does not change the dtype: RuntimeError for a fraction among integers."""
    if alpha == 1 and alpha is not True:  # nearly always
        return other
    dtype = result_type(input.array, other.array if isinstance(other, TensorBase) else other)
    if isinstance(alpha, bool) and dtype.kind != "b":
        raise RuntimeError(f"alpha may be a bool among bools, not in {dtype}")
    for number in (alpha, other):
        if type(number) is int:
            wrapped(number, dtype)  # OverflowError beyond 64 bits
    if dtype.kind in "ib" and isinstance(alpha, float):
        raise RuntimeError(f"alpha must not be a floating point number among integers, but is {alpha}")
    if isinstance(other, TensorBase):
        return cast(
            cast(other, dtype) * alpha, dtype
        )  # alpha is part of the graph: the gradient of other is scaled too
    return bool(other * alpha) if dtype.kind == "b" else other * alpha  # True + True is True


def sub(input: Tensor, other: Tensor | Number, *, alpha: Number = 1) -> Tensor:
    """input − alpha·other; RuntimeError for bools."""
    no_bools(input, other)  # as PyTorch: True − True has no obvious dtype
    other = scaled(input, other, alpha)
    if isinstance(other, TensorBase):
        return apply_to_pair(SUB, input, other)
    return apply_with_number(ADD_SCALAR, input, -plain(other))  # x − c = x + (−c): one primitive serves both


def no_bools(*xs: Tensor | Number) -> None:
    """RuntimeError if one of the two sides of a subtraction is bool."""
    if any(isinstance(x, bool) or getattr(x, "dtype", None) is bool_dtype for x in xs):
        for x in xs:
            if not isinstance(x, TensorBase):
                plain(x)  # TypeError for what is no number
        raise RuntimeError("subtraction of or from bools is not supported: use ^, or .int() first")


def rsub(input: Tensor, other: Number) -> Tensor:
    """other − input: Python calls it for `1 - x`."""
    if isinstance(other, TensorBase):
        return sub(other, input)
    no_bools(input, other)
    dtype = result_type(input.array, plain(other))
    x = cast(input, dtype)  # before the sign changes: int64 has −2⁶³ and not 2⁶³, float32 has both
    return apply_with_number(ADD_SCALAR, neg(x), other)  # c − x = −x + c


def mul(input: Tensor, other: Tensor | Number) -> Tensor:
    """input · other."""
    if isinstance(other, TensorBase):
        return apply_to_pair(MUL, input, other)  # float32 · float64 is float64, and each gradient is cast back
    return apply_with_number(MUL_SCALAR, input, other)  # int64 · 2.0 is float32: a higher kind wins


def div(input: Tensor, other: Tensor | Number) -> Tensor:
    """input / other, in floating point also for integers."""
    if isinstance(other, TensorBase):
        if result_type(input.array, other.array).kind != "f":  # 1 / 2 is 0.5, not 0
            input, other = floating(input), floating(other)
        return apply_to_pair(DIV, input, other)
    return apply_with_number(DIV_SCALAR, floating(input), other)  # x / 3 rounds once, x · (1/3) twice


def rdiv(input: Tensor, other: Number) -> Tensor:
    """other / input: Python calls it for `1 / x`."""
    if isinstance(other, TensorBase):
        return mul(rdiv(input, 1), other)
    x = floating(input)  # integers first become float32
    return apply_to_pair(DIV, as_tensor_like(other, x), x)  # the number is a Tensor without a gradient


def neg(input: Tensor) -> Tensor:
    """−input; RuntimeError for bools."""
    if input.array.dtype == bool:
        raise RuntimeError("negation of a bool tensor is not supported: use ~ or logical_not")
    return apply(NEG, in_its_order(input))  # one input: nothing to broadcast, no dtype to settle


def positive(input: Tensor) -> Tensor:
    """input itself; RuntimeError for bools."""
    if input.array.dtype == bool:
        raise RuntimeError("the + operator, on a bool tensor, is not supported: use .int() first")
    return input
