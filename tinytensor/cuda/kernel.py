"""Kernels written in CUDA's C++, compiled once for every dtype that they are called with.

In a source, T is the dtype of the arrays and A the type to compute and to add up in: double for double, else float.
Arrays are contiguous and sizes are `long long`: `contiguous` and `launch` ensure that.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytensor.backend import Array, array_module
from tinytensor.devices import cupy

THREADS = 256  # in a block
PRELUDE = """
#include <cuda_fp16.h>
typedef {T} T;
typedef {A} A;
"""
# For kernels with a block for each row. cells: THREADS of V in shared memory, which may be used again after the call.
ROWS = (
    f"""
#define THREADS {THREADS}
"""
    + """
// The sum of what the block's threads bring, for each of them, always added up in the same order.
template <class V> __device__ V block_sum(V x, V* cells) {
  cells[threadIdx.x] = x;
  __syncthreads();
  if (threadIdx.x < 32) {  // each cell is read and written by one thread alone until the next barrier
    for (int t = threadIdx.x + 32; t < blockDim.x; t += 32) x += cells[t];
    cells[threadIdx.x] = x;
  }
  __syncthreads();
  x = cells[0];
  for (int t = 1; t < 32; t++) x += cells[t];
  __syncthreads();
  return x;
}
// The largest, in the same way. A nan may be passed over: e^(nan - largest) is nan still.
__device__ A block_max(A x, A* cells) {
  cells[threadIdx.x] = x;
  __syncthreads();
  if (threadIdx.x < 32) {
    for (int t = threadIdx.x + 32; t < blockDim.x; t += 32) x = cells[t] > x ? cells[t] : x;
    cells[threadIdx.x] = x;
  }
  __syncthreads();
  x = cells[0];
  for (int t = 1; t < 32; t++) x = cells[t] > x ? cells[t] : x;
  __syncthreads();
  return x;
}
struct Pair {
  A a, b;
  __device__ Pair& operator+=(const Pair& other) { a += other.a; b += other.b; return *this; }
};
"""
)
# Integers in arrays of 4 or 8 bytes each.
INTEGERS = """
__device__ long long integer(const void* x, long long bytes, long long i) {
  return bytes == 8 ? ((const long long*)x)[i] : ((const int*)x)[i];
}
// i in [0, count), where CuPy's own indexing goes for one outside: on a GPU a check would have to be waited for.
__device__ long long wrapped(long long i, long long count) {
  if (i >= 0 && i < count) return i;
  i %= count;
  return i < 0 ? i + count : i;
}
"""
NAMES = {"float16": "__half", "float32": "float", "float64": "double"}
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


@functools.cache
def compiled(name: str, source: str, dtype: str) -> Any:
    """The kernel of that name in the source, for arrays of that dtype."""
    prelude = PRELUDE.format(T=NAMES[dtype], A="double" if dtype == "float64" else "float")
    return cupy().RawKernel(prelude + source, name)


def launch(
    source: str, name: str, dtype: np.dtype[Any], blocks: int, arguments: Sequence[Any], threads: int = THREADS
) -> None:
    """Run the kernel on blocks × threads, if there are blocks. An int becomes long long, a float double, None 0."""
    if blocks:
        compiled(name, source, dtype.name)(
            (blocks,), (threads,), tuple([CONVERT.get(type(a), same)(a) for a in arguments])
        )


def launch_each(source: str, name: str, x: Array, *others: Any) -> None:
    """Run the kernel on one thread for each element of x: kernel(x, *others, x.size)."""
    launch(source, name, x.dtype, -(-x.size // THREADS), (x, *others, x.size))


def row_threads(n: int, each: int = 4) -> int:
    """The number of threads for a row of n elements, about `each` for one: a power of two, at least a warp."""
    return min(THREADS, max(32, 1 << ((n - 1) // each).bit_length()))


def out_or_empty(out: Array | None, like: Array, shape: tuple[int, ...]) -> Array:
    """The array for a gradient: `out` if the tape offers one, else new memory in like's dtype."""
    return empty(like, shape) if out is None else out


def same(argument: Any) -> Any:
    return argument


# The kernel reads 8 bytes for each number, so smaller ones of NumPy are converted.
CONVERT: dict[type, Any] = {
    **dict.fromkeys((int, np.int8, np.int16, np.int32), np.int64),
    **dict.fromkeys((float, np.float16, np.float32), np.float64),
    type(None): lambda _: np.int64(0),
}


def contiguous(x: Array) -> Array:
    """x, or a contiguous copy."""
    return x if x.flags.c_contiguous else x.copy(order="C")


def integers(name: str, x: Array) -> Array:
    """x as a contiguous array of int32 or int64, which INTEGERS can read.

    RuntimeError for an array on the host: CuPy would pass one with a single element to the kernel as a number.
    """
    if isinstance(x, np.ndarray):
        raise RuntimeError(f"{name}: expected all tensors on one device, found cuda and integers on cpu: .to(device)")
    return contiguous(x if x.dtype.kind == "i" and x.itemsize in (4, 8) else x.astype(np.int64))


def wide(x: Array) -> np.dtype[Any]:
    """The dtype in which elements of x are added up: A in a source."""
    return FLOAT64 if x.dtype == FLOAT64 else FLOAT32


def empty(like: Array, shape: tuple[int, ...] | None = None, dtype: Any = None) -> Array:
    """Contiguous memory for a result on like's device, in its shape and dtype unless given."""
    shape = like.shape if shape is None else shape
    return array_module(like).empty(shape, like.dtype if dtype is None else dtype)


def as_four(x: Array) -> Array:
    """x (…, R, C) with four dimensions; more are merged into the first, with a copy if the strides need one."""
    if x.ndim == 4:
        return x
    return x[(None,) * (4 - x.ndim)] if x.ndim < 4 else x.reshape(-1, *x.shape[-3:])


def strides(x: Array | None) -> tuple[int, ...]:
    """The strides of x as_four, in elements; zeros for None."""
    return (0,) * 4 if x is None else tuple([s // x.itemsize for s in x.strides])
