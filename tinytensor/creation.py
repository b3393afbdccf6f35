"""Functions that create Tensors: from data, filled with a number, or as a range.

Common arguments: `dtype` is a tinytensor.dtype (default: float32 for floats, int64 for integers), `device` "cpu" or
"cuda", `requires_grad` whether backward accumulates a gradient in `.grad`. Sizes are f(2, 3) or f((2, 3)).
"""

from __future__ import annotations

import builtins
import functools
import math
from collections.abc import Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.backend import Array, as_array, is_array
from tinytensor.base import TensorBase, is_tensor, wrap
from tinytensor.devices import device, made_on, to_device
from tinytensor.dtypes import bool as bool_dtype
from tinytensor.dtypes import (
    converted,
    float16,
    float32,
    float64,
    from_numpy_dtype,
    int32,
    int64,
    number_dtype,
    promote,
    to_numpy_dtype,
    uint8,
)  # fmt: skip
from tinytensor.dtypes import dtype as DType
from tinytensor.functions.dims import Omitted, nonnegative, sizes
from tinytensor.layout import copy, laid_out_as
from tinytensor.modes import thread
from tinytensor.writes import alias

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor

ABSENT: Any = object()  # the default of an argument that may be left out, but not be None


def place(array: Array, where: device | str | None, requires_grad: builtins.bool) -> Tensor:
    """A Tensor on this array, moved to a device (None: not moved)."""
    x = wrap(array if where is None else to_device(as_array(array), where))
    if not requires_grad:
        return x
    x._requires_grad = True  # it is new, so that no view of it is older
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

    Without dtype: arrays, Tensors and NumPy's numbers keep theirs, also in lists; Python floats become float32, integers
    int64, bools bool. ValueError for lists of unequal lengths, TypeError or RuntimeError for anything but numbers.
    """
    wanted = None if dtype is None else to_numpy_dtype(dtype)
    if isinstance(data, TensorBase):
        array = data.array
    elif is_array(data):
        array = data
    elif isinstance(data, np.generic):
        array = data if wanted is None or wanted.kind not in "iu" else converted(data.item(), wanted)
    else:
        array, wanted = _from_lists(data, wanted)
    wanted = array.dtype if wanted is None else wanted
    if array.dtype.kind not in "biuf":
        raise TypeError(f"tensor: expected numbers, got {type(data).__name__} of {array.dtype}")
    from_numpy_dtype(wanted)
    # without a warning (modes.py) of nan as an integer, or of a number that is too large
    return place(thread.mode.run(copy, array, wanted), device, requires_grad)


_NUMBERS = frozenset({builtins.float, builtins.int, builtins.bool})
_LISTS = frozenset({list, tuple})


def _from_lists(data: Any, wanted: np.dtype[Any] | None) -> tuple[Array, np.dtype[Any]]:
    """Numbers or nested lists as an array, and the dtype that is wanted, or else that of all of them together."""
    level, types, whole = [data], {type(data)}, wanted if wanted is not None and wanted.kind in "iu" else None
    while types <= _LISTS and level:  # the types of the numbers, without a walk in Python from one to the next
        level = [*chain.from_iterable(level)]
        types = {*map(type, level)}
    found = float32.numpy  # the highest kind of number; of none as well
    if builtins.float not in types and not types.isdisjoint(_NUMBERS):
        found = int64.numpy if builtins.int in types else bool_dtype.numpy
    if not types <= _NUMBERS:
        dtypes: set[np.dtype[Any]] = set()
        data = _plain(data, dtypes, wanted)
        found = functools.reduce(promote, dtypes) if dtypes else float32.numpy
    try:
        array = np.array(data, np.float64 if found.kind == "f" else found)
    except OverflowError:
        raise ValueError(f"tensor: a number of the {type(data).__name__} is too large for {found}") from None
    except ValueError as error:
        raise ValueError(f"tensor: nested lists must have equal lengths ({error})") from None
    if whole is not None and found.kind == "f":  # each number for itself: among floats and integers, some may not fit
        array = np.array(_converted(data, whole), whole)
    elif whole is not None and array.size:
        _converted([array.min().item(), array.max().item()], whole)
    return array, found if wanted is None else wanted


def _converted(data: Any, d: np.dtype[Any]) -> Any:
    """Numbers in nested lists in this dtype; RuntimeError for one that does not fit."""
    return [_converted(x, d) for x in data] if isinstance(data, (list, tuple)) else converted(data, d)


def _plain(data: Any, dtypes: set[np.dtype[Any]], wanted: np.dtype[Any] | None, first: builtins.bool = False) -> Any:
    """data as numbers and lists; what dtypes they have is added to `dtypes`. A Tensor of one element is a number."""
    if isinstance(data, TensorBase):
        if data.array.size != 1:
            error = ValueError if data.array.dtype.kind == "f" else TypeError
            raise error(f"tensor: a Tensor in a list has one element, not shape {data.array.shape}; see stack()")
        if wanted is not None and wanted.kind != "f" and data.array.dtype.kind == "f":
            raise TypeError(f"tensor: a {data.array.dtype} Tensor in a list does not become an integer; cast it first")
        dtypes.add(data.array.dtype)
        return data.array.item()
    if isinstance(data, (np.generic, builtins.bool, builtins.int, builtins.float)):
        dtypes.add(data.dtype if isinstance(data, np.generic) else number_dtype(data))
        return data.item() if isinstance(data, np.generic) else data
    if is_array(data) and data.ndim:
        dtypes.add(data.dtype)
        return data.tolist()
    if isinstance(data, (str, bytes)):
        raise (ValueError if first else TypeError)(f"tensor: expected numbers, got {data!r}")
    if isinstance(data, complex):
        raise TypeError(f"tensor: complex numbers such as {data} are outside tinytensor's subset")
    if is_array(data) or isinstance(data, (dict, set)) or not hasattr(data, "__getitem__"):
        raise (RuntimeError if wanted is None and not is_array(data) else TypeError)(
            f"tensor: could not infer the dtype of {type(data).__name__}"
        )
    items = [_plain(x, dtypes, wanted, i == 0) for i, x in enumerate(data)]
    if len({isinstance(x, list) for x in items}) > 1:
        raise TypeError("tensor: a list holds numbers and lists beside each other; use one or the other")
    return items


def _of_type(name: str, dtype: DType) -> Callable[..., Tensor]:
    def make(*data: Any) -> Tensor:
        if len(data) == 1 and not isinstance(data[0], int):
            if not isinstance(data[0], (tuple, list, TensorBase, np.ndarray)):
                raise TypeError(f"{name}: data must be a sequence, not {data[0]!r}; see tensor()")
            if is_tensor(data[0]) and data[0].dtype is not dtype:
                raise TypeError(f"{name} takes a {dtype} Tensor, not {data[0].dtype}; cast it with .to()")
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
    """A Tensor on the memory of the array. TypeError for anything else, and for a dtype outside the subset.

    ValueError for a field of a packed structure.
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    from_numpy_dtype(ndarray.dtype)
    if not ndarray.flags.c_contiguous and any(stride % ndarray.itemsize for stride in ndarray.strides):
        raise ValueError("given numpy array strides not a multiple of the element byte size. Use its .copy()")
    # Its own base: nothing that happens to another Tensor on this memory is its history, and a memory has one dtype.
    return wrap(alias(ndarray))


def whole_shape(size: Any) -> tuple[int, ...]:
    """The sizes of f(2, 3) or f((2, 3)); TypeError for none, and for one beyond 64 bits; RuntimeError below 0."""
    if size == ():
        raise TypeError("missing 1 required positional argument: 'size'; () makes a Tensor without dimensions")
    shape = sizes(size)
    if shape and max(shape) >= 2**63:
        raise TypeError(f"a size has at most 63 bits, but the shape is {shape}")
    return nonnegative(shape)


def _filled(
    size: Any, number: float, wanted: np.dtype[Any], where: device | str | None, requires_grad: builtins.bool
) -> Tensor:
    """A Tensor of this shape and dtype that holds the number. RuntimeError if it needs too much memory."""
    shape = whole_shape(size)
    value = (
        number if type(number) is builtins.int and 0 <= number <= 1 else converted(number, wanted)
    )  # all dtypes have 0 and 1
    try:
        return place(made_on(where, lambda xp: _full(xp, shape, value, wanted)), None, requires_grad)
    except (MemoryError, ValueError):
        raise RuntimeError(f"not enough memory for {wanted} of shape {shape}") from None


def _full(xp: Any, shape: tuple[int, ...], value: Any, dtype: np.dtype[Any]) -> Array:
    if value == 0:
        return xp.zeros(shape, dtype)
    y = xp.empty(shape, dtype)  # as xp.full, which takes three times as long
    y.fill(value)
    return y


def _number(name: str, x: Any) -> Any:
    """A number that may be NumPy's, or in a 0-dimensional Tensor, as Python's; its gradient would be lost."""
    if isinstance(x, TensorBase) and (x.array.ndim or x._requires_grad):
        raise TypeError(f"{name}() takes numbers and 0-dimensional Tensors without a gradient, not {x}")
    return x.array.item() if isinstance(x, TensorBase) else x.item() if isinstance(x, np.generic) else x


def full(
    size: Sequence[int],
    fill_value: float,
    *,
    dtype: DType | None = None,
    device: device | str | None = None,
    requires_grad: builtins.bool = False,
) -> Tensor:
    """A Tensor of shape size, filled with fill_value; without dtype, in the dtype of the number."""
    number = _number("full", fill_value)
    wanted = number_dtype(number) if dtype is None else to_numpy_dtype(dtype)
    return _filled((size,), number, wanted, device, requires_grad)


def zeros(
    *size: Any,
    dtype: DType | None = None,
    device: device | str | None = None,
    requires_grad: builtins.bool = False,
) -> Tensor:
    """Zeros, float32 without dtype."""
    return _filled(size, 0, to_numpy_dtype(dtype), device, requires_grad)


def ones(
    *size: Any,
    dtype: DType | None = None,
    device: device | str | None = None,
    requires_grad: builtins.bool = False,
) -> Tensor:
    """Ones, float32 without dtype."""
    return _filled(size, 1, to_numpy_dtype(dtype), device, requires_grad)


def empty(
    *size: Any,
    dtype: DType | None = None,
    device: device | str | None = None,
    requires_grad: builtins.bool = False,
) -> Tensor:
    """A Tensor to write to before it is read. Its values are zeros, so that a mistake is the same in every run."""
    return zeros(*size, dtype=dtype, device=device, requires_grad=requires_grad)


def full_like(
    input: Tensor,
    fill_value: float,
    *,
    dtype: DType | None = None,
    device: device | str | None = None,
    requires_grad: builtins.bool = False,
) -> Tensor:
    """fill_value in the shape of input, in its dtype and on its device unless others are given."""
    dtype, device = dtype or input.dtype, device or input.device
    return placed_as(
        input, full(tuple(input.shape), fill_value, dtype=dtype, device=device, requires_grad=requires_grad)
    )


def placed_as(input: Tensor, y: Tensor) -> Tensor:
    """y, which was made just now, in the memory order of input."""
    y.array = laid_out_as(input.array, y.array)
    return y


def zeros_like(
    input: Tensor,
    *,
    dtype: DType | None = None,
    device: device | str | None = None,
    requires_grad: builtins.bool = False,
) -> Tensor:
    """Zeros in the shape of input."""
    return full_like(input, 0, dtype=dtype, device=device, requires_grad=requires_grad)


def ones_like(
    input: Tensor,
    *,
    dtype: DType | None = None,
    device: device | str | None = None,
    requires_grad: builtins.bool = False,
) -> Tensor:
    """Ones in the shape of input."""
    return full_like(input, 1, dtype=dtype, device=device, requires_grad=requires_grad)


def empty_like(
    input: Tensor,
    *,
    dtype: DType | None = None,
    device: device | str | None = None,
    requires_grad: builtins.bool = False,
) -> Tensor:
    """A Tensor in the shape of input, to write to before it is read."""
    return zeros_like(input, dtype=dtype, device=device, requires_grad=requires_grad)


def new_full(
    self: Tensor,
    size: Sequence[int],
    fill_value: float,
    *,
    dtype: DType | None = None,
    device: device | str | None = None,
    requires_grad: builtins.bool = False,
) -> Tensor:
    """fill_value in this shape, in the dtype and on the device of self unless others are given."""
    dtype, device = dtype or self.dtype, device or self.device
    return full(size, fill_value, dtype=dtype, device=device, requires_grad=requires_grad)


def new_zeros(
    self: Tensor,
    *size: Any,
    dtype: DType | None = None,
    device: device | str | None = None,
    requires_grad: builtins.bool = False,
) -> Tensor:
    """Zeros, in the dtype and on the device of self unless others are given."""
    return new_full(self, whole_shape(size), 0, dtype=dtype, device=device, requires_grad=requires_grad)


def new_ones(
    self: Tensor,
    *size: Any,
    dtype: DType | None = None,
    device: device | str | None = None,
    requires_grad: builtins.bool = False,
) -> Tensor:
    """Ones, in the dtype and on the device of self unless others are given."""
    return new_full(self, whole_shape(size), 1, dtype=dtype, device=device, requires_grad=requires_grad)


def eye(
    n: int,
    m: int | Omitted = None,
    *,
    dtype: DType | None = None,
    device: device | str | None = None,
    requires_grad: builtins.bool = False,
) -> Tensor:
    """The n × m matrix (n × n without m) with ones on the diagonal."""
    rows, columns = whole_shape((n, n if m is None else m))
    wanted = to_numpy_dtype(dtype)
    return place(made_on(device, lambda xp: xp.eye(rows, columns, dtype=wanted)), None, requires_grad)


def arange(
    start: float = ABSENT,
    end: float = ABSENT,
    step: float = ABSENT,
    *,
    dtype: DType | None = None,
    device: device | str | None = None,
    requires_grad: builtins.bool = False,
) -> Tensor:
    """start, start + step, … below end; arange(n) counts from 0 to n − 1. int64 if all three are integers.

    For an integer dtype, start and step lose their decimals first. RuntimeError for a step of 0, or away from end.
    """
    if ABSENT in (start, end) and (step is not ABSENT or start is end):
        raise TypeError("arange takes end, or start and end, or start, end and step")
    given = (0, start, 1) if end is ABSENT else (0 if start is ABSENT else start, end, 1 if step is ABSENT else step)
    first, last, by = [x if type(x) is builtins.int else _number("arange", x) for x in given]
    whole = isinstance(first, builtins.int) and isinstance(last, builtins.int) and isinstance(by, builtins.int)
    wanted = to_numpy_dtype(dtype, int64 if whole else float32)
    if wanted.kind == "b":
        raise NotImplementedError("arange: not implemented for bools; make integers, and call .bool()")
    if not (math.isfinite(first) and math.isfinite(last) and (by > 0 <= last - first or by < 0 >= last - first)):
        raise RuntimeError(f"arange: from {first} to {last} there are no steps of {by}")
    count = math.ceil((last - first) / by)
    if wanted.kind == "f":  # in as many digits as there are, then rounded once
        up = thread.mode.run(lambda: (first + np.arange(count) * np.longdouble(by)).astype(wanted))  # beyond float16
        return place(up, device, requires_grad)
    if not whole or max(abs(first), abs(last), abs(by)) >= 2**63:
        first, last, by = (converted(x, int64.numpy).item() for x in (first, last, by))
    low, high, stride = first, last, by
    if wanted == int64.numpy:
        if stride == 0:
            raise ValueError(f"arange: a step of {by} is 0 as an integer")
        count = max(0, -((low - high) // stride))
    return place(
        made_on(device, lambda xp: _whole_range(xp, low, count, stride).astype(wanted, copy=False)), None, requires_grad
    )


def _whole_range(xp: Any, low: builtins.int, count: builtins.int, stride: builtins.int) -> Array:
    """low, low + stride, … in int64. NumPy and CuPy count them wrong for an end near 2⁶³, or a huge stride."""
    if stride == 1 and low + count < 2**63:
        return xp.arange(low, low + count, dtype=np.int64)  # one launch
    return low + xp.arange(count, dtype=np.int64) * stride


def linspace(
    start: float | Tensor,
    end: float | Tensor,
    steps: int,
    *,
    dtype: DType | None = None,
    device: device | str | None = None,
    requires_grad: builtins.bool = False,
) -> Tensor:
    """`steps` numbers evenly spaced from start to end, both included; the first half counts up, the second down.

    For an integer dtype all three lose their decimals: the ends first, then each number.
    """
    wanted, (n,) = to_numpy_dtype(dtype), whole_shape((steps,))
    if wanted.kind == "b" and n > 1:
        raise NotImplementedError("linspace: not implemented for bools; make numbers, and call .bool()")
    for x in (start, end):
        if isinstance(x, TensorBase) and x.ndim:
            raise RuntimeError(
                f"linspace: start and end are numbers or 0-dimensional Tensors, not {x.ndim}-dimensional"
            )
    needed = (start, end)[:n] if n < 2 else (start, end)  # one number is start, and end may be anything
    ends = [converted(x.item() if hasattr(x, "item") else x, wanted) for x in needed] or [0]
    narrow = wanted.type if wanted.kind == "f" else np.float64  # what the step is rounded to …
    wide = {np.float64: np.longdouble, np.float32: np.float64}.get(narrow, narrow)  # … and low + step · i computed in
    with np.errstate(all="ignore"):  # ∞ − ∞
        low, high = (narrow(x) for x in (ends[0], ends[-1]))
        step, up = wide((high - low) / narrow(max(n - 1, 1))), np.arange(n).astype(wide)
        values = np.where(up < n // 2, low + step * up, high - step * up[::-1]).astype(narrow)
        values = np.full(n, low) if n == 1 else values
        return place(values.astype(wanted if wanted.kind == "f" else np.int64).astype(wanted), device, requires_grad)


__all__ = [
    "BoolTensor", "ByteTensor", "DoubleTensor", "FloatTensor", "HalfTensor", "IntTensor", "LongTensor", "arange",
    "as_tensor", "empty", "empty_like", "eye", "from_numpy", "full", "full_like", "linspace", "ones", "ones_like",
    "tensor", "zeros", "zeros_like",
]  # fmt: skip
