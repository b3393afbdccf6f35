"""A choice for each element: the larger, the smaller, within limits, where a condition holds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tinytensor.backend import array_module
from tinytensor.base import TensorBase, wrap
from tinytensor.dtypes import number_dtype, result_type
from tinytensor.functions.operands import Number, apply_to_pair, as_tensor_like, cast, filling, in_its_order, limit
from tinytensor.functions.shape import contiguous
from tinytensor.layout import elementwise
from tinytensor.ops.choice import CLAMP, MAXIMUM, MINIMUM, WHERE
from tinytensor.tape import apply

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor


def maximum(input: Tensor, other: Tensor) -> Tensor:
    """The larger of two Tensors, element by element; ties share the gradient."""
    return apply_to_pair(MAXIMUM, input, other)


def minimum(input: Tensor, other: Tensor) -> Tensor:
    """The smaller of two Tensors, element by element; ties share the gradient."""
    return apply_to_pair(MINIMUM, input, other)


def clamp(input: Tensor, min: Tensor | Number | None = None, max: Tensor | Number | None = None) -> Tensor:
    """min(max(x, low), high); the gradient passes where low ≤ x ≤ high. RuntimeError without a limit."""
    if min is None and max is None:
        raise RuntimeError("clamp: at least one of 'min' or 'max' must not be None")
    tensors = isinstance(min, TensorBase) or isinstance(max, TensorBase)
    if tensors and min is not None and max is not None:
        _both(min, max)
    dtype = result_type(*(getattr(x, "array", x) for x in (input, min, max) if x is not None))
    if dtype.kind == "b" and not (tensors and (min is None or max is None)):  # PyTorch has it for one Tensor alone
        raise NotImplementedError("clamp: not implemented for bools; call .int() first")
    if tensors:
        if (
            isinstance(min, TensorBase) and min.requires_grad and max is not None
        ):  # of limits that are equal or cross, the lower is not used
            min = where(min < max, min, min.detach())
        x = cast(input, dtype)  # at a tie the gradient is x's, as in PyTorch; what is nan gives none
        if min is not None:
            floor = cast(as_tensor_like(min, x), dtype)
            x = where(x >= floor, x, where(x < floor, floor, _nan_like(x, floor)))
        if max is not None:
            ceiling = cast(as_tensor_like(max, x), dtype)
            nan = _nan_like(x, ceiling)
            if (
                min is not None and ceiling.requires_grad
            ):  # limits that cross pass the gradient to the upper, also of nan
                nan = where(ceiling < as_tensor_like(min, x), ceiling + nan, nan)
            x = where(x <= ceiling, x, where(x > ceiling, ceiling, nan))
        return x
    low, high = (None if x is None else limit(x) for x in (min, max))
    return apply(CLAMP, in_its_order(cast(input, dtype)), low=low, high=high)


def _both(min: Tensor | Number, max: Tensor | Number) -> None:
    """TypeError for a number beside a Tensor, unless that can be read as a number: no dimensions, no gradient."""
    tensors = [x for x in (min, max) if isinstance(x, TensorBase)]
    if len(tensors) == 1 and (tensors[0].ndim or tensors[0].requires_grad):
        raise TypeError("clamp(): min and max are two numbers or two Tensors, not one of each")


def _nan_like(x: Tensor, other: Tensor) -> Tensor:
    """nan in the dtype of both, or 0, which is never chosen: among integers there is none."""
    dtype = result_type(x.array, other.array)
    return wrap(array_module(x.array).asarray(math.nan if dtype.kind == "f" else 0, dtype))


def where(condition: Tensor, input: Tensor | Number, other: Tensor | Number) -> Tensor:
    """input where condition is True, else other. condition: a bool Tensor."""
    if condition.array.dtype != bool:
        raise RuntimeError(
            f"where expected condition to be a boolean tensor, but got a tensor with dtype {condition.dtype}"
        )
    xp = array_module(condition.array)
    a, b = (x if isinstance(x, TensorBase) else wrap(xp.asarray(x, number_dtype(x))) for x in (input, other))
    if isinstance(input, TensorBase) and isinstance(other, TensorBase):
        dtype = result_type(a.array, b.array)
    else:  # a number gives way to a Tensor of its kind
        dtype = result_type(*(x.array if isinstance(x, TensorBase) else x for x in (input, other)))
    a, b = cast(a, dtype), cast(b, dtype)
    y = apply(WHERE, a, b, condition=condition.array)
    y.array = elementwise(y.array, condition.array, a.array, b.array)
    return y


def where_method(input: Tensor, condition: Tensor, other: Tensor | Number) -> Tensor:
    """input where condition is True, else other."""
    return where(condition, input, other)


def masked_fill(input: Tensor, mask: Tensor, value: Tensor | Number) -> Tensor:
    """value where the bool mask is True, else input, in input's dtype."""
    if mask.array.dtype != bool:
        raise RuntimeError(f"masked_fill only supports boolean masks, but got mask with dtype {mask.dtype}")
    value = filling("masked_fill", value, input)
    return contiguous(apply(WHERE, cast(value, input.array.dtype), input, condition=mask.array))
