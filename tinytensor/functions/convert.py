"""Conversions of a Tensor: to numbers, arrays, other dtypes, other devices, other libraries."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor import formats
from tinytensor.base import is_tensor, wrap
from tinytensor.devices import device as Device
from tinytensor.devices import to_device
from tinytensor.dtypes import bool as bool_dtype
from tinytensor.dtypes import dtype as DType
from tinytensor.dtypes import float16, float32, float64, int32, int64, to_numpy_dtype, uint8
from tinytensor.functions.inplace import in_format
from tinytensor.functions.operands import cast, only_tensors
from tinytensor.functions.signature import told
from tinytensor.histories import flat_copy, place_of
from tinytensor.modes import is_grad_enabled
from tinytensor.writes import owner, same_memory

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor


# ------------------------------------------------------------------------------------------ to Python


def item(self: Tensor) -> Any:
    """The only element as a Python number. RuntimeError if there are more."""
    if self.array.size != 1:
        raise RuntimeError(f"a Tensor with {self.array.size} elements cannot be converted to Scalar")
    return self.array.item()


def tolist(self: Tensor) -> Any:
    """Nested lists of Python numbers; a number for 0 dimensions."""
    return self.array.tolist()


def to_float(self: Tensor) -> float:
    """float(x) of the only element."""
    return float(_only(self))


def to_int(self: Tensor) -> int:
    """int(x) of the only element."""
    return int(_only(self))


def _only(self: Tensor) -> Any:
    if self.array.size != 1:
        raise ValueError(f"only one element tensors can be converted to Python scalars, not {self.array.size} elements")
    return self.array.item()


def to_index(self: Tensor) -> int:
    """The only element as an index of a list, or as a size."""
    if self.array.dtype.kind == "f" or self.array.size != 1:
        raise TypeError("only integer tensors of a single element can be converted to an index")
    return int(self.array.item())


def to_bool(self: Tensor) -> bool:
    """bool(x) of the only element."""
    if self.array.size != 1:
        raise RuntimeError(f"Boolean value of Tensor with {self.array.size} values is ambiguous; use .any() or .all()")
    return bool(self.array.item())


def formatted(self: Tensor, spec: str) -> str:
    """What an f-string shows: a Tensor without dimensions as its number."""
    if spec and self.array.ndim:
        raise TypeError(
            f"a format like {spec!r} takes one number: a Tensor of shape {self.array.shape} has none or more"
        )
    return repr(self) if self.array.ndim else format(item(self), spec)


# ------------------------------------------------------------------------------- to other libraries


def numpy(self: Tensor, *, force: bool = False) -> np.ndarray[Any, Any]:
    """The array itself. RuntimeError if it requires grad (call .detach()); TypeError on a GPU (call .cpu()).

    force: no error; from a GPU a copy on the host.
    """
    if force:
        return cpu(self).array  # type: ignore[no-any-return]
    if self._requires_grad:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
    if not isinstance(self.array, np.ndarray):
        raise TypeError("can't convert cuda device type tensor to numpy. Use Tensor.cpu() to copy it to the host.")
    return self.array


def to_array(self: Tensor, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
    """What np.asarray(x) calls."""
    return np.array(numpy(self), dtype, copy=copy)


class DLDeviceType(enum.IntEnum):
    """DLPack's numbers for the kinds of devices that exist here."""

    kDLCPU = 1
    kDLCUDA = 2
    kDLCUDAHost = 3  # the host's memory, pinned
    kDLCUDAManaged = 13


def dlpack(
    self: Tensor,
    *,
    stream: int | None = None,
    max_version: tuple[int, int] | None = None,
    dl_device: tuple[int, int] | None = None,
    copy: bool | None = None,
) -> Any:
    """A DLPack capsule, which lets another library use this memory without a copy: `from_dlpack(t)`.

    stream: on a GPU, the CUDA number of the stream that will read (−1: do not wait for it). BufferError if the Tensor
    requires grad or has a negative stride, which PyTorch does not support.
    """
    if self._requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    if any(stride < 0 for stride in self.array.strides):
        raise BufferError("Can't export tensors with a negative stride, use tensor.clone()")
    if isinstance(self.array, np.ndarray) and stream == -1:
        stream = None  # there is nothing to wait for
    return self.array.__dlpack__(stream=stream, max_version=max_version, dl_device=dl_device, copy=copy)


def dlpack_device(self: Tensor) -> tuple[int, int]:
    """DLPack's number for the kind of device (1 for a CPU, 2 for a GPU), and the number of the device."""
    kind, index = self.array.__dlpack_device__()
    return DLDeviceType(kind), int(index)


def deepcopied(self: Tensor, memo: dict[int, Any]) -> Tensor:
    """What copy.deepcopy calls: returns a leaf. RuntimeError for a result.

    What shares memory with it, and is copied in the same call, shares the memory of the copy.
    """
    if self._node is not None:
        raise RuntimeError("only leaf Tensors (made by the user) can be deep-copied; use .detach().clone()")
    memory = owner(self.array)
    memory = memory if memory.dtype == self.array.dtype else same_memory(self.array)
    key: Any = ("memory", id(memory))
    if key not in memo:  # the whole memory, as in PyTorch: views of it that follow shall be views of the copy
        memo[key] = flat_copy(memory)
    twin = memo[id(self)] = object.__new__(type(self))
    twin.array = place_of(self.array, memory).of(memo[key])
    twin._node, twin._requires_grad = None, self._requires_grad
    twin.grad = None if self.grad is None else self.grad.clone()
    return twin


# ------------------------------------------------------------------------- to other dtypes and devices


def to(
    self: Tensor,
    *args: Any,
    device: Device | str | None = None,
    dtype: DType | None = None,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format: formats.memory_format | None = None,
) -> Tensor:
    """Move to a device, cast to a dtype, or match another Tensor: to("cuda"), to(float64), to(other).

    Returns self if nothing changes, unless copy. non_blocking is a hint, for copies between devices.
    memory_format: contiguous_format for a result that lies row by row in memory.
    """
    if args:
        place, kind, flags = _destination(*args)
        device, dtype = device if place is None else place, kind or dtype
        copy = flags[1] if len(flags) > 1 else copy  # the first is non_blocking
    x = self if dtype is None else cast(self, to_numpy_dtype(dtype))
    moved = to_device(x.array, device)
    if moved is not x.array:
        if is_grad_enabled() and x.requires_grad and x._node is not None:
            raise NotImplementedError("moving a result between devices has no gradient here; move the leaves first")
        x, x.requires_grad = wrap(moved), x.requires_grad
    x = x.clone() if copy and x is self else x
    return _in_format(x, self, memory_format)


_DTYPES: Any = (DType, type)  # float is one as well


def _destination(first: Any, *more: Any) -> tuple[Any, DType | None, tuple[bool, ...]]:
    """Device, dtype and the flags non_blocking and copy of to(dtype, …), to(other, …) or to(device, dtype, …)."""
    given, device, dtype = (first, *more), None, first
    if is_tensor(first):
        device, dtype = first.device, first.dtype
    elif not isinstance(first, _DTYPES):
        device, dtype, more = first, (*more, None)[0], more[1:]
    kinds = isinstance(dtype, (*_DTYPES, type(None))) and not isinstance(device, bool)
    if not kinds or len(more) > 2 or not all(isinstance(flag, bool) for flag in more):
        raise TypeError(f"to() takes a dtype, a Tensor or a device and a dtype, then two flags, not {told(given)}")
    return device, dtype, more


def _in_format(x: Tensor, before: Tensor, memory_format: formats.memory_format | None) -> Tensor:
    """x in a memory format, unless it is the Tensor of before, which PyTorch returns in any order of memory."""
    if memory_format is None:
        return x
    y = in_format(x, memory_format)  # also if it is not used: NotImplementedError for channels_last
    return x if x is before else y


def cpu(self: Tensor) -> Tensor:
    """On the host."""
    return to(self, "cpu")


def cuda(self: Tensor) -> Tensor:
    """On the GPU. RuntimeError says what is missing: CuPy, or a GPU."""
    return to(self, "cuda")


def _cast_to(dtype: DType) -> Callable[..., Tensor]:
    def cast_to(self: Tensor, *, memory_format: formats.memory_format | None = None) -> Tensor:
        return _in_format(cast(self, dtype.numpy), self, memory_format)

    cast_to.__name__ = cast_to.__qualname__ = f"as_{dtype.name}"
    cast_to.__doc__ = f"As {dtype.name}; row by row in memory if memory_format is contiguous_format."
    return cast_to


as_float32, as_float64, as_float16 = _cast_to(float32), _cast_to(float64), _cast_to(float16)
as_int64, as_int32, as_uint8, as_bool = _cast_to(int64), _cast_to(int32), _cast_to(uint8), _cast_to(bool_dtype)


OLDER_NAMES = {
    float32: "Float", float64: "Double", float16: "Half", uint8: "Byte", int32: "Int", int64: "Long", bool_dtype: "Bool"
}  # fmt: skip


def as_type(self: Tensor, dtype: DType | str | None = None) -> Any:
    """Cast to a dtype or its older name, such as "torch.LongTensor". Without one, return that of self.dtype."""
    names = {d: f"torch.{name}Tensor" for d, name in OLDER_NAMES.items()}
    if dtype is None:
        return names[self.dtype].replace("torch.", "torch.cuda." if self.is_cuda else "torch.")
    wanted = next((d for d in names if dtype in (d, names[d])), None)
    if wanted is None:
        raise ValueError(f"type: {dtype!r} is outside tinytensor's subset; known are {', '.join(names.values())}")
    return cast(self, wanted.numpy)


def type_as(self: Tensor, other: Tensor) -> Tensor:
    """In the dtype and on the device of other."""
    only_tensors("type_as", other)
    return to(self, other)


def pin_memory(self: Tensor) -> Tensor:
    """Return self: here copies to a GPU need no pinned memory."""
    return self
