"""torch.cuda, for one GPU through CuPy. Without CuPy or a GPU, is_available() is False and the rest raises errors."""

from __future__ import annotations

from types import SimpleNamespace

from tinytensor import devices
from tinytensor.cuda.graphs import CUDAGraph, graph, graph_pool_handle, is_current_stream_capturing
from tinytensor.cuda.memory import (
    MemPool,
    OutOfMemoryError,
    Where,
    current_device,
    empty_cache,
    index_of,
    max_memory_allocated,
    mem_get_info,
    memory_allocated,
    memory_reserved,
    reset_peak_memory_stats,
    set_per_process_memory_fraction,
    use_mem_pool,
)  # fmt: skip
from tinytensor.cuda.streams import Event, Stream, current_stream, default_stream, stream, synchronize
from tinytensor.random import manual_seed as seed_host
from tinytensor.subset import outside


def is_available() -> bool:
    """Whether CuPy is installed and finds a GPU."""
    try:
        devices.cupy()
    except RuntimeError:
        return False
    return True


def device_count() -> int:
    """The number of GPUs; 0 without CuPy."""
    return int(devices.cupy().cuda.runtime.getDeviceCount()) if is_available() else 0


def set_device(device: Where) -> None:
    """Make that GPU the current one, on which new tensors on "cuda" lie."""
    devices.cupy().cuda.Device(index_of(device)).use()


def get_device_properties(device: Where = None) -> SimpleNamespace:
    """name, major and minor (the compute capability), total_memory, multi_processor_count and warp_size of a GPU."""
    found = devices.cupy().cuda.runtime.getDeviceProperties(index_of(device))
    return SimpleNamespace(
        name=found["name"].decode(), major=found["major"], minor=found["minor"], total_memory=found["totalGlobalMem"],
        multi_processor_count=found["multiProcessorCount"], warp_size=found["warpSize"],
    )  # fmt: skip


def get_device_name(device: Where = None) -> str:
    """The name of a GPU."""
    return str(get_device_properties(device).name)


def get_device_capability(device: Where = None) -> tuple[int, int]:
    """The compute capability of a GPU: (8, 0) for an A100."""
    found = get_device_properties(device)
    return found.major, found.minor


def is_bf16_supported() -> bool:
    """False: NumPy and CuPy have no bfloat16."""
    return False


def manual_seed_all(seed: int) -> None:
    """Seed the generator of this thread, and with it the masks of dropout on GPUs. Without a GPU, do nothing.

    PyTorch seeds the GPUs alone. Here the host draws all other random numbers, for every device.
    """
    if is_available():
        seed_host(seed)


manual_seed = manual_seed_all

__all__ = [
    "CUDAGraph", "Event", "MemPool", "OutOfMemoryError", "Stream", "current_device", "current_stream", "default_stream",
    "device_count", "empty_cache", "get_device_capability", "get_device_name", "get_device_properties", "graph",
    "graph_pool_handle", "is_available", "is_bf16_supported", "is_current_stream_capturing", "manual_seed",
    "manual_seed_all", "max_memory_allocated", "mem_get_info", "memory_allocated", "memory_reserved",
    "reset_peak_memory_stats", "set_device", "set_per_process_memory_fraction", "stream", "synchronize", "use_mem_pool",
]  # fmt: skip

__getattr__ = outside("tinytensor.cuda", {"amp": "tinytensor.cuda.amp"})
