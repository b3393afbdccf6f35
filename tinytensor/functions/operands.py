"""Operands of elementwise functions: which values are allowed, and the dtype that a function computes in.

Sizes broadcast: from the right, they are equal or 1. `tinytensor.dtypes.result_type` has the rules for dtypes.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from tinytensor.backend import array_module
from tinytensor.base import TensorBase, is_tensor, wrap
from tinytensor.dtypes import float16, float32, limits, number_dtype, result_type
from tinytensor.layout import elementwise
from tinytensor.ops.arithmetic import BROADCAST
from tinytensor.ops.copies import CAST, COPY
from tinytensor.primitive import Primitive
from tinytensor.tape import apply

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor

Wrapped = TypeVar("Wrapped", bound=Callable[..., Any])
Number: TypeAlias = float  # also int and bool, as in the numeric tower
NUMBERS = (int, float, np.number, np.bool_)  # what counts as one: bool is an int


# ------------------------------------------------------------------------------------------- the dtype


def cast(x: Tensor, dtype: np.dtype[Any]) -> Tensor:
    """x in a NumPy dtype; x itself if it has it. The gradient is cast back; none passes through integers and bools."""
    if x.array.dtype == dtype:
        return x
    return apply(CAST, x if dtype.kind == "f" else x.detach(), to=dtype)


def floating(x: Tensor) -> Tensor:
    """x, with integers cast to float32: division, exp and their like compute in floating point."""
    if x.array.dtype.kind != "f":
        return cast(x, float32.numpy)
    return x if 0 not in x.array.strides else in_its_order(x)


def in_its_order(x: Tensor) -> Tensor:
    """x for a function of each element. NumPy has an order of its own for what is expanded: then x is a copy in PyTorch's."""
    return x if 0 not in x.array.strides or x.array.flags.c_contiguous else apply(COPY, x)


def in_float32(function: Wrapped) -> Wrapped:
    """Decorator: compute float16 in float32, and round the result alone. For functions of several steps, such as √Σ x²."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not any(_is_half(x) for x in (*args, *kwargs.values())):
            return function(*args, **kwargs)
        wide = {name: _wide(x) for name, x in kwargs.items()}
        return cast(function(*map(_wide, args), **wide), float16.numpy)

    return call  # type: ignore[return-value]


def _is_half(x: Any) -> bool:
    return isinstance(x, TensorBase) and x.array.dtype == float16.numpy


def _wide(x: Any) -> Any:
    return cast(x, float32.numpy) if _is_half(x) else x


def in_one_dtype(*xs: Tensor) -> list[Tensor]:
    """The Tensors, cast to the dtype of a result of all of them."""
    dtype = result_type(*(x.array for x in xs))
    return [cast(x, dtype) for x in xs]


# ------------------------------------------------------------------------------------ Tensors and numbers


def apply_to_pair(primitive: Primitive, a: Tensor, b: Tensor) -> Tensor:
    """Apply a primitive to two Tensors, in one dtype."""
    if not (isinstance(a, TensorBase) and isinstance(b, TensorBase)):
        only_tensors(primitive.name, a, b)
    if a.array.dtype is not b.array.dtype:
        dtype = result_type(a.array, b.array)
        a, b = cast(a, dtype), cast(b, dtype)
    y = apply(primitive, a, b)
    if y.array.ndim > 1 and not (a.array.flags.c_contiguous and b.array.flags.c_contiguous):
        y.array = elementwise(y.array, a.array, b.array)
    return y


def apply_with_number(primitive: Primitive, x: Tensor, number: Any) -> Tensor:
    """Apply a primitive to a Tensor, with a number as its constant c."""
    c = plain(number)
    try:
        dtype = result_type(x.array, c)
    except AttributeError:
        only_tensors(primitive.name, x)
        raise
    x = cast(x, dtype) if 0 not in x.array.strides else in_its_order(cast(x, dtype))
    return apply(primitive, x, c=wrapped(c, dtype) if type(c) is int else c)


def plain(value: Any) -> Number:
    """value as a Python number; TypeError for anything else. NumPy's scalars would promote float32 arrays to float64."""
    if type(value) not in (float, int, bool):
        number_dtype(value)  # raises the TypeError
        value = value.item()
    number: Number = value
    return number


def limit(value: Any) -> Number:
    """value as a Python number that is only compared with; OverflowError for an integer beyond 64 bits."""
    number = plain(value)
    return wrapped(number, float32.numpy) if type(number) is int else number


def wrapped(number: int, dtype: np.dtype[Any]) -> int:
    """An integer as it is in a dtype: one outside of its range comes in at the other end, 300 as 44 in uint8.

    OverflowError beyond 64 bits.
    """
    if not -(2**63) <= number < 2**64:
        raise OverflowError(f"int too big to convert: {number:.3g} has more than 64 bits; use a float")
    if dtype.kind not in "iu":
        return number
    low, high = limits(dtype)
    inside: int = (number - low) % (high - low + 1) + low
    return inside


def as_tensor_like(value: Any, like: Tensor) -> Tensor:
    """A number as a 0-d Tensor, in the dtype of its result with `like`; a Tensor unchanged."""
    if is_tensor(value):
        return value
    number = plain(value)
    dtype = result_type(like.array, number)
    number = wrapped(number, dtype) if type(number) is int else number
    return wrap(array_module(like.array).asarray(number, dtype))


def pair(name: str, a: Tensor | Number, b: Tensor | Number) -> tuple[Tensor, Tensor]:
    """Two operands of a function that has no gradient, in one dtype: Tensors, or a Tensor and a number on either side."""
    if not isinstance(a, TensorBase):
        only_tensors(name, b)
        a = as_tensor_like(a, typing.cast("Tensor", b))
    b = as_tensor_like(b, a)
    dtype = result_type(a.array, b.array)
    return cast(a.detach(), dtype), cast(b.detach(), dtype)


def number_alone(value: Any) -> Tensor:
    """A number as a 0-d Tensor on the host: float32, int64 or bool."""
    number, dtype = plain(value), number_dtype(value)
    return wrap(np.asarray(wrapped(number, dtype) if type(number) is int else number, dtype))


def filling(name: str, value: Tensor | Number, like: Tensor) -> Tensor:
    """The value to fill `like` with, as a 0-d Tensor; RuntimeError for several, and for nan or ∞ among integers."""
    in_range(name, value, like.array.dtype)
    value = as_tensor_like(value, like)
    if value.ndim:
        raise RuntimeError(f"{name} takes a number or a 0-dimensional tensor as value, not {value.ndim} dimension(s)")
    return value


def in_range(name: str, value: Any, dtype: np.dtype[Any]) -> None:
    """RuntimeError for a number that the dtype does not have: 300, nan and ∞ among uint8. A Tensor is cast instead."""
    if is_tensor(value) or dtype.kind == "b":
        return
    number = plain(value)
    low, high = limits(dtype)
    low = -high if dtype.kind == "u" else low  # −1 counts as 255
    if not low <= number <= high and (dtype.kind != "f" or math.isfinite(number)):
        raise RuntimeError(f"{name}: value {number:.6g} cannot be converted to {dtype} without overflow")


# --------------------------------------------------------------------------------------------- refusals


def only_tensors(name: str, *xs: Any) -> None:
    """TypeError unless all are Tensors."""
    for x in xs:
        if not isinstance(x, TensorBase):
            raise TypeError(f"{name}(): argument must be Tensor, not {type(x).__name__}; see tensor() and from_numpy()")


def broadcastable(name: str, a: Tensor, b: Tensor) -> None:
    """RuntimeError for two Tensors whose shapes do not broadcast."""
    try:
        np.broadcast_shapes(a.array.shape, b.array.shape)
    except ValueError as error:
        raise RuntimeError(f"{name}: {error}; what fits: {BROADCAST}") from None


def implemented(name: str, kinds: str, *xs: Tensor | Number) -> None:
    """NotImplementedError unless the dtype of each is of one of these kinds: "f" float, "i" integer, "u" uint8, "b" bool."""
    for x in xs:
        dtype = x.array.dtype if isinstance(x, TensorBase) else number_dtype(x)
        if dtype.kind not in kinds:
            raise NotImplementedError(f"{name}: not implemented for {dtype}; cast with .to() first")
