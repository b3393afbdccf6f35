"""Arrays that look as if they were on a GPU, and the little of CuPy that optimizers and clipping call on them.

A DeviceArray is no np.ndarray, and like CuPy's arrays it refuses to mix with one. `stand_in(monkeypatch)` puts a module
named cupy into sys.modules, so that what asks for the device, moves an array or makes one does it with these.
`recorder(monkeypatch, kernel)` registers a function in place of a kernel. It keeps how it was called.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

from tinytensor import dispatch


class Pointer(NamedTuple):
    """An address: so many bytes behind the beginning of an array."""

    host: np.ndarray
    offset: int = 0

    def __add__(self, offset: int) -> Pointer:  # type: ignore[override]
        return Pointer(self.host, self.offset + offset)


class DeviceArray(np.lib.mixins.NDArrayOperatorsMixin):
    """An array on the stand-in's only device. `host` is its memory, for a test to look at."""

    reads = 0  # how often a program waited for a value

    def __init__(self, host: Any, base: DeviceArray | None = None) -> None:
        self.host = np.asarray(host)
        self.base = base
        self.device = SimpleNamespace(id=0)

    dtype = property(lambda self: self.host.dtype)
    shape = property(lambda self: self.host.shape)
    strides = property(lambda self: self.host.strides)
    ndim = property(lambda self: self.host.ndim)
    size = property(lambda self: self.host.size)
    itemsize = property(lambda self: self.host.itemsize)
    flags = property(lambda self: self.host.flags)
    data = property(lambda self: Pointer(self.host))

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> DeviceArray:
        if out is not None:
            options["out"] = tuple(host(x) for x in out)
        result = getattr(ufunc, method)(*map(host, inputs), **options)
        return out[0] if out is not None else DeviceArray(result)

    def __getitem__(self, index: Any) -> DeviceArray:
        return DeviceArray(self.host[index if index is ... else (index, ...)], base=self)  # 0-d arrays, never scalars

    def __setitem__(self, index: Any, value: Any) -> None:
        self.host[index] = value.host if isinstance(value, DeviceArray) else value  # CuPy copies from the host here

    def astype(self, dtype: Any, order: str = "K", copy: bool = True) -> DeviceArray:
        return self if not copy and self.dtype == dtype else DeviceArray(self.host.astype(dtype))

    def copy(self, order: str = "C") -> DeviceArray:
        return DeviceArray(self.host.copy())

    def reshape(self, *shape: int) -> DeviceArray:
        return DeviceArray(self.host.reshape(*shape), base=self)

    def all(self) -> DeviceArray:
        return DeviceArray(self.host.all())

    def item(self) -> Any:
        DeviceArray.reads += 1
        return self.host.item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def get(self) -> np.ndarray:
        DeviceArray.reads += 1
        return self.host.copy()

    def __float__(self) -> float:
        return float(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())


DeviceArray.__module__ = "cupy"  # what array_module() and is_array() look at


def host(x: Any) -> Any:
    """What is behind x. TypeError for an array of NumPy, as from CuPy; numbers may be mixed with arrays."""
    if isinstance(x, np.ndarray):
        raise TypeError(f"Unsupported type {type(x)}")
    return x.host if isinstance(x, DeviceArray) else x


def stand_in(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Register a module named cupy. Set its `capturing` to pretend that a graph records the current stream."""
    module: Any = ModuleType("cupy")
    module.capturing = False
    module.cuda = SimpleNamespace(
        runtime=SimpleNamespace(getDeviceCount=lambda: 1, CUDARuntimeError=OSError),
        Device=lambda index: contextlib.nullcontext(),
        get_current_stream=lambda: SimpleNamespace(is_capturing=lambda: module.capturing),
    )

    def on_device(make: Callable[..., Any]) -> Callable[..., DeviceArray]:
        return lambda *args, **options: DeviceArray(make(*args, **options))

    for name in ("zeros", "ones", "full", "empty"):
        setattr(module, name, on_device(getattr(np, name)))
    module.asarray = lambda x: x if isinstance(x, DeviceArray) else DeviceArray(x.copy())
    module.zeros_like = lambda x, dtype=None: DeviceArray(np.zeros_like(x.host, dtype))
    module.ndarray = lambda shape, dtype, at, strides=None: DeviceArray(
        np.ndarray(shape, dtype, at.host, at.offset, strides)
    )
    module.stack = lambda arrays: DeviceArray(np.stack([x.host for x in arrays]))
    module.minimum = np.minimum
    module.linalg = SimpleNamespace(norm=lambda x, order: DeviceArray(np.linalg.norm(x.host, order)))
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setitem(dispatch.registered, "count_allocations", lambda cupy: None)
    monkeypatch.setitem(dispatch.registered, "replacement", lambda primitive, arrays, static: primitive)
    return module


def recorder(monkeypatch: pytest.MonkeyPatch, name: str, kernel: Callable[..., Any], then: Any) -> list[dict[str, Any]]:
    """Register under this name what notes its arguments, as `kernel` would name them, and calls then(**arguments)."""
    calls: list[dict[str, Any]] = []

    def record(*args: Any, **options: Any) -> Any:
        calls.append(dict(inspect.signature(kernel).bind(*args, **options).arguments))
        return then(**calls[-1])

    monkeypatch.setitem(dispatch.registered, name, record)
    return calls
