"""torch.accelerator: functions of torch.cuda under names for any kind of accelerator."""

from __future__ import annotations

from tinytensor.cuda import (
    current_device,
    current_stream,
    device_count,
    empty_cache,
    is_available,
    max_memory_allocated,
    memory_allocated,
    memory_reserved,
    reset_peak_memory_stats,
    set_device,
    synchronize,
)
from tinytensor.devices import device
from tinytensor.subset import outside


def current_accelerator() -> device | None:
    """device("cuda"), or None without a GPU."""
    return device("cuda") if is_available() else None


current_device_index, set_device_index = current_device, set_device

__all__ = [
    "current_accelerator", "current_device_index", "current_stream", "device_count", "empty_cache", "is_available",
    "max_memory_allocated", "memory_allocated", "memory_reserved", "reset_peak_memory_stats", "set_device_index",
    "synchronize",
]  # fmt: skip

__getattr__ = outside("tinytensor.accelerator")
