"""torch.cuda's memory: the bytes in use, their peak, and the error if none is left.

CuPy's pools count the bytes in use, but keep no peak. Only an allocation raises a peak, so `counted` updates it there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from tinytensor import devices
from tinytensor.devices import device as Device
from tinytensor.dispatch import on_gpu

Where = Device | int | str | None


class OutOfMemoryError(RuntimeError):
    """The GPU has too little memory. The message says how much was requested, and how much is in use."""


class Pools:
    """CuPy's default pool and those of MemPools, and for each GPU the peak of the bytes in use in all of them."""

    def __init__(self, cp: ModuleType) -> None:
        self.cp = cp
        self.default = cp.get_default_memory_pool()
        self.all: list[Any] = [self.default]
        self.peak = dict.fromkeys(range(cp.cuda.runtime.getDeviceCount()), 0)
        self.lowest = 0  # the lowest peak: a smaller sum raises none

    def used(self) -> int:
        return sum([pool.used_bytes() for pool in self.all])

    def reserved(self) -> int:
        return sum([pool.total_bytes() for pool in self.all])

    def raise_peak(self, size: int) -> None:
        """Raise the peak of the current GPU to size, if it is lower."""
        gpu = self.cp.cuda.runtime.getDevice()
        self.peak[gpu] = max(size, self.peak[gpu])
        self.lowest = min(self.peak.values())

    def counted(self, pool: Any) -> Callable[[int], Any]:
        """The malloc of the pool, which also updates the peak, and raises our OutOfMemoryError."""
        malloc, only, used = pool.malloc, self.default.used_bytes, self.used

        def allocate(size: int) -> Any:
            try:
                memory = malloc(size)
            except self.cp.cuda.memory.OutOfMemoryError:
                memory = self.again(pool, size)
            now = only() if len(self.all) == 1 else used()
            if now > self.lowest:
                self.raise_peak(now)
            return memory

        return allocate

    def again(self, pool: Any, size: int) -> Any:
        """Free unused memory of the default pool and try once more. That of a private pool belongs to its graphs."""
        if pool is not self.default:
            self.default.free_all_blocks()
            try:
                return pool.malloc(size)
            except self.cp.cuda.memory.OutOfMemoryError:
                pass
        free, total = self.cp.cuda.runtime.memGetInfo()
        limit = pool.get_limit()
        bound = f" The pool is limited to {in_words(limit)}." if limit else ""
        raise OutOfMemoryError(
            f"CUDA out of memory. Tried to allocate {in_words(size)}. GPU {self.cp.cuda.runtime.getDevice()} has"
            f" {in_words(total)}, of which {in_words(free)} are free. {in_words(self.used())} are in use by tensors,"
            f" {in_words(self.reserved() - self.used())} more are kept for reuse.{bound}"
        ) from None


@on_gpu("count_allocations")
@functools.cache
def pools(cp: ModuleType) -> Pools:
    """CuPy's pools. The first call starts to count allocations, unless CuPy has another allocator."""
    found = Pools(cp)
    if cp.cuda.get_allocator() == found.default.malloc:
        cp.cuda.set_allocator(found.counted(found.default))
    return found


def in_words(size: int) -> str:
    """A number of bytes as text: 512 bytes, 1.50 KiB, 20.00 MiB …"""
    if size < 1024:
        return f"{size} bytes"
    power = min((size.bit_length() - 1) // 10, 4)
    return f"{size / 1024**power:,.2f} {('KiB', 'MiB', 'GiB', 'TiB')[power - 1]}"


# --------------------------------------------------------------------------------------------- statistics


def index_of(device: Where) -> int:
    """The number of a GPU; None and "cuda" mean the current one. ValueError for a device that is no GPU."""
    if device is None:
        return current_device()
    if isinstance(device, int):
        return device
    where = Device(device)
    if where.type != "cuda":
        raise ValueError(f"Expected a cuda device, but got: {where}")
    return current_device() if where.index is None else where.index


def on(device: Where) -> Any:
    """A context in which that GPU is the current one."""
    return devices.cupy().cuda.Device(index_of(device))


def memory_allocated(device: Where = None) -> int:
    """Bytes in use by tensors, in blocks of 512 bytes; 0 without a GPU."""
    return _statistic(device, Pools.used)


def max_memory_allocated(device: Where = None) -> int:
    """The most bytes in use since the program began, or since reset_peak_memory_stats; 0 without a GPU."""
    return _statistic(device, lambda found: found.peak[current_device()])


def memory_reserved(device: Where = None) -> int:
    """Bytes taken from the GPU, in use or kept for reuse; 0 without a GPU."""
    return _statistic(device, Pools.reserved)


def _statistic(device: Where, number: Callable[[Pools], int]) -> int:
    try:
        cp = devices.cupy()
    except RuntimeError:
        return 0
    with on(device):
        return number(pools(cp))


def reset_peak_memory_stats(device: Where = None) -> None:
    """Set the peak of max_memory_allocated to the bytes in use now."""
    with on(device):
        found = pools(devices.cupy())
        found.peak[current_device()] = 0
        found.raise_peak(found.used())


def mem_get_info(device: Where = None) -> tuple[int, int]:
    """The free bytes of the GPU, for any program, and all of its bytes."""
    with on(device):
        free, total = devices.cupy().cuda.runtime.memGetInfo()
        return int(free), int(total)


def set_per_process_memory_fraction(fraction: float, device: Where = None) -> None:
    """Limit this process to a share of the GPU's memory; OutOfMemoryError beyond it. ValueError outside of 0 … 1.

    A MemPool made later may take as much again.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"Invalid fraction value: {fraction}. Allowed range: 0~1")
    with on(device):
        size = int(fraction * mem_get_info()[1])
        pools(devices.cupy()).default.set_limit(size=max(size, 1))  # 0 would mean no limit


def empty_cache() -> None:
    """Return unused memory to the GPU, except that of MemPools and graphs. Without a GPU, do nothing."""
    try:
        cp = devices.cupy()
    except RuntimeError:
        return
    pools(cp).default.free_all_blocks()


def current_device() -> int:
    """The number of the GPU that new tensors on "cuda" lie on."""
    return int(devices.cupy().cuda.runtime.getDevice())


# ------------------------------------------------------------------------------------------ private pools


class MemPool:
    """A separate pool: only the pool itself reuses memory that is freed in it, as a CUDA graph needs it.

    `with use_mem_pool(pool):` allocates there; `graph(g, pool=pool.id)` records there.
    """

    def __init__(self) -> None:
        found = pools(devices.cupy())
        self._pools, self._pool = found, found.cp.cuda.MemoryPool()
        self._pool.set_limit(size=found.default.get_limit())
        found.all.append(self._pool)
        self.allocate = found.counted(self._pool)

    def __del__(self) -> None:
        if hasattr(self, "_pool"):
            self._pools.all.remove(self._pool)

    @property
    def id(self) -> MemPool:
        """The handle that PyTorch's functions take: here the pool itself."""
        return self


@contextmanager
def use_mem_pool(pool: MemPool) -> Iterator[None]:
    """A context in which this thread allocates in the pool."""
    with devices.cupy().cuda.using_allocator(pool.allocate):
        yield
