"""Devices: where an array lies, and how to move it. Only this module imports CuPy, when a GPU is first needed.

A Tensor has no field for its device, `.device` reads it off the array.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from tinytensor.backend import Array
from tinytensor.dispatch import gpu


class device:
    """Where a Tensor lies: device("cpu"), device("cuda"), device("cuda:1")."""

    __slots__ = ("index", "type")
    type: str
    index: int | None

    def __init__(self, type: str | device, index: int | None = None) -> None:
        name, _, number = str(type).partition(":")
        if not isinstance(type, (str, device, int)):
            raise TypeError(f"a device must be a str such as 'cpu', not {type.__class__.__name__}")
        if name not in ("cpu", "cuda") or (number and not number.isdigit()):
            raise RuntimeError(f"expected a device like 'cpu', 'cuda' or 'cuda:0', not {type!r}")
        self.type = name
        self.index = int(number) if number else index

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        return f"device(type={self.type!r}" + ("" if self.index is None else f", index={self.index}") + ")"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))


CPU = device("cpu")


def device_of(x: Array) -> device:
    """The device that x lies on."""
    return CPU if isinstance(x, np.ndarray) else device("cuda", x.device.id)


def on_one_gpu(name: str, arrays: Sequence[Array | None]) -> bool:
    """Whether the arrays lie on a GPU; RuntimeError if they do not all lie on one device."""
    found = {device_of(x) for x in arrays if x is not None}
    if len(found) > 1:
        raise RuntimeError(
            f"{name}: expected all tensors on one device, found {' and '.join(sorted(map(str, found)))};"
            " move one with .to(device)"
        )
    return bool(found) and CPU not in found


def cupy() -> ModuleType:
    """The module CuPy. RuntimeError says in one line what is missing, and how to install it."""
    try:
        import cupy
    except ImportError:
        raise RuntimeError(
            "device 'cuda' needs CuPy, which is not installed: "
            "pip install 'cupy-cuda12x>=14', or 'cupy-cuda13x>=14' where nvidia-smi says CUDA 13"
        ) from None
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise RuntimeError(f"device 'cuda' needs an NVIDIA GPU and its driver; CUDA says: {error}") from None
    if count == 0:
        raise RuntimeError("device 'cuda' needs an NVIDIA GPU; CUDA finds none")
    gpu("count_allocations")(cupy)  # the first call starts to count
    return cupy  # type: ignore[no-any-return]


def to_device(x: Array, where: device | str | None) -> Array:
    """x on that device: x itself if it is there already, or if `where` is None; else a copy."""
    if where is None:
        return x
    where = where if isinstance(where, device) else device(where)
    if where.type == "cpu":
        return x if isinstance(x, np.ndarray) else x.get()
    xp = cupy()
    with xp.cuda.Device(where.index):
        return xp.asarray(x)


def made_on(where: device | str | None, make: Callable[[Any], Array]) -> Array:
    """The result of make(numpy) or make(cupy): it is made on that device, so nothing is copied. None is the CPU."""
    if where is None:
        return make(np)
    where = where if isinstance(where, device) else device(where)
    if where.type == "cpu":
        return make(np)
    xp = cupy()
    with xp.cuda.Device(where.index):
        return make(xp)
