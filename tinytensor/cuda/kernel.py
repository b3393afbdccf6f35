"""Kernels written in CUDA's C++, compiled once for every dtype that they are called with.

In a source, T is the dtype of the arrays and A the type to compute and to add up in: double for double, else float.
Arrays are contiguous, sizes are `long long`: `contiguous` and `size` see to both.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytensor.backend import Array, array_module, cupy

THREADS = 256  # in a block
PRELUDE = """
#include <cuda_fp16.h>
typedef {T} T;
typedef {A} A;
"""
NAMES = {"float16": "__half", "float32": "float", "float64": "double"}


@functools.cache
def compiled(name: str, source: str, dtype: str) -> Any:
    """The kernel of that name in the source, for arrays of that dtype."""
    prelude = PRELUDE.format(T=NAMES[dtype], A="double" if dtype == "float64" else "float")
    return cupy().RawKernel(prelude + source, name)


def launch(
    source: str, name: str, dtype: np.dtype[Any], blocks: int, arguments: Sequence[Any], threads: int = THREADS
) -> None:
    """Run the kernel on blocks × threads; no blocks, no launch. An int arrives as long long, a float as double, None as 0."""
    if blocks:
        compiled(name, source, dtype.name)(
            (blocks,), (threads,), tuple([CONVERT.get(type(a), same)(a) for a in arguments])
        )


def launch_each(source: str, name: str, x: Array, *others: Any) -> None:
    """Run the kernel on one thread for each element of x: kernel(x, *others, x.size)."""
    launch(source, name, x.dtype, -(-x.size // THREADS), (x, *others, x.size))


def same(argument: Any) -> Any:
    return argument


CONVERT: dict[type, Any] = {int: np.int64, float: np.float64, type(None): lambda _: np.int64(0)}


def contiguous(x: Array) -> Array:
    """x, or a copy of it where its elements do not lie one after the other."""
    return x if x.flags.c_contiguous else x.copy(order="C")


def empty(like: Array, shape: tuple[int, ...] | None = None, dtype: Any = None) -> Array:
    """Memory for a result: of like's shape, dtype and device, where nothing else is asked for; contiguous."""
    shape = like.shape if shape is None else shape
    return array_module(like).empty(shape, like.dtype if dtype is None else dtype)
