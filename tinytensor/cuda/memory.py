"""torch.cuda's memory: the bytes in use, their peak, and the error where none is left.

CuPy's pools know what is in use, and no peak. A peak rises where something is allocated, so that is where `counted` looks.
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
    """The memory of the GPU does not hold what was asked for: how much that was, and how much is in use."""


class Pools:
    """CuPy's default pool and those of MemPools, and the peak of what is in use in all of them together, by GPU."""

    def __init__(self, cp: ModuleType) -> None:
        self.cp = cp
        self.default = cp.get_default_memory_pool()
        self.all: list[Any] = [self.default]
        self.peak = dict.fromkeys(range(cp.cuda.runtime.getDeviceCount()), 0)
        self.lowest = 0  # of the peaks: below it none can rise

    def used(self) -> int:
        return sum([pool.used_bytes() for pool in self.all])

    def reserved(self) -> int:
        return sum([pool.total_bytes() for pool in self.all])

    def raise_peak(self, size: int) -> None:
        """Let the current GPU's peak be that size, if it is less."""
        gpu = self.cp.cuda.runtime.getDevice()
        self.peak[gpu] = max(size, self.peak[gpu])
        self.lowest = min(self.peak.values())

    def counted(self, pool: Any) -> Callable[[int], Any]:
        """The pool's malloc, which keeps the peak, and says in our words that there is no memory left."""
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
        """Try once more with what other pools have free; a private pool's free memory is still its graphs'."""
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
    """What is known of CuPy's pools. From the first call on allocations are counted, unless CuPy has another allocator."""
    found = Pools(cp)
    if cp.cuda.get_allocator() == found.default.malloc:
        cp.cuda.set_allocator(found.counted(found.default))
    return found


def in_words(size: int) -> str:
    """A number of bytes for people: 512 bytes, 1.50 KiB, 20.00 MiB …"""
    if size < 1024:
        return f"{size} bytes"
    power = min((size.bit_length() - 1) // 10, 4)
    return f"{size / 1024**power:,.2f} {('KiB', 'MiB', 'GiB', 'TiB')[power - 1]}"


# --------------------------------------------------------------------------------------------- statistics


def index_of(device: Where) -> int:
    """The number of a GPU: of the current one for None and "cuda". ValueError for a device that is no GPU."""
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
    """Bytes in use by tensors, in the blocks of 512 bytes that they are given; 0 without a GPU."""
    return _statistic(device, Pools.used)


def max_memory_allocated(device: Where = None) -> int:
    """The most bytes in use since the program began, or since reset_peak_memory_stats; 0 without a GPU."""
    return _statistic(device, lambda found: found.peak[current_device()])


def memory_reserved(device: Where = None) -> int:
    """Bytes taken from the GPU: those in use, and those that are kept to be used again; 0 without a GPU."""
    return _statistic(device, Pools.reserved)


def _statistic(device: Where, number: Callable[[Pools], int]) -> int:
    try:
        cp = devices.cupy()
    except RuntimeError:
        return 0
    with on(device):
        return number(pools(cp))


def reset_peak_memory_stats(device: Where = None) -> None:
    """From now on max_memory_allocated tells of what follows."""
    with on(device):
        found = pools(devices.cupy())
        found.peak[current_device()] = 0
        found.raise_peak(found.used())


def mem_get_info(device: Where = None) -> tuple[int, int]:
    """Bytes that are free on the GPU, for any program, and all that it has."""
    with on(device):
        free, total = devices.cupy().cuda.runtime.memGetInfo()
        return int(free), int(total)


def set_per_process_memory_fraction(fraction: float, device: Where = None) -> None:
    """Take no more than this share of the GPU's memory from it: beyond, OutOfMemoryError. ValueError outside of 0 … 1.

    A MemPool made later may take as much again.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"Invalid fraction value: {fraction}. Allowed range: 0~1")
    with on(device):
        size = int(fraction * mem_get_info()[1])
        pools(devices.cupy()).default.set_limit(size=max(size, 1))  # 0 would mean any


def empty_cache() -> None:
    """Give the memory that is free now back to the GPU, but for that of MemPools and graphs; nothing without one."""
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
    """Memory apart from everybody else's: what is freed in it is used again in it alone, as a CUDA graph needs it.

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
        """What stands for it where PyTorch wants a handle: itself."""
        return self


@contextmanager
def use_mem_pool(pool: MemPool) -> Iterator[None]:
    """A context in which this thread allocates in the pool."""
    with devices.cupy().cuda.using_allocator(pool.allocate):
        yield
