"""torch.cuda, for one GPU through CuPy. Without CuPy or a GPU, `is_available()` is False and the rest says why."""

from __future__ import annotations

from tinytensor import backend
from tinytensor.backend import synchronize
from tinytensor.random import manual_seed as seed_host
from tinytensor.subset import outside


def is_available() -> bool:
    """Whether CuPy is installed and finds a GPU."""
    try:
        backend.cupy()
    except RuntimeError:
        return False
    return True


def device_count() -> int:
    """The number of GPUs; 0 without CuPy."""
    return int(backend.cupy().cuda.runtime.getDeviceCount()) if is_available() else 0


def is_bf16_supported() -> bool:
    """False: NumPy and CuPy have no bfloat16."""
    return False


def manual_seed_all(seed: int) -> None:
    """Seed the generator of this thread, from whose seed GPUs draw dropout's masks; nothing without a GPU.

    PyTorch's seeds the GPUs alone. Here the other random numbers are drawn on the host for every device.
    """
    if is_available():
        seed_host(seed)


manual_seed = manual_seed_all


def empty_cache() -> None:
    """Give the memory that is free now back to the GPU; nothing without one."""
    if is_available():
        backend.cupy().get_default_memory_pool().free_all_blocks()


__all__ = [
    "device_count", "empty_cache", "is_available", "is_bf16_supported", "manual_seed", "manual_seed_all", "synchronize",
]  # fmt: skip

__getattr__ = outside("tinytensor.cuda", {"amp": "tinytensor.cuda.amp"})
