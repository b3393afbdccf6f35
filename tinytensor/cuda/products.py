"""Matrix products on a GPU: in TF32 where it is permitted, and in a form that a CUDA graph can record.

CuPy's own refuse to run on a stream that is captured (cupy/cupy, issue 6290), though cuBLAS can. So while a graph is recorded
cuBLAS is asked here, for what CuPy would ask it: the same function of the same library by the same handle, so the same bits.

cuBLAS counts columns first: what is C = A B to us is Cᵀ = Bᵀ Aᵀ to it, and our rows are its columns. So the operands change
out. What lies transposed is taken as it is or copied where CuPy does so: another layout is another kernel, with other bits.

TF32 is a mode of cuBLAS's handle, of which each thread has one. Set for a product, it holds for a single one, for a stack and for
one that is recorded, where CuPy's own switch (CUPY_TF32) holds for single ones alone.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np

from tinytensor.backend import Array
from tinytensor.cuda.streams import is_recording
from tinytensor.devices import cupy
from tinytensor.dispatch import on_gpu
from tinytensor.precision import get_float32_matmul_precision

REAL = {"float32": 0, "float64": 1, "float16": 2}  # cudaDataType_t
COMPUTE = {"float32": 68, "float64": 70, "float16": 68}  # cublasComputeType_t
TF32 = 3  # cublasMath_t's CUBLAS_TF32_TENSOR_OP_MATH
TENSOR_OP, DEFAULT = 99, -1  # cublasGemmAlgo_t; CuPy takes the one for a single product and the other for a stack
NUMBERS = {68: (ctypes.c_float(1), ctypes.c_float(0)), 70: (ctypes.c_double(1), ctypes.c_double(0))}

STREAM = (ctypes.c_void_p, ctypes.c_void_p)
OPERAND = (ctypes.c_void_p, ctypes.c_int, ctypes.c_int)  # address, type, leading dimension
HEAD = (ctypes.c_void_p, *(ctypes.c_int,) * 5, ctypes.c_void_p)  # handle, two transpositions, m, n, k, alpha
GEMM = (*HEAD, *OPERAND, *OPERAND, ctypes.c_void_p, *OPERAND, ctypes.c_int, ctypes.c_int)
STACKED = (*OPERAND, ctypes.c_longlong)
GEMMS = (*HEAD, *STACKED, *STACKED, ctypes.c_void_p, *STACKED, *(ctypes.c_int,) * 3)


@on_gpu("matmul")
def matmul(a: Array, b: Array, out: Array | None = None) -> Array:
    """a @ b, in out if it is given."""
    if a.dtype != np.float32 or get_float32_matmul_precision() == "highest":
        return exact(a, b, out)
    with tf32():
        return exact(a, b, out)


@on_gpu("einsum")
def einsum(equation: str, *xs: Array, optimize: bool) -> Array:
    """np.einsum."""
    with nullcontext() if get_float32_matmul_precision() == "highest" else tf32():
        return np.einsum(equation, *xs, optimize=optimize)


@contextmanager
def tf32() -> Iterator[None]:
    """Products of float32 that this thread asks for inside may be rounded to TF32."""
    handle, library = cupy().cuda.device.get_cublas_handle(), cupy().cuda.cublas
    library.setMathMode(handle, TF32)
    try:
        yield
    finally:
        library.setMathMode(handle, library.CUBLAS_DEFAULT_MATH)


def exact(a: Array, b: Array, out: Array | None = None) -> Array:
    """a @ b, in out if it is given, in the mode that cuBLAS is in."""
    if not is_recording():
        return a @ b if out is None else np.matmul(a, b, out=out)
    if a.ndim == 1:
        return exact(a[None], b, None if out is None else out[..., None, :])[..., 0, :]
    if b.ndim == 1:
        return exact(a, b[:, None], None if out is None else out[..., None])[..., 0]
    if a.ndim == b.ndim and a.shape[:-2] == b.shape[:-2] and a.shape[-1] == b.shape[-2]:
        kinds = {x.dtype.name for x in (a, b, *(() if out is None else (out,)))}
        if len(kinds) == 1 and kinds <= REAL.keys() and (out is None or out.flags.c_contiguous):
            y = cupy().empty((*a.shape[:-1], b.shape[-1]), a.dtype) if out is None else out
            multiply(a, b, y)
            return y
    raise RuntimeError(
        f"matmul: {a.dtype}{list(a.shape)} @ {b.dtype}{list(b.shape)} cannot be recorded in a CUDA graph:"
        " give floats of one dtype with the same leading dimensions"
    )


def multiply(a: Array, b: Array, y: Array) -> None:
    """y (…, n, m) = a (…, n, k) b (…, k, m), none of them broadcast."""
    if not y.size or not a.size:
        y.fill(0)
        return
    n, m, k = y.shape[-2], y.shape[-1], a.shape[-1]
    kind, compute = REAL[y.dtype.name], COMPUTE[y.dtype.name]
    one, zero = (ctypes.addressof(number) for number in NUMBERS[compute])
    (a, turned_a, row_a), (b, turned_b, row_b) = (
        laid_out(a, not a.flags.c_contiguous),
        laid_out(b, b.flags.f_contiguous),
    )
    library, handle = cublas(), cupy().cuda.device.get_cublas_handle()
    library.cublasSetStream_v2(handle, cupy().cuda.get_current_stream().ptr)
    head = handle, turned_b, turned_a, m, n, k, one
    first, second, result = (b.data.ptr, kind, row_b), (a.data.ptr, kind, row_a), (y.data.ptr, kind, m)
    if y.ndim == 2:
        status = library.cublasGemmEx(*head, *first, *second, zero, *result, compute, TENSOR_OP)
    else:
        stack = *head, *first, k * m, *second, n * k, zero, *result, n * m, math.prod(y.shape[:-2])
        status = library.cublasGemmStridedBatchedEx(*stack, compute, DEFAULT)
    if status:
        raise RuntimeError(f"matmul: cuBLAS refuses a product of {y.dtype} {a.shape} and {b.shape}: status {status}")


def laid_out(x: Array, turned: bool) -> tuple[Array, int, int]:
    """x, or a copy of it, whose matrices lie one after the other; whether each is transposed; the length of its rows.

    turned: whether CuPy wants a single matrix transposed; those of a stack it never does.
    """
    turned = turned and x.ndim == 2
    lies = x.flags.f_contiguous if turned else x.flags.c_contiguous
    return x if lies else x.copy(order="F" if turned else "C"), int(turned), x.shape[-2 if turned else -1]


@functools.cache
def cublas() -> Any:
    """The library that CuPy's module of that name is linked with: its symbols are found by way of the module."""
    library = ctypes.CDLL(cupy().cuda.cublas.__file__)
    for name, arguments in (
        ("cublasSetStream_v2", STREAM), ("cublasGemmEx", GEMM), ("cublasGemmStridedBatchedEx", GEMMS),
    ):  # fmt: skip
        getattr(library, name).argtypes = arguments
    return library
