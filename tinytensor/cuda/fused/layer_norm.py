"""Layer norm in one launch each way: `tinytensor.ops.layer_norm` has the formulas.

The forward saves x, and the mean and 1/σ of each row, instead of x̂: x exists already, x̂ would be another array of its
size. With mean and 1/σ, the sums for dw and db do not need dx: other blocks of the same launch add them up, in a fixed
order. Sums by atomics would differ in their last bits from run to run.
"""

from __future__ import annotations

from tinytensor.backend import Array
from tinytensor.cuda.fused import replace
from tinytensor.cuda.kernel import ROWS, THREADS, contiguous, empty, launch, out_or_empty, row_threads, wide
from tinytensor.primitive import Gradients, Output

COLUMNS = 8  # of a block that adds up dw and db: the fewest that read whole sectors of 32 bytes

SOURCE = (
    ROWS
    + f"#define COLUMNS {COLUMNS}\n"
    + """
__device__ Pair from_lane(Pair x, int step) {
  return Pair{__shfl_xor_sync(0xffffffff, x.a, step), __shfl_xor_sync(0xffffffff, x.b, step)};
}

extern "C" __global__ void layer_norm(
    const T* x, const T* w, const T* b, T* y, A* statistics, long long n, double eps) {
  __shared__ A cells[THREADS];
  const long long row = blockIdx.x, rows = gridDim.x;
  x += row * n, y += row * n;
  A sum = 0, squares = 0;
  for (long long i = threadIdx.x; i < n; i += blockDim.x) sum += (A)x[i];
  const A centre = block_sum(sum, cells) / n;
  for (long long i = threadIdx.x; i < n; i += blockDim.x) squares += ((A)x[i] - centre) * ((A)x[i] - centre);
  const A scale = 1 / sqrt(block_sum(squares, cells) / n + (A)eps);
  for (long long i = threadIdx.x; i < n; i += blockDim.x) {
    A value = ((A)x[i] - centre) * scale;
    if (w) value *= (A)w[i];
    if (b) value += (A)b[i];
    y[i] = (T)value;
  }
  if (statistics && threadIdx.x == 0) statistics[row] = centre, statistics[rows + row] = scale;
}

// The first blocks have a warp for each row of dx; the others have COLUMNS of dw and db each, whose threads share the rows.
extern "C" __global__ void layer_norm_backward(
    const T* dy, const T* x, const A* mean, const T* w, const T* add_to, T* dx, T* dw, T* db, long long rows, long long n) {
  __shared__ Pair cells[THREADS / 32][COLUMNS];
  const A* rstd = mean + rows;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const long long of_rows = (rows + THREADS / 32 - 1) / (THREADS / 32);
  Pair sum = {0, 0};
  if (blockIdx.x < of_rows) {
    const long long row = blockIdx.x * (THREADS / 32LL) + warp;
    if (row >= rows) return;
    dy += row * n, x += row * n, dx += row * n;
    for (long long i = lane; i < n; i += 32) {
      const A slope = w ? (A)dy[i] * (A)w[i] : (A)dy[i];  // dŷ
      sum += Pair{slope * ((A)x[i] - mean[row]) * rstd[row], slope};
    }
    for (int step = 16; step; step /= 2) sum += from_lane(sum, step);
    for (long long i = lane; i < n; i += 32) {
      const A slope = w ? (A)dy[i] * (A)w[i] : (A)dy[i], xhat = ((A)x[i] - mean[row]) * rstd[row];
      const A own = rstd[row] * (slope - sum.b / n - xhat * (sum.a / n));
      dx[i] = (T)(add_to ? own + (A)add_to[row * n + i] : own);
    }
    return;
  }
  const long long column = (blockIdx.x - of_rows) * COLUMNS + threadIdx.x % COLUMNS;
#pragma unroll 4
  for (long long row = threadIdx.x / COLUMNS; row < rows; row += THREADS / COLUMNS) {
    if (column >= n) break;
    const A slope = (A)dy[row * n + column];
    sum += Pair{slope * ((A)x[row * n + column] - mean[row]) * rstd[row], slope};
  }
  for (int step = 16; step >= COLUMNS; step /= 2) sum += from_lane(sum, step);
  if (lane < COLUMNS) cells[warp][lane] = sum;
  __syncthreads();
  if (threadIdx.x >= COLUMNS || column >= n) return;
  for (int other = 1; other < THREADS / 32; other++) sum += cells[other][lane];
  if (dw) dw[column] = (T)sum.a;
  if (db) db[column] = (T)sum.b;
}
"""
)


def forward(x: Array, w: Array | None, b: Array | None, *, n: int, eps: float, save: bool = True) -> Output:
    x, w, b = (None if a is None else contiguous(a) for a in (x, w, b))
    rows, y = x.size // n, empty(x)
    statistics = empty(x, (2, rows), wide(x)) if save else None  # each row's mean, each row's 1/σ
    launch(SOURCE, "layer_norm", x.dtype, rows, (x, w, b, y, statistics, n, float(eps)), row_threads(n))
    return y, (x, statistics, w, None if b is None else b.shape, n)


def backward(
    dy: Array, x: Array, statistics: Array, w: Array | None, b_shape: tuple[int, ...] | None, n: int, *,
    needs: tuple[bool, ...] = (True,) * 3, out: tuple[Array | None, ...] = (None,) * 3, add_to: Array | None = None,
) -> Gradients:  # fmt: skip
    rows, dx = x.size // n, empty(x)
    dw = out_or_empty(out[1], x, w.shape) if needs[1] and w is not None else None
    db = out_or_empty(out[2], x, b_shape) if needs[2] and b_shape is not None else None
    blocks = -(-rows // (THREADS // 32)) + (0 if dw is None and db is None else -(-n // COLUMNS))
    add_to = None if add_to is None else contiguous(add_to)
    arguments = (contiguous(dy), x, statistics, w, add_to, dx, dw, db, rows, n)
    launch(SOURCE, "layer_norm_backward", x.dtype, blocks, arguments)
    return dx, dw, db


replace("layer_norm", forward, backward, when=lambda x, *_, n, **__: n > 0 and x.dtype.kind == "f")
