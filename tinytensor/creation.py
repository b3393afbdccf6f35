"""Functions that create Tensors: from data, filled with a number, or as a range.

Common arguments: `dtype` is a tinytensor.dtype (default: float32 for floats, int64 for integers), `device` "cpu" or
"cuda", `requires_grad` whether backward accumulates a gradient in `.grad`. Sizes are f(2, 3) or f((2, 3)).
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.backend import Array, as_array, is_array
from tinytensor.base import TensorBase, is_tensor, wrap
from tinytensor.devices import device, made_on, to_device
from tinytensor.dtypes import bool as bool_dtype
from tinytensor.dtypes import dtype as DType
from tinytensor.dtypes import (
    float16,
    float32,
    float64,
    from_numpy_dtype,
    int32,
    int64,
    number_dtype,
    to_numpy_dtype,
    uint8,
)  # fmt: skip
from tinytensor.functions.dims import nonnegative, sizes
from tinytensor.layout import laid_out_as

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor


def place(array: Array, where: device | str | None, requires_grad: builtins.bool) -> Tensor:
    """A Tensor on this array, moved to a device (None: not moved)."""
    x = wrap(to_device(as_array(array), where))
    x.requires_grad = requires_grad
    return x


def tensor(
    data: Any,
    *,
    dtype: DType | None = None,
    device: device | str | None = None,
    requires_grad: builtins.bool = False,
) -> Tensor:
    """A copy of data: numbers, nested lists of them, arrays, Tensors.

    Without dtype: arrays keep theirs; Python floats become float32, integers int64, bools bool.
    ValueError for lists of unequal lengths, TypeError for anything but numbers.
    """
    if isinstance(data, TensorBase):
        array = data.array
    elif is_array(data) or isinstance(data, np.generic):
        array = data
    else:
        try:
            array = np.array(data)
        except ValueError as error:
            raise ValueError(f"tensor: nested lists must have equal lengths ({error})") from None
        if dtype is None and (array.dtype == np.float64 or array.size == 0):
            array = array.astype(np.float32)
    if array.dtype.kind == "O":
        raise RuntimeError(f"tensor: could not infer the dtype of {type(data).__name__}")
    if (array.dtype.kind not in "biuf" and dtype is None) or array.dtype.kind in "US":
        raise TypeError(f"tensor: expected numbers, got {type(data).__name__} of {array.dtype}")
    wanted = array.dtype if dtype is None else to_numpy_dtype(dtype)
    from_numpy_dtype(wanted)
    with np.errstate(invalid="ignore"):  # nan as an integer
        return place(array.astype(wanted), device, requires_grad)


def _of_type(name: str, dtype: DType) -> Callable[..., Tensor]:
    def make(*data: Any) -> Tensor:
        if len(data) == 1 and not isinstance(data[0], int):
            return tensor(data[0], dtype=dtype)
        return zeros(*(data or (0,)), dtype=dtype)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"The older {name}([1, 2]) and {name}(2, 3): a {dtype.name} tensor of these data, of this shape."
    return make


FloatTensor, DoubleTensor = _of_type("FloatTensor", float32), _of_type("DoubleTensor", float64)
HalfTensor, ByteTensor = _of_type("HalfTensor", float16), _of_type("ByteTensor", uint8)
LongTensor, IntTensor = _of_type("LongTensor", int64), _of_type("IntTensor", int32)
BoolTensor = _of_type("BoolTensor", bool_dtype)


def as_tensor(data: Any, *, dtype: DType | None = None, device: device | str | None = None) -> Tensor:
    """data as a Tensor, without a copy if it is a Tensor or an array of that dtype, on that device."""
    if is_tensor(data):
        return data.to(device=device, dtype=dtype)
    if isinstance(data, np.ndarray):
        return from_numpy(data).to(device=device, dtype=dtype)
    return tensor(data, dtype=dtype, device=device)


def from_numpy(ndarray: np.ndarray[Any, Any]) -> Tensor:
    """A Tensor on the memory of the array. TypeError for anything else, and for a dtype outside the subset."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    from_numpy_dtype(ndarray.dtype)
    return wrap(ndarray)


def full(
    size: Any,
    fill_value: float,
    *,
    dtype: DType | None = None,
    device: device | str | None = None,
    requires_grad: builtins.bool = False,
) -> Tensor:
    """A Tensor of shape size, filled with fill_value; without dtype, in the dtype of the number."""
    wanted = number_dtype(fill_value) if dtype is None else to_numpy_dtype(dtype)
    if wanted.kind == "i" and not math.isfinite(fill_value):
        raise RuntimeError(f"full: {fill_value} cannot be converted to {wanted}")
    shape = nonnegative(sizes((size,)))
    return place(made_on(device, lambda xp: xp.full(shape, fill_value, wanted)), None, requires_grad)


def zeros(
    *size: Any,
    dtype: DType | None = None,
    device: device | str | None = None,
    requires_grad: builtins.bool = False,
) -> Tensor:
    """Zeros, float32 without dtype."""
    shape, wanted = nonnegative(sizes(size)), to_numpy_dtype(dtype)
    return place(made_on(device, lambda xp: xp.zeros(shape, wanted)), None, requires_grad)


def ones(
    *size: Any,
    dtype: DType | None = None,
    device: device | str | None = None,
    requires_grad: builtins.bool = False,
) -> Tensor:
    """Ones, float32 without dtype."""
    shape, wanted = nonnegative(sizes(size)), to_numpy_dtype(dtype)
    return place(made_on(device, lambda xp: xp.ones(shape, wanted)), None, requires_grad)


def empty(
    *size: Any,
    dtype: DType | None = None,
    device: device | str | None = None,
    requires_grad: builtins.bool = False,
) -> Tensor:
    """A Tensor to write to before it is read. Its values are zeros, so that a mistake is the same in every run."""
    return zeros(*size, dtype=dtype, device=device, requires_grad=requires_grad)


def full_like(
    input: Tensor, fill_value: float, *, dtype: DType | None = None, device: device | str | None = None
) -> Tensor:
    """fill_value in the shape of input, in its dtype and on its device unless others are given."""
    y = full(input.shape, fill_value, dtype=dtype or input.dtype, device=device or input.device)
    y.array = laid_out_as(input.array, y.array)
    return y


def zeros_like(input: Tensor, *, dtype: DType | None = None, device: device | str | None = None) -> Tensor:
    """Zeros in the shape of input."""
    return full_like(input, 0, dtype=dtype, device=device)


def ones_like(input: Tensor, *, dtype: DType | None = None, device: device | str | None = None) -> Tensor:
    """Ones in the shape of input."""
    return full_like(input, 1, dtype=dtype, device=device)


def empty_like(input: Tensor, *, dtype: DType | None = None, device: device | str | None = None) -> Tensor:
    """A Tensor in the shape of input, to write to before it is read."""
    return zeros_like(input, dtype=dtype, device=device)


def eye(n: int, m: int | None = None, *, dtype: DType | None = None, device: device | str | None = None) -> Tensor:
    """The n × m matrix (n × n without m) with ones on the diagonal."""
    rows, columns = nonnegative((n, n if m is None else m))
    wanted = to_numpy_dtype(dtype)
    return place(made_on(device, lambda xp: xp.eye(rows, columns, dtype=wanted)), None, False)


def arange(
    start: float,
    end: float | None = None,
    step: float = 1,
    *,
    dtype: DType | None = None,
    device: device | str | None = None,
    requires_grad: builtins.bool = False,
) -> Tensor:
    """start, start + step, … below end; arange(n) counts from 0 to n − 1. int64 if all three are integers."""
    first, last = (0, start) if end is None else (start, end)
    if step == 0 or (last - first) * step < 0:
        raise RuntimeError(f"arange: from {first} to {last} there are no steps of {step}")
    whole = all(
        isinstance(x, (int, np.integer)) or (hasattr(x, "__index__") and not isinstance(x, float))
        for x in (first, last, step)
    )
    wanted = to_numpy_dtype(dtype, int64 if whole else float32)
    count = math.ceil((last - first) / step)
    if whole and wanted == np.int64:
        return place(
            made_on(device, lambda xp: xp.arange(first, first + count * step, step, wanted)), None, requires_grad
        )
    return place((first + np.arange(count) * step).astype(wanted), device, requires_grad)


def linspace(
    start: float, end: float, steps: int, *, dtype: DType | None = None, device: device | str | None = None
) -> Tensor:
    """`steps` numbers evenly spaced from start to end, both included."""
    nonnegative((steps,))
    return place(np.linspace(start, end, steps, dtype=to_numpy_dtype(dtype)), device, False)


__all__ = [
    "BoolTensor", "ByteTensor", "DoubleTensor", "FloatTensor", "HalfTensor", "IntTensor", "LongTensor", "arange",
    "as_tensor", "empty", "empty_like", "eye", "from_numpy", "full", "full_like", "linspace", "ones", "ones_like",
    "tensor", "zeros", "zeros_like",
]  # fmt: skip
