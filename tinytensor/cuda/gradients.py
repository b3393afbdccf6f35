"""All gradients at once on a GPU: their norm, clipping, and the search for inf and nan.

A launch takes up to four arrays of one dtype: enough for the two buffers of a model (`nn.flat`). Nothing is copied back
to the host: the next kernel reads its numbers on the GPU. Sums are the same in every run: each block adds up a share of
an array in a fixed order, and the kernel that needs the total adds up the shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinytensor.backend import Array, array_module
from tinytensor.cuda.kernel import ROWS, THREADS, launch
from tinytensor.dispatch import on_gpu

AT_ONCE = 4  # arrays in a launch
MOST = 256  # blocks for an array
EACH = 4 * THREADS  # elements for a block, at least, if there are as many

SOURCE = (
    ROWS
    + """
// Up to four arrays and their sizes; `share` blocks work on each. here() picks this block's.
#define ARRAYS T* a, long long na, T* b, long long nb, T* c, long long nc, T* d, long long nd, long long share
#define here() pick(a, na, b, nb, c, nc, d, nd, share)
struct Part { T* x; long long size, start, stride; };
__device__ Part pick(T* a, long long na, T* b, long long nb, T* c, long long nc, T* d, long long nd, long long share) {
  T* x[] = {a, b, c, d};
  long long size[] = {na, nb, nc, nd}, which = blockIdx.x / share;
  return {x[which], size[which], blockIdx.x % share * blockDim.x + threadIdx.x, share * blockDim.x};
}

extern "C" __global__ void sum_of_squares(ARRAYS, A* sums) {
  __shared__ A cells[THREADS];
  Part part = here();
  A sum = 0;
  for (long long i = part.start; i < part.size; i += part.stride) sum += (A)part.x[i] * (A)part.x[i];
  sum = block_sum(sum, cells);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// All elements times min(1, limit / (norm + 1e-6)), which may be nan; norm = √Σ sums is kept.
extern "C" __global__ void clip(ARRAYS, const A* sums, long long count, double limit, const float* limit_value, A* norm) {
  __shared__ A cells[THREADS];
  A total = 0;
  for (long long i = threadIdx.x; i < count; i += blockDim.x) total += sums[i];
  total = sqrt(block_sum(total, cells));
  if (blockIdx.x == 0 && threadIdx.x == 0) *norm = total;
  A factor = (A)((limit_value ? (double)*limit_value : limit) / ((double)total + 1e-6));
  if (factor >= 1) return;
  Part part = here();
  for (long long i = part.start; i < part.size; i += part.stride) part.x[i] = (T)((A)part.x[i] * factor);
}

// *found = 1 if an element is inf or nan; all elements divided by *scale, where there is one.
extern "C" __global__ void find_inf_and_unscale(ARRAYS, const float* scale, float* found) {
  Part part = here();
  A factor = scale ? (A)(float)(1 / (double)*scale) : 1;
  for (long long i = part.start; i < part.size; i += part.stride) {
    A x = (A)part.x[i];
    if (!isfinite(x)) *found = 1;
    if (scale) part.x[i] = (T)(x * factor);
  }
}

extern "C" __global__ void update_scale(float* scale, int* tracker, const float* found, double growth, double backoff,
                                        long long interval) {
  bool spoilt = *found != 0, grows = !spoilt && *tracker + 1 == interval;
  float grown = (float)(*scale * growth);
  *tracker = spoilt || grows ? 0 : *tracker + 1;
  if (spoilt) *scale = (float)(*scale * backoff);
  if (grows && isfinite(grown)) *scale = grown;
}
"""
)


@on_gpu("clip_norm")
def clip_norm(gradients: Sequence[Array], limit: Any) -> Array:
    """Scale the arrays, all of one dtype, by min(1, limit / (norm + 1e-6)); returns the old norm, 0-d.

    The norm of float16 arrays is float32. limit is a number, or a float32 array with one element.
    """
    first = gradients[0]
    xp = array_module(first)
    packed, calls = _packed(gradients)
    kind = "float64" if first.dtype == "float64" else "float32"
    sums, norm = xp.empty(sum(blocks for blocks, _ in calls), kind), xp.empty((), kind)
    start = 0
    for blocks, arrays in calls:
        launch(SOURCE, "sum_of_squares", first.dtype, blocks, (*arrays, sums[start:]))
        start += blocks
    number, value = (0.0, limit) if hasattr(limit, "dtype") else (float(limit), None)
    for blocks, arrays in calls:
        launch(SOURCE, "clip", first.dtype, blocks, (*arrays, sums, sums.size, number, value, norm))
    _put_back(gradients, packed)
    return norm


@on_gpu("find_inf_and_unscale")
def find_inf_and_unscale(gradients: Sequence[Array], scale: Array | None, found: Array) -> None:
    """found[()] = 1 if an element of the arrays, all of one dtype, is inf or nan; divide them by scale[()], if given."""
    packed, calls = _packed(gradients)
    for blocks, arrays in calls:
        launch(SOURCE, "find_inf_and_unscale", gradients[0].dtype, blocks, (*arrays, scale, found))
    if scale is not None:
        _put_back(gradients, packed)


@on_gpu("update_scale")
def update_scale(scale: Array, tracker: Array, found: Array, growth: float, backoff: float, interval: int) -> None:
    """`amp.GradScaler.update`: change the scale and the count of steps, depending on found."""
    arguments = scale, tracker, found, float(growth), float(backoff), int(interval)  # a factor may be the int 2
    launch(SOURCE, "update_scale", scale.dtype, 1, arguments, threads=1)


def _packed(gradients: Sequence[Array]) -> tuple[list[Array], list[tuple[int, list[Any]]]]:
    """The arrays, copied if a kernel cannot read them; for each launch its blocks and the arguments ARRAYS."""
    packed = [g if g.flags.c_contiguous or g.flags.f_contiguous else g.copy() for g in gradients]
    calls = []
    for i in range(0, len(packed), AT_ONCE):
        some = packed[i : i + AT_ONCE]
        share = max(1, min(MOST, -(-max(g.size for g in some) // EACH)))
        arguments: list[Any] = [x for g in some for x in (g, g.size)] + [None, 0] * (AT_ONCE - len(some))
        calls.append((share * len(some), [*arguments, share]))
    return packed, calls


def _put_back(gradients: Sequence[Array], packed: Sequence[Array]) -> None:
    for g, x in zip(gradients, packed):
        if g is not x:
            g[...] = x
