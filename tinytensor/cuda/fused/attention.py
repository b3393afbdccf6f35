"""Attention in one launch each way, in memory that grows with T: `ops/blockwise_attention.py` has the formulas.

Forward, a block of threads owns a tile of queries and loops over tiles of keys and values, with an online softmax.
Backward, some blocks do the same for dq; the others own tiles of keys and loop over queries for dk and dv. So no two
blocks write to the same place, and sums have a fixed order. A thread keeps MINE × THEIRS scores of a tile in registers.

Arrays come with their strides: q, k and v are views of (B, T, 3H, D), and y, dq, dk, dv are laid out like them. If q, k
and v lie side by side, so do their gradients, and `fused/split.py` copies nothing.
A mask is added to the scores; its gradient needs T·S numbers. dropout multiplies the weights.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from tinytensor.backend import Array, array_module
from tinytensor.cuda.fused import replace
from tinytensor.cuda.fused.split import joined
from tinytensor.cuda.kernel import NAMES, as_four, empty, launch, strides
from tinytensor.ops.arithmetic import unbroadcast
from tinytensor.ops.attention import causal_mask
from tinytensor.ops.blockwise_attention import check
from tinytensor.ops.shape import pieces
from tinytensor.primitive import Gradients, Output
from tinytensor.sums import product

LANES, GROUPS = 16, 8  # threads of a block: along a row of a tile, and rows at a time; half a warp shares a row
TILES = ((32, 32), (16, 32), (16, 16), (8, 16))  # rows of a block's own tiles and of the others, the best first
SHARED = 48 * 1024  # bytes that every card gives a block

CONSTANTS = "constexpr int W = {}, OWN = {}, OTHER = {};"  # columns of a tile: D and E, rounded up; rows, see TILES
SOURCE = """
constexpr int LANES = 16, GROUPS = 8, MINE = OWN / GROUPS, THEIRS = OTHER / LANES, COLUMNS = W / LANES;
constexpr int PITCH = W + 1;  // odd: a column of a tile lies in different banks

struct Layout { long long batch, head, row, column; };  // strides, in elements
struct Problem {
  long long heads, T, S, D, E, causal;
  Layout q, k, v, mask, dropout, y, dy, dq, dk, dv;
  double scale;
};
struct Head { const T *q, *k, *v, *mask, *dropout, *y, *dy; T *dq, *dk, *dv; const A* log_sum; };  // of one batch and head
struct Tiles {
  A own[2][OWN][PITCH], other[2][OTHER][PITCH], weights[OWN][OTHER + 1], slopes[OWN][OTHER + 1];
  A logs[OWN > OTHER ? OWN : OTHER], deltas[OWN > OTHER ? OWN : OTHER];
};

__device__ int lane() { return threadIdx.x % LANES; }
__device__ int group() { return threadIdx.x / LANES; }
__device__ A infinity() { return (A)__int_as_float(0x7f800000); }

__device__ A sum_of_lanes(A x) {
  for (int step = LANES / 2; step; step /= 2) x += __shfl_xor_sync(0xffffffff, x, step);
  return x;
}
__device__ A max_of_lanes(A x) {
  for (int step = LANES / 2; step; step /= 2) x = max(x, __shfl_xor_sync(0xffffffff, x, step));
  return x;
}

template <class P> __device__ P* of_head(P* x, Layout at, long long batch, long long head) {
  return x ? x + batch * at.batch + head * at.head : x;
}

// Rows first, first + 1, … of x (end, width), and zeros around them.
__device__ void load(A (*tile)[PITCH], int rows, const T* x, Layout at, long long first, long long end, long long width) {
  for (int r = group(); r < rows; r += GROUPS)
    for (int c = lane(); c < W; c += LANES)
      tile[r][c] = first + r < end && c < width ? (A)x[(first + r) * at.row + c * at.column] : (A)0;
}

// The same of dy, and for each row L and the sum of dy y. Beyond the last row L is infinite, so that weights are 0.
__device__ void load_dy(A (*tile)[PITCH], Tiles& s, int rows, const Head& x, const Problem& p, long long first) {
  load(tile, rows, x.dy, p.dy, first, p.T, p.E);
  for (int r = group(); r < rows; r += GROUPS) {
    bool inside = first + r < p.T;
    A delta = 0;
    for (int c = lane(); inside && c < p.E; c += LANES)
      delta += tile[r][c] * (A)x.y[(first + r) * p.y.row + c * p.y.column];
    delta = sum_of_lanes(delta);
    if (lane() == 0) s.deltas[r] = delta;
    if (lane() == 0) s.logs[r] = inside ? x.log_sum[first + r] : infinity();
  }
}

// a[i][j] = own row group + GROUPS i, times other row lane + LANES j
__device__ void multiply(A (&a)[MINE][THEIRS], A (*own)[PITCH], A (*other)[PITCH]) {
  for (int i = 0; i < MINE; i++)
    for (int j = 0; j < THEIRS; j++) a[i][j] = 0;
#pragma unroll 8
  for (int d = 0; d < W; d++) {
    A theirs[THEIRS];
#pragma unroll
    for (int j = 0; j < THEIRS; j++) theirs[j] = other[lane() + LANES * j][d];
#pragma unroll
    for (int i = 0; i < MINE; i++) {
      A mine = own[group() + GROUPS * i][d];
#pragma unroll
      for (int j = 0; j < THEIRS; j++) a[i][j] += mine * theirs[j];
    }
  }
}

// z[i][n] += sum over c of weights[own row i][c] other[c][lane + LANES n]
__device__ void accumulate(A (&z)[MINE][COLUMNS], A (*weights)[OTHER + 1], A (*other)[PITCH]) {
#pragma unroll 4
  for (int c = 0; c < OTHER; c++) {
    A w[MINE];
#pragma unroll
    for (int i = 0; i < MINE; i++) w[i] = weights[group() + GROUPS * i][c];
#pragma unroll
    for (int n = 0; n < COLUMNS; n++) {
      A x = other[c][lane() + LANES * n];
#pragma unroll
      for (int i = 0; i < MINE; i++) z[i][n] += w[i] * x;
    }
  }
}

__device__ void store(T* x, Layout at, A (&z)[MINE][COLUMNS], A scale, long long first, long long end, long long width) {
#pragma unroll
  for (int i = 0; i < MINE; i++) {
    long long row = first + group() + GROUPS * i;
#pragma unroll
    for (int n = 0; n < COLUMNS; n++)
      if (row < end && lane() + LANES * n < width) x[row * at.row + (lane() + LANES * n) * at.column] = (T)(scale * z[i][n]);
  }
}

// The score of query t and key s, from their product; -inf where the query does not see the key.
__device__ A score(const T* mask, const Problem& p, A product, long long t, long long s) {
  if (t >= p.T || s >= p.S || (p.causal && s > t)) return -infinity();
  A a = (A)p.scale * product;
  return mask ? a + (A)mask[t * p.mask.row + s * p.mask.column] : a;
}

__device__ A kept(const T* dropout, const Problem& p, long long t, long long s) {
  return dropout && t < p.T && s < p.S ? (A)dropout[t * p.dropout.row + s * p.dropout.column] : (A)1;
}

extern "C" __global__ void attention_forward(
    const T* q, const T* k, const T* v, const T* mask, const T* dropout, T* y, A* log_sum, Problem p) {
  __shared__ A queries[OWN][PITCH], keys[OTHER][PITCH], values[OTHER][PITCH], weights[OWN][OTHER + 1];
  long long tiles = (p.T + OWN - 1) / OWN, pair = blockIdx.x / tiles, batch = pair / p.heads, head = pair % p.heads;
  long long first = (tiles - 1 - blockIdx.x % tiles) * OWN;  // the last first: causal, it sees the most keys
  long long end = p.causal && first + OWN < p.S ? first + OWN : p.S;
  q = of_head(q, p.q, batch, head), k = of_head(k, p.k, batch, head), v = of_head(v, p.v, batch, head);
  mask = of_head(mask, p.mask, batch, head), dropout = of_head(dropout, p.dropout, batch, head);
  y = of_head(y, p.y, batch, head), log_sum += pair * p.T;
  A z[MINE][COLUMNS] = {}, total[MINE] = {}, top[MINE], a[MINE][THEIRS];
  for (int i = 0; i < MINE; i++) top[i] = -infinity();
  load(queries, OWN, q, p.q, first, p.T, p.D);
  for (long long from = 0; from < end; from += OTHER) {
    __syncthreads();  // nobody reads the last tiles any more
    load(keys, OTHER, k, p.k, from, p.S, p.D);
    load(values, OTHER, v, p.v, from, p.S, p.E);
    __syncthreads();
    multiply(a, queries, keys);
#pragma unroll
    for (int i = 0; i < MINE; i++) {
      int row = group() + GROUPS * i;
      A before = top[i];
#pragma unroll
      for (int j = 0; j < THEIRS; j++) {
        a[i][j] = score(mask, p, a[i][j], first + row, from + lane() + LANES * j);
        top[i] = max(top[i], a[i][j]);
      }
      top[i] = max_of_lanes(top[i]);
      A shift = top[i] == -infinity() ? (A)0 : top[i], fade = exp(before - shift);  // a row that saw nothing has weights 0
      total[i] *= fade;
#pragma unroll
      for (int n = 0; n < COLUMNS; n++) z[i][n] *= fade;
#pragma unroll
      for (int j = 0; j < THEIRS; j++) {
        int column = lane() + LANES * j;
        A w = exp(a[i][j] - shift);
        total[i] += w;
        weights[row][column] = w * kept(dropout, p, first + row, from + column);
      }
    }
    __syncwarp();  // a row of weights is written and read by one warp
    accumulate(z, weights, values);
  }
#pragma unroll
  for (int i = 0; i < MINE; i++) {
    long long row = first + group() + GROUPS * i;
    A sum = sum_of_lanes(total[i]), divisor = sum == 0 ? (A)1 : sum;
#pragma unroll
    for (int n = 0; n < COLUMNS; n++) z[i][n] /= divisor;
    if (lane() == 0 && row < p.T) log_sum[row] = sum == 0 ? infinity() : top[i] + log(sum);
  }
  store(y, p.y, z, 1, first, p.T, p.E);
}

// dq of a tile of queries.
__device__ void over_keys(Tiles& s, const Head& x, const Problem& p, long long first) {
  A dq[MINE][COLUMNS] = {}, a[MINE][THEIRS], dw[MINE][THEIRS];
  long long end = p.causal && first + OWN < p.S ? first + OWN : p.S;
  load(s.own[0], OWN, x.q, p.q, first, p.T, p.D);
  load_dy(s.own[1], s, OWN, x, p, first);
  for (long long from = 0; from < end; from += OTHER) {
    __syncthreads();  // nobody reads the last tiles any more
    load(s.other[0], OTHER, x.k, p.k, from, p.S, p.D);
    load(s.other[1], OTHER, x.v, p.v, from, p.S, p.E);
    __syncthreads();
    multiply(a, s.own[0], s.other[0]);
    multiply(dw, s.own[1], s.other[1]);
#pragma unroll
    for (int i = 0; i < MINE; i++)
#pragma unroll
      for (int j = 0; j < THEIRS; j++) {
        int row = group() + GROUPS * i, column = lane() + LANES * j;
        long long query = first + row, key = from + column;
        A w = exp(score(x.mask, p, a[i][j], query, key) - s.logs[row]);
        s.slopes[row][column] = w * (kept(x.dropout, p, query, key) * dw[i][j] - s.deltas[row]);
      }
    __syncwarp();  // a row of slopes is written and read by one warp
    accumulate(dq, s.slopes, s.other[0]);
  }
  store(x.dq, p.dq, dq, (A)p.scale, first, p.T, p.D);
}

// dk and dv of a tile of keys.
__device__ void over_queries(Tiles& s, const Head& x, const Problem& p, long long first) {
  A dk[MINE][COLUMNS] = {}, dv[MINE][COLUMNS] = {}, a[MINE][THEIRS], dw[MINE][THEIRS];
  load(s.own[0], OWN, x.k, p.k, first, p.S, p.D);
  load(s.own[1], OWN, x.v, p.v, first, p.S, p.E);
  for (long long from = p.causal ? first : 0; from < p.T; from += OTHER) {
    __syncthreads();  // nobody reads the last tiles any more
    load(s.other[0], OTHER, x.q, p.q, from, p.T, p.D);
    load_dy(s.other[1], s, OTHER, x, p, from);
    __syncthreads();
    multiply(a, s.own[0], s.other[0]);
    multiply(dw, s.own[1], s.other[1]);
#pragma unroll
    for (int i = 0; i < MINE; i++)
#pragma unroll
      for (int j = 0; j < THEIRS; j++) {
        int row = group() + GROUPS * i, column = lane() + LANES * j;
        long long query = from + column, key = first + row;
        A w = exp(score(x.mask, p, a[i][j], query, key) - s.logs[column]), keep = kept(x.dropout, p, query, key);
        s.weights[row][column] = w * keep;
        s.slopes[row][column] = w * (keep * dw[i][j] - s.deltas[column]);
      }
    __syncwarp();  // a row of weights and slopes is written and read by one warp
    accumulate(dv, s.weights, s.other[1]);
    accumulate(dk, s.slopes, s.other[0]);
  }
  store(x.dk, p.dk, dk, (A)p.scale, first, p.S, p.D);
  store(x.dv, p.dv, dv, 1, first, p.S, p.E);
}

extern "C" __global__ void attention_backward(
    const T* q, const T* k, const T* v, const T* mask, const T* dropout, const T* y, const T* dy, T* dq, T* dk, T* dv,
    const A* log_sum, Problem p) {
  __shared__ Tiles s;
  long long of_queries = (p.T + OWN - 1) / OWN, tiles = of_queries + (p.S + OWN - 1) / OWN;
  long long pair = blockIdx.x / tiles, batch = pair / p.heads, head = pair % p.heads, tile = blockIdx.x % tiles;
  Head x = {
    of_head(q, p.q, batch, head), of_head(k, p.k, batch, head), of_head(v, p.v, batch, head),
    of_head(mask, p.mask, batch, head), of_head(dropout, p.dropout, batch, head), of_head(y, p.y, batch, head),
    of_head(dy, p.dy, batch, head), of_head(dq, p.dq, batch, head), of_head(dk, p.dk, batch, head),
    of_head(dv, p.dv, batch, head), log_sum + pair * p.T,
  };
  if (tile < of_queries) over_keys(s, x, p, (of_queries - 1 - tile) * OWN);  // those with the most work first, see forward
  else over_queries(s, x, p, (tile - of_queries) * OWN);
}
"""
STRIDED = ("q", "k", "v", "mask", "dropout", "y", "dy", "dq", "dk", "dv")
PROBLEM = np.dtype(
    [("sizes", np.int64, 6), *((name, np.int64, 4) for name in STRIDED), ("scale", np.float64)]
)  # as in the source


def attention_forward(
    q: Array, k: Array, v: Array, mask: Array | None, *, scale: float, causal: bool, dropout: Array | None = None
) -> Output:
    batch, T, E = batch_of(q, k, v), q.shape[-2], v.shape[-1]
    arrays = as_heads(batch, T, k.shape[-2], q, k, v, mask, dropout)
    xq = arrays[0]
    y = np.empty_like(xq, shape=(*xq.shape[:3], E))  # with the memory layout of q
    log_sum = empty(q, xq.shape[:3], np.float64 if q.dtype == np.float64 else np.float32)
    source, own = kernel_for(max(q.shape[-1], E), log_sum.itemsize)
    blocks = xq.shape[0] * xq.shape[1] * -(-T // own)
    arguments = *arrays, y, log_sum, problem([*arrays, y], E, scale, causal)
    launch(source, "attention_forward", q.dtype, blocks, arguments, LANES * GROUPS)
    return y.reshape(*batch, T, E), (q, k, v, mask, dropout, y, log_sum, scale, causal)


def attention_backward(
    dy: Array, q: Array, k: Array, v: Array, mask: Array | None, dropout: Array | None, y: Array, log_sum: Array,
    scale: float, causal: bool, *, needs: tuple[bool, ...] = (True,) * 4,
) -> Gradients:  # fmt: skip
    batch, T, S, E = batch_of(q, k, v), q.shape[-2], k.shape[-2], v.shape[-1]
    arrays = as_heads(batch, T, S, q, k, v, mask, dropout)
    dq, dk, dv = gradients(*arrays[:3])
    arrays = [*arrays, y, as_four(dy), dq, dk, dv]
    source, own = kernel_for(max(q.shape[-1], E), log_sum.itemsize)
    blocks = dq.shape[0] * dq.shape[1] * (-(-T // own) - (-S // own))
    arguments = *arrays, log_sum, problem(arrays, E, scale, causal)
    launch(source, "attention_backward", q.dtype, blocks, arguments, LANES * GROUPS)
    dmask = None
    if mask is not None and needs[3]:
        dmask = mask_gradient(dy, q, k, v, mask, dropout, log_sum.reshape(*batch, T, 1), scale, causal)
    return *(unbroadcast(d.reshape(*batch, *x.shape[-2:]), x.shape) for d, x in ((dq, q), (dk, k), (dv, v))), dmask


def mask_gradient(
    dy: Array, q: Array, k: Array, v: Array, mask: Array, dropout: Array | None, log_sum: Array, scale: float, causal: bool
) -> Array:  # fmt: skip
    """da, summed to the shape of the mask."""
    q, k, v, dy = (x.astype(log_sum.dtype, copy=False) for x in (q, k, v, dy))
    a = product(q * scale, k.swapaxes(-1, -2)) + mask
    if causal:
        a += causal_mask(a.shape[-2], a.shape[-1], a.dtype, array_module(a))
    w = np.exp(a - log_sum)
    dw = product(dy, v.swapaxes(-1, -2))
    if dropout is not None:
        dw *= dropout
    da = w * (dw - (dw * w).sum(-1, keepdims=True))
    return unbroadcast(da, mask.shape).astype(mask.dtype, copy=False)


def blockwise_attention_forward(
    q: Array, k: Array, v: Array, *, scale: float, causal: bool, block: int = 1, span: int = 1
) -> Output:
    """block and span are for the plain pair; here the GPU determines the tiles."""
    check(q, k, v, block, span)
    return attention_forward(q, k, v, None, scale=scale, causal=causal)


def blockwise_attention_backward(dy: Array, *saved: Any) -> Gradients:
    return attention_backward(dy, *saved)[:3]


def problem(arrays: list[Array], E: int, scale: float, causal: bool) -> Any:
    """The sizes and strides, which the kernel takes by value. arrays: in the order of STRIDED, None if absent."""
    (_, H, T, D), S = arrays[0].shape, arrays[1].shape[-2]
    layouts = [strides(x) for x in arrays] + [strides(None)] * (len(STRIDED) - len(arrays))
    return np.array([((H, T, S, D, E, causal), *layouts, scale)], PROBLEM)


def gradients(q: Array, k: Array, v: Array) -> list[Array]:
    """Memory for dq, dk, dv, laid out like q, k, v: pieces of one array if these are."""
    whole = joined([q, k, v], 1)
    if whole is None:
        return [np.empty_like(x) for x in (q, k, v)]
    return pieces(np.empty_like(whole), [x.shape[1] for x in (q, k, v)], 1)


def batch_of(q: Array, k: Array, v: Array) -> tuple[int, ...]:
    """The leading dimensions of y; ValueError if they do not broadcast."""
    batch: tuple[int, ...] = q.shape[:-2]
    same = batch == k.shape[:-2] == v.shape[:-2]
    return batch if same else np.broadcast_shapes(batch, k.shape[:-2], v.shape[:-2])


def as_heads(batch: tuple[int, ...], T: int, S: int, *arrays: Array) -> list[Array]:
    """q, k, v, mask, dropout with four dimensions: batch, heads, rows, columns."""
    shapes = [*((*batch, *x.shape[-2:]) for x in arrays[:3]), *[(*batch, T, S)] * 2]
    return [None if x is None else as_four(expanded(x, shape)) for x, shape in zip(arrays, shapes, strict=True)]


def expanded(x: Array, shape: tuple[int, ...]) -> Array:
    return x if x.shape == shape else np.broadcast_to(x, shape)


@functools.cache
def kernel_for(width: int, itemsize: int) -> tuple[str, int]:
    """The source for rows of up to that many numbers, and the number of rows of a block; "" and 0 if no tile fits."""
    columns = -(-width // LANES) * LANES
    for own, other in TILES:
        numbers = 2 * (own + other) * (columns + 1) + 2 * own * (other + 1) + 2 * max(own, other)
        if numbers * itemsize <= SHARED:
            return CONSTANTS.format(columns, own, other) + SOURCE, own
    return "", 0


def fits(q: Array, k: Array, v: Array, mask: Array | None = None, *, dropout: Array | None = None, **_: Any) -> bool:
    """Whether the kernels take this call. The plain pair takes the rest: empty arrays, wide rows, and errors."""
    dtype = q.dtype
    if any(x.ndim < 2 or x.size == 0 for x in (q, k, v)) or dtype.name not in NAMES:
        return False
    if any(x is not None and x.dtype != dtype for x in (k, v, mask, dropout)):
        return False
    if k.shape[-2] != v.shape[-2] or k.shape[-1] != q.shape[-1]:
        return False
    if not kernel_for(max(q.shape[-1], v.shape[-1]), max(dtype.itemsize, 4))[0]:
        return False
    try:
        shape = *batch_of(q, k, v), q.shape[-2], k.shape[-2]
        return all(x is None or np.broadcast_shapes(x.shape, shape) == shape for x in (mask, dropout))
    except ValueError:
        return False


replace("attention", attention_forward, attention_backward, when=fits)
replace("blockwise_attention", blockwise_attention_forward, blockwise_attention_backward, when=fits)
