"""Operands of elementwise functions: which values are allowed, and the dtype that a function computes in.

Sizes broadcast: from the right, they are equal or 1. `tinytensor.dtypes.result_type` has the rules for dtypes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from tinytensor.backend import array_module
from tinytensor.base import TensorBase, is_tensor, wrap
from tinytensor.dtypes import float16, float32, number_dtype, result_type
from tinytensor.ops.copies import CAST
from tinytensor.primitive import Primitive
from tinytensor.tape import apply

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor

Wrapped = TypeVar("Wrapped", bound=Callable[..., Any])
Number: TypeAlias = float  # also int and bool, as in the numeric tower


# ------------------------------------------------------------------------------------------- the dtype


def cast(x: Tensor, dtype: np.dtype[Any]) -> Tensor:
    """x in a NumPy dtype; x itself if it has it. The gradient is cast back; none passes through integers and bools."""
    if x.array.dtype == dtype:
        return x
    return apply(CAST, x if dtype.kind == "f" else x.detach(), to=dtype)


def floating(x: Tensor) -> Tensor:
    """x, with integers cast to float32: division, exp and their like compute in floating point."""
    return x if x.array.dtype.kind == "f" else cast(x, float32.numpy)


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
    return apply(primitive, a, b)


def apply_with_number(primitive: Primitive, x: Tensor, number: Any) -> Tensor:
    """Apply a primitive to a Tensor, with a number as its constant c."""
    c = plain(number)
    return apply(primitive, cast(x, result_type(x.array, c)), c=c)


def plain(value: Any) -> Number:
    """value as a Python number; TypeError for anything else. NumPy's scalars would promote float32 arrays to float64."""
    if type(value) not in (float, int, bool):
        number_dtype(value)  # raises the TypeError
        value = value.item()
    number: Number = value
    return number


def as_tensor_like(value: Any, like: Tensor) -> Tensor:
    """A number as a 0-d Tensor, in the dtype of its result with `like`; a Tensor unchanged."""
    if is_tensor(value):
        return value
    dtype = result_type(like.array, value)
    return wrap(array_module(like.array).asarray(value, dtype))


def filling(name: str, value: Tensor | Number, like: Tensor) -> Tensor:
    """The value to fill `like` with, as a 0-d Tensor; RuntimeError for several, and for nan or ∞ among integers."""
    value = as_tensor_like(value, like)
    if value.ndim:
        raise RuntimeError(f"{name} takes a number or a 0-dimensional tensor as value, not {value.ndim} dimension(s)")
    if like.array.dtype.kind == "i" and not np.isfinite(value.array):
        raise RuntimeError(f"{name}: {value.item()} cannot be converted to {like.dtype}")
    return value


# --------------------------------------------------------------------------------------------- refusals


def only_tensors(name: str, *xs: Any) -> None:
    """TypeError unless all are Tensors."""
    for x in xs:
        if not isinstance(x, TensorBase):
            raise TypeError(f"{name}(): argument must be Tensor, not {type(x).__name__}; see tensor() and from_numpy()")


def implemented(name: str, kinds: str, *xs: Tensor | Number) -> None:
    """NotImplementedError unless the dtype of each is of one of these kinds: "f" float, "i" integer, "u" uint8, "b" bool."""
    for x in xs:
        dtype = x.array.dtype if isinstance(x, TensorBase) else number_dtype(x)
        if dtype.kind not in kinds:
            raise NotImplementedError(f"{name}: not implemented for {dtype}; cast with .to() first")
