"""Softmax and log-softmax along any axis in one launch each way: `tinytensor.ops.softmax` has the formulas.

A block of threads works on each line along the axis; the last axis is read in whole cache lines, others with a stride.
"""

from __future__ import annotations

import math

from tinytensor.backend import Array
from tinytensor.cuda.fused import replace
from tinytensor.cuda.kernel import ROWS, contiguous, empty, launch, row_threads
from tinytensor.primitive import Gradients, Output

SOURCE = (
    ROWS
    + """
// Where this block's line begins: its n elements are `stride` apart, as many lines lie side by side.
__device__ long long line(long long n, long long stride) {
  return blockIdx.x / stride * n * stride + blockIdx.x % stride;
}
__device__ A largest(const T* x, long long n, long long stride, A* cells) {
  A top = (A)x[0];
  for (long long i = threadIdx.x; i < n; i += blockDim.x) top = (A)x[i * stride] > top ? (A)x[i * stride] : top;
  return block_max(top, cells);
}
__device__ A sum_of_exp(const T* x, A top, long long n, long long stride, A* cells) {
  A sum = 0;
  for (long long i = threadIdx.x; i < n; i += blockDim.x) sum += exp((A)x[i * stride] - top);
  return block_sum(sum, cells);
}
extern "C" __global__ void softmax(const T* x, T* y, long long n, long long stride) {
  __shared__ A cells[THREADS];
  x += line(n, stride), y += line(n, stride);
  A top = largest(x, n, stride, cells), sum = sum_of_exp(x, top, n, stride, cells);
  for (long long i = threadIdx.x; i < n; i += blockDim.x) y[i * stride] = (T)(exp((A)x[i * stride] - top) / sum);
}
extern "C" __global__ void log_softmax(const T* x, T* y, long long n, long long stride) {
  __shared__ A cells[THREADS];
  x += line(n, stride), y += line(n, stride);
  A top = largest(x, n, stride, cells), log_sum = log(sum_of_exp(x, top, n, stride, cells));
  for (long long i = threadIdx.x; i < n; i += blockDim.x) y[i * stride] = (T)((A)x[i * stride] - top - log_sum);
}
extern "C" __global__ void softmax_backward(const T* dy, const T* y, T* dx, long long n, long long stride) {
  __shared__ A cells[THREADS];
  dy += line(n, stride), y += line(n, stride), dx += line(n, stride);
  A along = 0;
  for (long long i = threadIdx.x; i < n; i += blockDim.x) along += (A)dy[i * stride] * (A)y[i * stride];
  along = block_sum(along, cells);
  for (long long i = threadIdx.x; i < n; i += blockDim.x)
    dx[i * stride] = (T)((A)y[i * stride] * ((A)dy[i * stride] - along));
}
extern "C" __global__ void log_softmax_backward(const T* dy, const T* y, T* dx, long long n, long long stride) {
  __shared__ A cells[THREADS];
  dy += line(n, stride), y += line(n, stride), dx += line(n, stride);
  A sum = 0;
  for (long long i = threadIdx.x; i < n; i += blockDim.x) sum += (A)dy[i * stride];
  sum = block_sum(sum, cells);
  for (long long i = threadIdx.x; i < n; i += blockDim.x)
    dx[i * stride] = (T)((A)dy[i * stride] - exp((A)y[i * stride]) * sum);
}
"""
)


def softmax_forward(x: Array, *, axis: int) -> Output:
    y = along_lines("softmax", axis, x)
    return y, (y, axis)


def softmax_backward(dy: Array, y: Array, axis: int) -> Gradients:
    return (along_lines("softmax_backward", axis, dy, y),)


def log_softmax_forward(x: Array, *, axis: int) -> Output:
    y = along_lines("log_softmax", axis, x)
    return y, (y, axis)


def log_softmax_backward(dy: Array, y: Array, axis: int) -> Gradients:
    return (along_lines("log_softmax_backward", axis, dy, y),)


def along_lines(kernel: str, axis: int, *arrays: Array) -> Array:
    """Run the kernel on each line of the arrays, which have the same shape."""
    arrays = tuple(map(contiguous, arrays))
    result = empty(arrays[0])
    if result.size:
        n, stride = result.shape[axis], math.prod(result.shape[axis % result.ndim + 1 :])
        launch(SOURCE, kernel, result.dtype, result.size // n, (*arrays, result, n, stride), row_threads(n))
    return result


replace("softmax", softmax_forward, softmax_backward)
replace("log_softmax", log_softmax_forward, log_softmax_backward)
