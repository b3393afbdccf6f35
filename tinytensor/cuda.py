"""torch.cuda, for one GPU through CuPy. Without CuPy or a GPU, `is_available()` is False and the rest says why."""

from __future__ import annotations

from tinytensor import backend
from tinytensor.backend import synchronize
from tinytensor.random import manual_seed
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


def manual_seed_all(seed: int) -> None:
    """Seed the generator of this thread: random numbers are drawn on the host for every device.

    PyTorch's has streams per GPU; here it does what `tinytensor.manual_seed` does where there is a GPU, else nothing.
    """
    if is_available():
        manual_seed(seed)


__all__ = ["device_count", "is_available", "manual_seed_all", "synchronize"]

__getattr__ = outside("tinytensor.cuda")
