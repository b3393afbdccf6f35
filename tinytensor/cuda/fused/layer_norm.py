"""Layer norm in one launch, its backward in two: `tinytensor.ops.layer_norm` has the formulas.

x is saved rather than x̂, with each row's mean and 1/σ: x is there already, x̂ would be another array of its size.
A block of the backward has several rows. It leaves its share of dw and db, which a second launch adds up, always in
the same order: sums by atomics would differ in their last bits from run to run.
"""

from __future__ import annotations

from typing import Any

from tinytensor.backend import Array
from tinytensor.cuda.fused import replace
from tinytensor.cuda.kernel import ROWS, contiguous, empty, launch, placed, row_threads, wide

BLOCKS, MOST_ROWS = 1024, 64  # of the backward: enough to keep a card busy; and rows in each, where they are many

SOURCE = (
    ROWS
    + f"#define MOST_ROWS {MOST_ROWS}\n"
    + """
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

// dx of this block's rows, and the sums over these of dy·x̂ and dy: (gridDim.x, 2, n) shares of dw and db.
extern "C" __global__ void layer_norm_backward(
    const T* dy, const T* x, const A* statistics, const T* w, T* dx, A* shares,
    long long rows, long long each, long long n) {
  __shared__ Pair cells[THREADS], means[MOST_ROWS];  // means: of dŷ·x̂ and of dŷ, dŷ = dy·w
  const long long first = blockIdx.x * each, count = min(each, rows - first);
  const A *mean = statistics + first, *rstd = mean + rows;
  dy += first * n, x += first * n, dx += first * n;
  for (long long r = 0; r < count; r++) {
    Pair sum = {0, 0};
    for (long long i = threadIdx.x; i < n; i += blockDim.x) {
      const A slope = w ? (A)dy[r * n + i] * (A)w[i] : (A)dy[r * n + i];
      sum += Pair{slope * ((A)x[r * n + i] - mean[r]) * rstd[r], slope};
    }
    sum = block_sum(sum, cells);
    if (threadIdx.x == 0) means[r] = Pair{sum.a / n, sum.b / n};
  }
  __syncthreads();  // the means of all rows are there
  for (long long i = threadIdx.x; i < n; i += blockDim.x) {
    const A weight = w ? (A)w[i] : (A)1;
    Pair share = {0, 0};
    for (long long r = 0; r < count; r++) {
      const A slope = (A)dy[r * n + i], xhat = ((A)x[r * n + i] - mean[r]) * rstd[r];
      dx[r * n + i] = (T)(rstd[r] * (slope * weight - means[r].b - xhat * means[r].a));
      share += Pair{slope * xhat, slope};
    }
    if (shares) shares[(blockIdx.x * 2) * n + i] = share.a, shares[(blockIdx.x * 2 + 1) * n + i] = share.b;
  }
}

// dw and db, side by side as 2n columns, 32 of them a block: its warps take turns at the shares, the first adds up theirs.
extern "C" __global__ void layer_norm_shares(const A* shares, T* dw, T* db, long long count, long long n) {
  __shared__ A cells[1024];
  const long long i = (long long)blockIdx.x * 32 + threadIdx.x % 32;
  A sum = 0;
  if (i < 2 * n)
    for (long long s = threadIdx.x / 32; s < count; s += blockDim.x / 32) sum += shares[s * 2 * n + i];
  cells[threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.x >= 32 || i >= 2 * n) return;
  for (int t = threadIdx.x + 32; t < blockDim.x; t += 32) sum += cells[t];
  if (i < n) { if (dw) dw[i] = (T)sum; }
  else if (db) db[i - n] = (T)sum;
}
"""
)


def forward(x: Array, w: Array | None, b: Array | None, *, n: int, eps: float, recorded: bool = True) -> Any:
    x, w, b = contiguous(x), None if w is None else contiguous(w), None if b is None else contiguous(b)
    rows, y = x.size // n, empty(x)
    statistics = empty(x, (2, rows), wide(x)) if recorded else None  # each row's mean, each row's 1/σ
    launch(SOURCE, "layer_norm", x.dtype, rows, (x, w, b, y, statistics, n, float(eps)), row_threads(n))
    return y, (x, statistics, w, None if b is None else b.shape, n)


def backward(
    dy: Array, x: Array, statistics: Array, w: Array | None, b_shape: tuple[int, ...] | None, n: int, *,
    needs: tuple[bool, ...] = (True,) * 3, places: tuple[Array | None, ...] = (None,) * 3,
) -> Any:  # fmt: skip
    rows, dx = x.size // n, empty(x)
    each = min(MOST_ROWS, max(1, -(-rows // BLOCKS)))
    blocks = -(-rows // each)
    dw = placed(places[1], x, w.shape) if needs[1] and w is not None else None
    db = placed(places[2], x, b_shape) if needs[2] and b_shape is not None else None
    shares = None if dw is None and db is None else empty(x, (blocks, 2, n), wide(x))
    arguments = (contiguous(dy), x, statistics, w, dx, shares, rows, each, n)
    launch(SOURCE, "layer_norm_backward", x.dtype, blocks, arguments, row_threads(n))
    if shares is not None:
        warps = min(32, max(1, blocks))
        launch(SOURCE, "layer_norm_shares", x.dtype, -(-2 * n // 32), (shares, dw, db, blocks, n), 32 * warps)
    return dx, dw, db


replace("layer_norm", forward, backward, when=lambda x, *_, n, **__: n > 0 and x.dtype.kind == "f")
