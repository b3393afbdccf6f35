"""Layer norm in one launch, its backward in one or two: `tinytensor.ops.layer_norm` has the formulas.

x is saved rather than x̂, with each row's mean and 1/σ: x is there already, x̂ would be another array of its size.
A block of the backward has several rows. It leaves its share of dw and db. Few shares are added up by the block that ends
last, many by a second launch; always in the same order: sums by atomics would differ in their last bits from run to run.
In a transformer x has a gradient already, the residual's: dx is added to it on the way.
"""

from __future__ import annotations

from typing import Any

from tinytensor.backend import Array
from tinytensor.cuda.fused import replace
from tinytensor.cuda.kernel import ROWS, contiguous, empty, launch, placed, row_threads, wide

BLOCKS, MOST_ROWS = 1024, 64  # of the backward: enough to keep a card busy; and rows in each, where they are many
NARROW, FEW = 128, 64  # rows of up to so many elements are given to so many blocks, whose shares the last one adds up

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
  if (!statistics || threadIdx.x) return;
  statistics[row] = centre, statistics[rows + row] = scale;
  if (row == 0) *(unsigned*)(statistics + 2 * rows) = 0;  // the blocks of the backward that have ended
}

__device__ void store(T* dw, T* db, long long i, long long n, A sum) {  // of 2n columns: those of dw, those of db
  if (i < n) { if (dw) dw[i] = (T)sum; }
  else if (db) db[i - n] = (T)sum;
}

// dx of this block's rows, and the sums over these of dy·x̂ and dy: (gridDim.x, 2, n) shares of dw and db.
// before: what is added to dx. The block that ends last adds up the shares, if it is to.
extern "C" __global__ void layer_norm_backward(
    const T* dy, const T* x, A* statistics, const T* w, const T* before, T* dx, A* shares,
    long long rows, long long each, long long n, long long adds_up, T* dw, T* db) {
  __shared__ Pair cells[THREADS], means[MOST_ROWS];  // means: of dŷ·x̂ and of dŷ, dŷ = dy·w
  const long long first = blockIdx.x * each, count = min(each, rows - first);
  const A *mean = statistics + first, *rstd = mean + rows;
  dy += first * n, x += first * n, dx += first * n, before = before ? before + first * n : before;
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
      const A change = rstd[r] * (slope * weight - means[r].b - xhat * means[r].a);
      dx[r * n + i] = (T)(before ? (A)before[r * n + i] + change : change);
      share += Pair{slope * xhat, slope};
    }
    if (shares) shares[(blockIdx.x * 2) * n + i] = share.a, shares[(blockIdx.x * 2 + 1) * n + i] = share.b;
  }
  if (!adds_up) return;
  __shared__ bool last;
  unsigned* ended = (unsigned*)(statistics + 2 * rows);
  __threadfence();  // a block's shares are there before it counts as ended
  __syncthreads();
  if (threadIdx.x == 0) last = atomicAdd(ended, 1u) == gridDim.x - 1;
  __syncthreads();
  if (!last) return;
  __threadfence();  // and those of all others are seen from here on
  if (threadIdx.x == 0) *ended = 0;  // for a second backward
  for (long long i = threadIdx.x; i < 2 * n; i += blockDim.x) {
    A sum = 0;
#pragma unroll 8
    for (long long s = 0; s < gridDim.x; s++) sum += shares[s * 2 * n + i];
    store(dw, db, i, n, sum);
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
  store(dw, db, i, n, sum);
}
"""
)


def forward(x: Array, w: Array | None, b: Array | None, *, n: int, eps: float, recorded: bool = True) -> Any:
    x, w, b = (None if a is None else contiguous(a) for a in (x, w, b))
    rows, y = x.size // n, empty(x)
    statistics = empty(x, (2 * rows + 1,), wide(x)) if recorded else None  # each row's mean, each row's 1/σ, a counter
    launch(SOURCE, "layer_norm", x.dtype, rows, (x, w, b, y, statistics, n, float(eps)), row_threads(n))
    return y, (x, statistics, w, None if b is None else b.shape, n)


def backward(
    dy: Array, x: Array, statistics: Array, w: Array | None, b_shape: tuple[int, ...] | None, n: int, *,
    needs: tuple[bool, ...] = (True,) * 3, places: tuple[Array | None, ...] = (None,) * 3,
    onto: tuple[Array | None, ...] = (None,) * 3,
) -> Any:  # fmt: skip
    rows, dx = x.size // n, empty(x)
    each = min(MOST_ROWS, max(1, -(-rows // (FEW if n <= NARROW else BLOCKS))))
    blocks = -(-rows // each)
    dw = placed(places[1], x, w.shape) if needs[1] and w is not None else None
    db = placed(places[2], x, b_shape) if needs[2] and b_shape is not None else None
    shares = None if dw is None and db is None else empty(x, (blocks, 2, n), wide(x))
    before = None if onto[0] is None else contiguous(onto[0])
    at_once = shares is not None and 0 < blocks <= FEW
    arguments = (contiguous(dy), x, statistics, w, before, dx, shares, rows, each, n, int(at_once), dw, db)
    launch(SOURCE, "layer_norm_backward", x.dtype, blocks, arguments, row_threads(n))
    if shares is not None and not at_once:
        warps = min(32, max(1, blocks))
        launch(SOURCE, "layer_norm_shares", x.dtype, -(-2 * n // 32), (shares, dw, db, blocks, n), 32 * warps)
    return dx, dw, db


replace("layer_norm", forward, backward, when=lambda x, *_, n, **__: n > 0 and x.dtype.kind == "f")
