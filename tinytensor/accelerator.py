"""torch.accelerator: which GPU there is, whatever its make."""

from __future__ import annotations

from tinytensor.backend import device
from tinytensor.cuda import device_count, is_available, synchronize
from tinytensor.subset import outside


def current_accelerator() -> device | None:
    """device("cuda"), or None without a GPU."""
    return device("cuda") if is_available() else None


__all__ = ["current_accelerator", "device_count", "is_available", "synchronize"]

__getattr__ = outside("tinytensor.accelerator")
