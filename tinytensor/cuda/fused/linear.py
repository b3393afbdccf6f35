"""Linear with the gradient of its bias in one launch: a sum over rows in a fixed order."""

from __future__ import annotations

import math

from tinytensor.backend import Array
from tinytensor.cuda.fused import replace
from tinytensor.cuda.kernel import NAMES, contiguous, empty, launch
from tinytensor.ops.arithmetic import unbroadcast
from tinytensor.ops.linear import linear_backward, linear_forward
from tinytensor.primitive import Gradients

COLUMNS = 32  # of a block, which are neighbours: a warp reads one row of them at a time

SOURCE = """
extern "C" __global__ void sum_rows(const T* x, T* y, long long rows, long long columns) {
  __shared__ A sums[32][33];
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  long long first = 32LL * blockIdx.x;
  A sum = 0;
#pragma unroll 4
  for (long long r = warp; r < rows; r += 32)
    if (first + lane < columns) sum += (A)x[r * columns + first + lane];
  sums[warp][lane] = sum;
  __syncthreads();
  sum = sums[lane][warp];  // each warp now has a column
  for (int step = 16; step; step /= 2) sum += __shfl_xor_sync(0xffffffff, sum, step);
  if (lane == 0 && first + warp < columns) y[first + warp] = (T)sum;
}
"""


def backward(
    dy: Array,
    rows: Array,
    x_shape: tuple[int, ...],
    w: Array,
    b_shape: tuple[int, ...] | None,
    *,
    needs: tuple[bool, ...] = (True, True, True),
    out: tuple[Array | None, ...] = (None, None, None),
) -> Gradients:
    dx, dw, _ = linear_backward(dy, rows, x_shape, w, None, needs=needs, out=out)
    if b_shape is None or not needs[2]:
        return dx, dw, None
    dy = contiguous(dy.reshape(len(rows), math.prod(w.shape[:-1])))
    whole = (dy.shape[1],)
    db = out[2] if out[2] is not None and b_shape == whole else empty(dy, whole)
    launch(SOURCE, "sum_rows", dy.dtype, -(-dy.shape[1] // COLUMNS), (dy, db, *dy.shape), COLUMNS * 32)
    return dx, dw, unbroadcast(db, b_shape)


def fits(x: Array, w: Array, b: Array | None) -> bool:
    """Whether the kernel takes the call: one dtype, of floats."""
    return x.dtype.name in NAMES and x.dtype == w.dtype and (b is None or b.dtype == x.dtype)


replace("linear", linear_forward, backward, when=fits)
