"""Cross entropy in two launches, or in one with reduction "none"; its backward in one.

`tinytensor.ops.cross_entropy` has the formulas. The forward saves the logits, which exist already, and for each row the
largest logit and Σ e^(x − largest). The backward computes the softmax from them again, so no array of N·C is stored.
"""

from __future__ import annotations

from tinytensor.backend import Array
from tinytensor.cuda.fused import replace
from tinytensor.cuda.kernel import INTEGERS, ROWS, contiguous, empty, integers, launch, row_threads, wide
from tinytensor.primitive import Gradients, Output

SOURCE = (
    ROWS
    + INTEGERS
    + """
// A row's loss goes into `losses` where that is asked for, else into the third row of statistics.
extern "C" __global__ void cross_entropy(
    const T* x, const void* target, long long bytes, long long ignored, A* statistics, T* losses, long long n) {
  __shared__ A cells[THREADS];
  const long long row = blockIdx.x, rows = gridDim.x;
  x += row * n;
  A top = (A)x[0], sum = 0;
  for (long long i = threadIdx.x; i < n; i += blockDim.x) top = (A)x[i] > top ? (A)x[i] : top;
  top = block_max(top, cells);
  for (long long i = threadIdx.x; i < n; i += blockDim.x) sum += exp((A)x[i] - top);
  sum = block_sum(sum, cells);
  if (threadIdx.x) return;
  const long long t = integer(target, bytes, row);
  const A loss = t == ignored ? (A)0 : log(sum) - ((A)x[wrapped(t, n)] - top);
  statistics[row] = top, statistics[rows + row] = sum;
  if (losses) losses[row] = (T)loss;
  else statistics[2 * rows + row] = loss;
}

// One block: the sum of the losses, divided by how many rows count if that is asked for, which it leaves there.
extern "C" __global__ void cross_entropy_reduced(
    const A* losses, const void* target, long long bytes, long long ignored, T* loss, A* count, long long rows) {
  __shared__ Pair cells[1024];
  Pair sum = {0, 0};
  for (long long i = threadIdx.x; i < rows; i += blockDim.x)
    sum += Pair{losses[i], integer(target, bytes, i) == ignored ? (A)0 : (A)1};
  sum = block_sum(sum, cells);
  if (threadIdx.x) return;
  *loss = (T)(count ? sum.a / sum.b : sum.a);
  if (count) *count = sum.b;
}

extern "C" __global__ void cross_entropy_backward(
    const T* dy, long long step, const T* x, const void* target, long long bytes, long long ignored,
    const A* statistics, const A* count, T* dx, long long n) {
  const long long row = blockIdx.x, rows = gridDim.x, t = integer(target, bytes, row), at = wrapped(t, n);
  const A top = statistics[row], sum = statistics[rows + row];
  const A scale = t == ignored ? (A)0 : count ? (A)dy[row * step] / *count : (A)dy[row * step];
  x += row * n, dx += row * n;
  for (long long i = threadIdx.x; i < n; i += blockDim.x)
    dx[i] = (T)(scale * (exp((A)x[i] - top) / sum - (i == at ? 1 : 0)));
}
"""
)


def forward(x: Array, *, target: Array, ignore_index: int, reduction: str) -> Output:
    x, target = contiguous(x), integers("cross_entropy", target)
    rows, n = x.shape
    classes = (target, target.itemsize, ignore_index)
    statistics = empty(x, (3, rows), wide(x))
    loss = empty(x, (rows,) if reduction == "none" else ())
    count = empty(x, (), wide(x)) if reduction == "mean" else None
    each = loss if reduction == "none" else None
    launch(SOURCE, "cross_entropy", x.dtype, rows, (x, *classes, statistics, each, n), row_threads(n))
    if reduction != "none":
        threads = min(1024, 32 * max(1, -(-rows // 32)))
        launch(SOURCE, "cross_entropy_reduced", x.dtype, 1, (statistics[2], *classes, loss, count, rows), threads)
    return loss, (x, target, ignore_index, statistics, count)


def backward(
    dy: Array, x: Array, target: Array, ignore_index: int, statistics: Array, count: Array | None
) -> Gradients:
    dx = empty(x)
    rows, n = x.shape
    step = dy.ndim  # 0: all rows share one dy, 1: each row has its own
    classes = (target, target.itemsize, ignore_index)
    arguments = (contiguous(dy), step, x, *classes, statistics, count, dx, n)
    launch(SOURCE, "cross_entropy_backward", x.dtype, rows, arguments, row_threads(n))
    return (dx,)


replace(
    "cross_entropy", forward, backward,
    when=lambda x, **_: x.ndim == 2 and x.shape[1] > 0 and x.dtype.kind == "f",
)  # fmt: skip
