"""Memory that several arrays share, and a setting that keeps freed memory in the process."""

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
    """An array of that shape on the memory of a `vector`, from element start on.

    NumPy does not see it as a view of the whole, so an in-place write gets a date (writes.py) for this part alone.
    """
    offset = start * whole.itemsize
    if isinstance(whole, np.ndarray):
        return np.ndarray(shape, whole.dtype, whole.base, offset)
    return array_module(whole).ndarray(shape, whole.dtype, whole.data + offset)


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed memory for the next step. Returns whether glibc accepted that.

    By default glibc maps and unmaps memory for every array above 128 KiB, and the page faults cost a third of a
    training step. The setting holds for the whole process, so programs call this (gpt.train does), the library never.
    Source: mallopt(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:  # no glibc here
        return False
    mallopt = getattr(libc, "mallopt", None)
    if mallopt is None:  # not glibc
        return False
    return bool(mallopt(-3, 1 << 30)) and bool(mallopt(-1, 1 << 30))
