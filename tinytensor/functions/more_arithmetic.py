"""More arithmetic: whole quotients and their remainders, and sums whose terms are products."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tinytensor.base import TensorBase, wrap
from tinytensor.functions.arithmetic import add
from tinytensor.functions.operands import (
    Number,
    as_tensor_like,
    broadcastable,
    implemented,
    in_float32,
    in_one_dtype,
    only_tensors,
    pair,
    plain,
)  # fmt: skip
from tinytensor.layout import elementwise
from tinytensor.modes import is_grad_enabled
from tinytensor.ops.arithmetic import BROADCAST
from tinytensor.ops.more_arithmetic import ADDCDIV, LERP
from tinytensor.tape import apply

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor


def floor_divide(input: Tensor | Number, other: Tensor | Number) -> Tensor:
    """⌊input / other⌋, no gradient; either may be a number."""
    return _no_gradient("floor_divide", np.floor_divide, input, other)


def remainder(input: Tensor | Number, other: Tensor | Number) -> Tensor:
    """input − other·⌊input / other⌋: the sign of other. No gradient; either may be a number."""
    return _no_gradient("remainder", np.remainder, input, other)


def _no_gradient(name: str, ufunc: np.ufunc, input: Tensor | Number, other: Tensor | Number) -> Tensor:
    if is_grad_enabled() and any(getattr(x, "_requires_grad", False) for x in (input, other)):
        raise NotImplementedError(f"the gradient of {name} is outside tinytensor's subset: .detach() the operands")
    a, b = pair(name, input, other)
    if a.array.dtype.kind == "b":
        broadcastable(name, a, b)  # the first mistake, as PyTorch sees it
        raise NotImplementedError(f"{name}: not implemented for bools; call .int() first")
    if a.array.dtype.kind != "f" and a.array.size and not b.array.all():
        raise RuntimeError(f"ZeroDivisionError: {name} of integers by zero")
    try:
        with np.errstate(all="ignore"):
            return wrap(elementwise(ufunc(a.array, b.array), a.array, b.array))
    except ValueError as error:
        raise RuntimeError(f"{name}: {error}; what fits: {BROADCAST}") from None


def lerp(input: Tensor, end: Tensor, weight: Tensor | Number) -> Tensor:
    """input + weight·(end − input), of floats; RuntimeError for Tensors of different dtypes."""
    only_tensors("lerp", input, end)
    implemented("lerp", "f", input)
    for x in (end, weight):
        if isinstance(x, TensorBase) and x.dtype is not input.dtype:
            raise RuntimeError(f"lerp: expected all to have the same dtype, but got {input.dtype} and {x.dtype}")
    return _in_order(apply(LERP, input, end, as_tensor_like(weight, input)), input, end, weight)


def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1) -> Tensor:
    """input + value·tensor1·tensor2; float16 is rounded once."""
    input, a, b = in_one_dtype(input, tensor1, tensor2)
    implemented("addcmul", "fiu", input)
    return _in_order(_addcmul(input, a, b, value), input, a, b)


@in_float32
def _addcmul(input: Tensor, a: Tensor, b: Tensor, value: Number) -> Tensor:
    return add(input, (a if value == 1 else a * value) * b)  # in PyTorch's order: it decides what overflows


def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1) -> Tensor:
    """input + value·tensor1 / tensor2; RuntimeError for a quotient of integers."""
    if not (tensor1.is_floating_point() or tensor2.is_floating_point()):
        raise RuntimeError("addcdiv: integer division is not supported; call .float() first")
    input, a, b = in_one_dtype(input, tensor1, tensor2)
    return _in_order(apply(ADDCDIV, input, a, b, c=plain(value)), input, a, b)


def _in_order(y: Tensor, *xs: Tensor | Number) -> Tensor:
    """y, of several steps, in the memory order that one step from xs would give it."""
    y.array = elementwise(y.array, *(x.array for x in xs if isinstance(x, TensorBase)))
    return y
