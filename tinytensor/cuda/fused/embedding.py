"""Embedding in one launch each way: `tinytensor.ops.embedding` has the formula.

With up to MOST_ROWS rows, the backward has a block of threads for each row of the table: it searches all ids for its
own, and adds up their gradients in a fixed order. For larger tables the search would take too long: there every id adds
its gradient to its row by atomics, in any order, so the last bits differ from run to run.
"""

from __future__ import annotations

from tinytensor.backend import Array
from tinytensor.cuda.fused import replace
from tinytensor.cuda.kernel import (
    INTEGERS,
    THREADS,
    contiguous,
    empty,
    integers,
    launch,
    out_or_empty,
    row_threads,
    wide,
)
from tinytensor.primitive import Gradients, Output

MOST_ROWS = 1024

BY_ID = (
    INTEGERS
    + """
extern "C" __global__ void embedding(
    const T* w, const void* ids, long long bytes, T* y, long long rows, long long n) {
  w += wrapped(integer(ids, bytes, blockIdx.x), rows) * n, y += blockIdx.x * n;
  for (long long i = threadIdx.x; i < n; i += blockDim.x) y[i] = w[i];
}
extern "C" __global__ void embedding_backward_by_id(
    const T* dy, const void* ids, long long bytes, A* dw, long long rows, long long n) {
  dy += blockIdx.x * n, dw += wrapped(integer(ids, bytes, blockIdx.x), rows) * n;
  for (long long i = threadIdx.x; i < n; i += blockDim.x) atomicAdd(dw + i, (A)dy[i]);
}
"""
)
BY_ROW = (
    INTEGERS
    + f"#define THREADS {THREADS}\n"
    + """
// Block (row, tile of columns). `width` threads side by side have a column each, those behind them share the ids:
// of the row's ids, numbered as they are found, thread (group, column) adds up every groups-th.
extern "C" __global__ void embedding_backward_by_row(
    const T* dy, const void* ids, long long bytes, T* dw, long long count, long long rows, long long n, long long width) {
  __shared__ unsigned found[THREADS / 32];  // a bit for each of THREADS ids
  __shared__ A cells[THREADS];
  const long long row = blockIdx.x % rows, column = blockIdx.x / rows * width + threadIdx.x % width;
  const unsigned group = threadIdx.x / width, groups = THREADS / width;
  unsigned number = 0;
  A sum = 0;
  for (long long start = 0; start < count; start += THREADS) {
    if (threadIdx.x < THREADS / 32) found[threadIdx.x] = 0;
    __syncthreads();
    const long long i = start + threadIdx.x;
    if (i < count && wrapped(integer(ids, bytes, i), rows) == row)
      atomicAdd(&found[threadIdx.x / 32], 1u << threadIdx.x % 32);  // an or: each sets a bit of its own
    __syncthreads();
    for (int word = 0; word < THREADS / 32; word++)
      for (unsigned left = found[word]; left; left &= left - 1, number++)
        if (number % groups == group && column < n)
          sum += (A)dy[(start + 32 * word + __ffs(left) - 1) * n + column];
    __syncthreads();  // all have read what was found
  }
  cells[threadIdx.x] = sum;
  __syncthreads();
  if (group || column >= n) return;
  for (unsigned t = threadIdx.x + width; t < THREADS; t += width) sum += cells[t];
  dw[row * n + column] = (T)sum;
}
"""
)


def forward(w: Array, *, ids: Array) -> Output:
    w, shape, ids = contiguous(w), (*ids.shape, w.shape[1]), integers("embedding", ids)
    y = empty(w, shape)
    rows, n = w.shape
    launch(BY_ID, "embedding", w.dtype, ids.size, (w, ids, ids.itemsize, y, rows, n), row_threads(n))
    return y, (ids, rows)


def backward(dy: Array, ids: Array, rows: int, *, out: tuple[Array | None, ...] = (None,)) -> Gradients:
    dy, n = contiguous(dy), dy.shape[-1]
    if rows > MOST_ROWS:
        return (by_id(dy, ids, rows, n, out[0]),)
    dw = out_or_empty(out[0], dy, (rows, n))
    width = row_threads(n, 1)
    arguments = (dy, ids, ids.itemsize, dw, ids.size, rows, n, width)
    launch(BY_ROW, "embedding_backward_by_row", dy.dtype, rows * -(-n // width), arguments)
    return (dw,)


def by_id(dy: Array, ids: Array, rows: int, n: int, out: Array | None) -> Array:
    """The gradient of a large table, added up by atomics in float32 or float64."""
    direct = wide(dy) == dy.dtype
    dw = out_or_empty(out, dy, (rows, n)) if direct else empty(dy, (rows, n), wide(dy))
    dw.fill(0)
    launch(BY_ID, "embedding_backward_by_id", dy.dtype, ids.size, (dy, ids, ids.itemsize, dw, rows, n), row_threads(n))
    return dw if direct else dw.astype(dy.dtype)


replace("embedding", forward, backward, when=lambda w, **_: w.ndim == 2 and len(w) > 0 and w.dtype.kind == "f")
