"""More arithmetic: whole quotients and their remainders, and sums whose terms are products."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tinytensor.base import TensorBase, wrap
from tinytensor.dtypes import result_type
from tinytensor.functions.arithmetic import add
from tinytensor.functions.operands import Number, as_tensor_like, implemented, in_one_dtype
from tinytensor.layout import as_type
from tinytensor.modes import is_grad_enabled
from tinytensor.ops.arithmetic import BROADCAST

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor


def floor_divide(input: Tensor, other: Tensor | Number) -> Tensor:
    """⌊input / other⌋, no gradient."""
    return _no_gradient(np.floor_divide, input, other)


def remainder(input: Tensor, other: Tensor | Number) -> Tensor:
    """input − other·⌊input / other⌋: the sign of other. No gradient."""
    return _no_gradient(np.remainder, input, other)


def _no_gradient(ufunc: np.ufunc, a: Tensor, b: Tensor | Number) -> Tensor:
    b = as_tensor_like(b, a)
    if is_grad_enabled() and (a.requires_grad or b.requires_grad):
        raise NotImplementedError(
            f"the gradient of {ufunc.__name__} is outside tinytensor's subset: .detach() the operands"
        )
    dtype = result_type(a.array, b.array)
    if dtype.kind == "b":
        raise NotImplementedError(f"{ufunc.__name__}: not implemented for bools; call .int() first")
    if dtype.kind != "f" and a.array.size and not b.array.all():
        raise RuntimeError(f"ZeroDivisionError: {ufunc.__name__} of integers by zero")
    try:
        with np.errstate(all="ignore"):
            return wrap(ufunc(as_type(a.array, dtype), as_type(b.array, dtype)))
    except ValueError as error:
        raise RuntimeError(f"{ufunc.__name__}: {error}; what fits: {BROADCAST}") from None


def lerp(input: Tensor, end: Tensor, weight: Tensor | Number) -> Tensor:
    """input + weight·(end − input), of floats; RuntimeError for Tensors of different dtypes."""
    implemented("lerp", "f", input)
    for x in (end, weight):
        if isinstance(x, TensorBase) and x.dtype is not input.dtype:
            raise RuntimeError(f"lerp: expected all to have the same dtype, but got {input.dtype} and {x.dtype}")
    return input + weight * (end - input)


def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1) -> Tensor:
    """input + value·tensor1·tensor2."""
    input, a, b = in_one_dtype(input, tensor1, tensor2)
    implemented("addcmul", "fiu", input)
    return add(input, a * b, alpha=value)


def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1) -> Tensor:
    """input + value·tensor1 / tensor2; RuntimeError for a quotient of integers."""
    if not (tensor1.is_floating_point() or tensor2.is_floating_point()):
        raise RuntimeError("addcdiv: integer division is not supported; call .float() first")
    input, a, b = in_one_dtype(input, tensor1, tensor2)
    return add(input, a / b, alpha=value)
