"""Memory that many arrays share, and what the system does with memory that is freed."""

from __future__ import annotations

import ctypes

import numpy as np

from tinytensor.backend import Array, array_module


def vector(count: int, like: Array) -> Array:
    """(count,) zeros of like's dtype and device, for `part_of`."""
    if isinstance(like, np.ndarray):
        return np.ndarray((count,), like.dtype, bytearray(count * like.itemsize))
    return array_module(like).zeros(count, like.dtype)


def part_of(whole: Array, start: int, shape: tuple[int, ...]) -> Array:
    """The elements of a `vector` from start on, in that shape, in the same memory.

    It is not a NumPy view of the whole: an in-place write gets a date (writes.py) for this part alone.
    """
    offset = start * whole.itemsize
    if isinstance(whole, np.ndarray):
        return np.ndarray(shape, whole.dtype, whole.base, offset)
    return array_module(whole).ndarray(shape, whole.dtype, whole.data + offset)


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed blocks for the next step instead of giving them back. True where it took.

    By default every array above 128 KiB is mapped and unmapped, and the page faults cost a third of a
    training step. It is a setting of the whole process, so programs call it (gpt.train does), the library never.
    Source: mallopt(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # not glibc: nothing to tune
        return False
    return bool(mallopt(-3, 1 << 30)) and bool(mallopt(-1, 1 << 30))
