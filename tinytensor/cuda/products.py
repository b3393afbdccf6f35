"""Matrix products on a GPU: in TF32 where it is permitted, and in a form that a CUDA graph can record.

CuPy's products refuse to run on a stream that records (cupy/cupy, issue 6290); cuBLAS does not. While a graph records,
this module calls cuBLAS as CuPy would: the same function of the same library with the same handle, so the same bits.

cuBLAS stores matrices column by column: our C = A B is Cᵀ = Bᵀ Aᵀ for cuBLAS, so the operands swap places. A transposed
operand is copied exactly if CuPy copies it: another layout would run another kernel, with other bits.

TF32 is a mode of the cuBLAS handle, and each thread has one handle. Here it is set for every product: a single one, a
stack, one in a graph. CuPy's switch (CUPY_TF32) is for single products only.
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
TENSOR_OP, DEFAULT = 99, -1  # cublasGemmAlgo_t: CuPy uses the first for a single product, the second for a stack
NUMBERS = {68: (ctypes.c_float(1), ctypes.c_float(0)), 70: (ctypes.c_double(1), ctypes.c_double(0))}

STREAM = (ctypes.c_void_p, ctypes.c_void_p)
OPERAND = (ctypes.c_void_p, ctypes.c_int, ctypes.c_int)  # address, type, leading dimension
HEAD = (ctypes.c_void_p, *(ctypes.c_int,) * 5, ctypes.c_void_p)  # handle, two transpositions, m, n, k, alpha
GEMM = (*HEAD, *OPERAND, *OPERAND, ctypes.c_void_p, *OPERAND, ctypes.c_int, ctypes.c_int)
STACKED = (*OPERAND, ctypes.c_longlong)
GEMMS = (*HEAD, *STACKED, *STACKED, ctypes.c_void_p, *STACKED, *(ctypes.c_int,) * 3)


@on_gpu("matmul")
def matmul(a: Array, b: Array, out: Array | None = None) -> Array:
    """a @ b, written to out if it is given."""
    if a.dtype != np.float32 or get_float32_matmul_precision() == "highest":
        return exact(a, b, out)
    with tf32():
        return exact(a, b, out)


@on_gpu("einsum")
def einsum(equation: str, *xs: Array, optimize: bool) -> Array:
    """np.einsum, in the precision that is permitted."""
    with nullcontext() if get_float32_matmul_precision() == "highest" else tf32():
        return np.einsum(equation, *xs, optimize=optimize)


@contextmanager
def tf32() -> Iterator[None]:
    """A context in which cuBLAS may round the factors of this thread's float32 products to TF32."""
    handle, library = cupy().cuda.device.get_cublas_handle(), cupy().cuda.cublas
    library.setMathMode(handle, TF32)
    try:
        yield
    finally:
        library.setMathMode(handle, library.CUBLAS_DEFAULT_MATH)


def exact(a: Array, b: Array, out: Array | None = None) -> Array:
    """a @ b, written to out if it is given, in the current mode of cuBLAS."""
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
        " use floats of one dtype with the same leading dimensions"
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
    """x or a copy with contiguous matrices; whether each is transposed; the length of its rows.

    turned: whether CuPy would pass a single matrix transposed. It never does so in a stack.
    """
    turned = turned and x.ndim == 2
    lies = x.flags.f_contiguous if turned else x.flags.c_contiguous
    return x if lies else x.copy(order="F" if turned else "C"), int(turned), x.shape[-2 if turned else -1]


@functools.cache
def cublas() -> Any:
    """The library cuBLAS. CuPy's module of that name is linked with it, so its symbols are found through the module."""
    library = ctypes.CDLL(cupy().cuda.cublas.__file__)
    for name, arguments in (
        ("cublasSetStream_v2", STREAM), ("cublasGemmEx", GEMM), ("cublasGemmStridedBatchedEx", GEMMS),
    ):  # fmt: skip
        getattr(library, name).argtypes = arguments
    return library
