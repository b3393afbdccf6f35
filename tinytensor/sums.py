"""How numbers add up: one rule, for every sum over axes, over the letters of an einsum, over repeated indices.

    float16     in float32, rounded once, at the end: in float16 a sum of ones stops at 2,048
    float32     pairwise or in blocks of BLOCK: added one by one, a million terms lose four of seven digits
    running     in float64, because each of its results is needed

NumPy adds pairwise along the axis that lies closest in memory, and one by one along the others. There `total` adds blocks,
and then the sums of the blocks. A GPU adds in blocks of its own; only float16 needs to be told.
Source: Higham, "The Accuracy of Floating Point Summation", 1993, section 3.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from tinytensor.backend import Array, array_module, matmul, ones
from tinytensor.dispatch import gpu
from tinytensor.layout import copy, in_order
from tinytensor.without_blas import HAS_BLAS

Kernel: TypeAlias = Callable[..., Any]
BLOCK = 64  # terms that are added one by one
WIDTH = 1024  # NumPy adds fastest if so many sums grow side by side: they stay in the cache of the processor
BY_BLAS = 1024 if HAS_BLAS else 2 * BLOCK  # up to so many terms its sums are as exact, and several times as fast
LONG = 512  # terms of a product; NumPy without BLAS adds up more than these one by one, and some BLAS does …
SMALL, VECTOR = 10**6, 8192  # … where rows · terms · columns are at most SMALL, or from VECTOR terms of a vector on
HALF = np.dtype(np.float16)
add_up: Kernel = np.add.reduce  # what x.sum() calls, sooner


def total(x: Array, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Array:
    """Σ x over axis (a number, a tuple, None for all), in row-major memory. dtype, that of x if None: of the result."""
    if dtype is None and x.size <= 2 * BLOCK and type(x) is np.ndarray and x.itemsize != 2:  # sooner
        return in_order(add_up(x, axis, x.dtype, None, keepdims))
    wanted = x.dtype if dtype is None else np.dtype(dtype)
    wide = np.dtype(np.float32) if wanted == HALF else wanted
    axes = tuple(range(x.ndim)) if axis is None else (axis,) if isinstance(axis, int) else axis
    if not isinstance(x, np.ndarray):
        y = x.sum(axis=axes, dtype=wide, keepdims=keepdims)
    elif wide.kind != "f" or _exact(x, axes):
        y = add_up(x, axes, wide, keepdims=keepdims)
    else:
        y = _in_blocks(x, axes, wide)
        y = y.reshape([1 if d in axes else n for d, n in enumerate(x.shape)]) if keepdims else y
    return in_order(y if wanted is wide else y.astype(wanted))


def _exact(x: Array, axes: tuple[int, ...]) -> bool:
    """Whether x.sum(axes) has few terms, or adds pairwise: along the last axes of row-major memory."""
    if x.size <= 2 * BLOCK or (x.flags.c_contiguous and min(axes, default=0) >= x.ndim - len(axes)):
        return True
    terms: int = math.prod([x.shape[d] for d in axes])
    return terms <= 2 * BLOCK


def _in_blocks(x: Array, axes: Sequence[int], wide: np.dtype[Any]) -> Array:
    """Σ x over axes, along one after the other, from the one that lies closest in memory."""
    order = sorted((d for d in range(x.ndim) if x.shape[d] != 1), key=lambda d: -abs(x.strides[d]))
    shape: list[int] = []  # of x in that order; neighbours that are both summed, and lie in one piece, become one
    summed: list[bool] = []
    for before, d in zip([None, *order], order):
        joined = before is not None and d in axes and before in axes and x.strides[before] == x.strides[d] * x.shape[d]
        shape[-1:] = [shape[-1] * x.shape[d]] if joined else [*shape[-1:], x.shape[d]]
        summed[-1:] = [True] if joined else [*summed[-1:], d in axes]
    y = x.transpose([*order, *(d for d in range(x.ndim) if x.shape[d] == 1)]).reshape(shape)
    for d in reversed(range(y.ndim)):
        if summed[d]:
            y = y.sum(d, dtype=wide) if d == y.ndim - 1 else _along(y, d, wide)
    kept = [d for d in order if d not in axes]
    y = np.asarray(y).transpose([kept.index(d) for d in sorted(kept)])
    return y.reshape([n for d, n in enumerate(x.shape) if d not in axes])


def _along(x: Array, d: int, wide: np.dtype[Any]) -> Array:
    """Σ x over its axis d, not the last one. Each block has BLOCK terms, and they lie `step` apart, so that `step`
    blocks, with the axes after d, are one vector of about WIDTH numbers."""
    n, before, after = x.shape[d], x.shape[:d], x.shape[d + 1 :]
    if n <= 2 * BLOCK:
        return x.sum(d, dtype=wide)
    groups = max(1, n // (BLOCK * max(1, WIDTH // max(1, math.prod(after)))))
    step = n // (groups * BLOCK)
    whole = groups * BLOCK * step
    head, tail = (x[(slice(None),) * d + (part,)] for part in (slice(whole), slice(whole, None)))
    sums = head.reshape(*before, groups, BLOCK, step, *after).sum(d + 1, dtype=wide)
    y = _along(sums.reshape(*before, groups * step, *after), d, wide)
    return y + _along(tail, d, wide) if tail.shape[d] else y


def product(a: Array, b: Array, out: Array | None = None) -> Array:
    """a @ b, written to out if it is given. On a GPU, a CUDA graph can record this product."""
    if type(a) is not np.ndarray:
        return gpu("matmul")(a, b, out)  # cuda/products.py
    shape = a.shape
    if not shape or shape[-1] <= LONG or not _one_by_one(a, b):
        return matmul(a, b, out)
    if not HAS_BLAS:
        return _in_parts(a, b, out)
    size = 2 * BLOCK
    blocks = a.shape[-1] // size
    whole = blocks * size
    rows, columns = a[None] if a.ndim == 1 else a, b[:, None] if b.ndim == 1 else b
    left = (
        rows[..., :whole].reshape(*rows.shape[:-1], blocks, size).swapaxes(-2, -3)
    )  # (…, N, K) -> (…, blocks, N, size)
    right = columns[..., :whole, :].reshape(*columns.shape[:-2], blocks, size, columns.shape[-1])
    each = matmul(left, right)  # (…, blocks, N, M)
    y = total(each, each.ndim - 3) + matmul(rows[..., whole:], columns[..., whole:, :])
    y = y.reshape(*y.shape[:-2], *a.shape[-2:-1], *b.shape[1:][-1:])  # a vector takes its dimension with it
    if out is not None:
        out[...] = y
    return y if out is None else out


def _in_parts(a: Array, b: Array, out: Array | None) -> Array:
    """a @ b, the sum of products with LONG terms each: for NumPy without BLAS, which adds up all terms one by one."""
    y: Any = 0
    for start in range(0, a.shape[-1], LONG):
        part = slice(start, start + LONG)
        y += _wide(matmul(a[..., part], b[part] if b.ndim == 1 else b[..., part, :]))
    y = y.astype(np.result_type(a, b), copy=False)
    if out is None:
        return y
    out[...] = y
    return out


def _one_by_one(a: Array, b: Array) -> bool:
    """Whether the terms of a @ b are added up one by one: without BLAS all, with some BLAS those of some sizes."""
    if b.shape[-2:][:1] != a.shape[-1:] or a.dtype.kind != "f":
        return False  # NumPy refuses sizes that do not fit
    if not HAS_BLAS:
        return True
    if a.ndim == b.ndim == 1:
        return False  # BLAS takes several sums at once of two vectors
    terms, rows, columns = a.shape[-1], a.shape[-2] if a.ndim > 1 else 1, b.shape[-1] if b.ndim > 1 else 1
    return rows * terms * columns <= SMALL or (terms >= VECTOR and min(rows, columns) == 1)


def column_sums(x: Array, each_row: Array | None = None) -> Array:
    """Σ over the rows of a matrix: (N, C) -> (C,). By BLAS, whose sums of a width that 4 divides are better; beyond
    BY_BLAS rows, the sums of blocks by BLAS. each_row: N ones, if the caller has them: on a GPU they are a launch."""
    n, size = len(x), 2 * BLOCK
    if not isinstance(x, np.ndarray):
        return product(ones(n, x) if each_row is None else each_row, x)
    if n <= (size if x.shape[1] % 4 else BY_BLAS):
        return matmul(ones(n, x), x)
    whole = n // size * size  # np.split would take as long as the sum
    y = total(matmul(ones(size, x), x[:whole].reshape(-1, size, x.shape[1])), 0)
    return y + matmul(ones(n - whole, x), x[whole:]) if n > whole else y


def row_sums(x: Array, weight: Array | None = None) -> Array:
    """Σ x·weight along each row of a matrix, weight (C,) or absent: (N, C) -> (N,)."""
    if _by_blas(x):
        return x @ (ones(x.shape[1], x) if weight is None else weight)
    return total(x if weight is None else x * weight, 1)


def row_squares(x: Array) -> Array:
    """Σ x² along each row of a matrix: (N, C) -> (N,)."""
    return np.einsum("ij,ij->i", x, x) if _by_blas(x) else total(x * x, 1)


def _by_blas(x: Array) -> bool:
    """Whether BLAS is exact enough along the rows of x: several sums at once for each row, if it lies in one piece."""
    n: int = x.shape[1]
    return n <= 2 * BLOCK or not isinstance(x, np.ndarray) or (n <= BY_BLAS and x.flags.c_contiguous)


def running(x: Array, axis: int) -> Array:
    """x₁, x₁ + x₂, … along axis, in row-major memory."""
    if not isinstance(x, np.ndarray):
        return x.cumsum(axis, dtype=np.float32 if x.dtype == HALF else x.dtype).astype(x.dtype, copy=False)
    wide = x.astype(np.float64 if x.dtype.kind == "f" else x.dtype, order="C")
    return np.cumsum(wide, axis=axis, out=wide).astype(x.dtype, copy=False)


def in_float32(forward: Kernel, backward: Kernel) -> tuple[Kernel, Kernel]:
    """The pair for float16: it computes in float32 inside, and rounds its results alone."""

    @functools.wraps(forward)
    def wide_forward(*arrays: Any, **static: Any) -> Any:
        wide = [_wide(x) for x in arrays]
        y, saved = forward(*wide, **static)
        y16 = y.astype(HALF)
        narrow = {id(w): x for w, x in zip([*wide, y], [*arrays, y16])}
        return y16, tuple([narrow.get(id(s), s) for s in saved])  # inputs and output stay float16 between the passes

    @functools.wraps(backward)
    def wide_backward(dy: Any, *saved: Any, **options: Any) -> Any:
        dxs = backward(*map(_wide, (dy, *saved)), **{name: _wide(value) for name, value in options.items()})
        return tuple([None if dx is None else dx.astype(HALF) for dx in dxs])

    return wide_forward, wide_backward


def _wide(x: Any) -> Any:
    """x; a float16 array in float32."""
    return copy(x, np.float32) if getattr(x, "dtype", None) == HALF else x


def contraction(equation: str, *xs: Array, optimize: bool) -> Array:
    """np.einsum; on a GPU, in the precision that `precision.py` permits."""
    if type(xs[0]) is not np.ndarray:
        return gpu("einsum")(equation, *xs, optimize=optimize)
    inputs, _, output = equation.partition("->")
    if len(xs) == 1 and len(output) < len(inputs):
        left = "".join(c for c in inputs if c in output)
        x = total(xs[0], tuple(d for d, c in enumerate(inputs) if c not in output))
        return np.einsum(f"{left}->{output}", x)
    if len(xs) == 1:
        return np.einsum(equation, *xs)  # a view
    long = _long_letter(inputs.split(","), output, xs) if len(xs) == 2 else ""
    if not long:
        return np.einsum(equation, *map(_wide, xs), optimize=optimize).astype(xs[0].dtype, copy=False)
    # A product that BLAS does not know, Σₙ a[n, k] b[n, k]: in blocks of n, then the sum of these
    n = xs[0].shape[inputs.index(long)]
    blocks, z = n // BY_BLAS, next(c for c in "zyxwvutsr" if c not in equation)
    split = [np.split(_wide(x), [blocks * BY_BLAS], s.index(long)) for x, s in zip(xs, inputs.split(","))]
    heads = [
        x.reshape(*x.shape[: (i := s.index(long))], blocks, BY_BLAS, *x.shape[i + 1 :])
        for (x, _), s in zip(split, inputs.split(","))
    ]
    y = total(np.einsum(f"{inputs.replace(long, z + long)}->{z}{output}", *heads, optimize=optimize), 0)
    if n % BY_BLAS:
        y = y + np.einsum(equation, *(tail for _, tail in split), optimize=optimize)
    return in_order(np.asarray(y).astype(xs[0].dtype, copy=False))


def _long_letter(inputs: list[str], output: str, xs: Sequence[Array]) -> str:
    """A letter over which two operands are summed, and which is long, while another letter runs along with both."""
    both = [c for c in inputs[0] if c in inputs[1]]
    long = [c for c in both if c not in output and all(x.shape[s.index(c)] > BY_BLAS for x, s in zip(xs, inputs))]
    return long[0] if long and (not HAS_BLAS or any(c in output for c in both)) else ""


def add_at(x: Array, index: Any, updates: Array) -> Array:
    """x[index] += updates, where repeated indices add up: x itself, or an array in its place.

    With more updates than elements of x, float32 adds up in float64: NumPy adds the updates one by one.
    """
    many = isinstance(x, np.ndarray) and updates.size > x.size and x.dtype == np.float32
    wide = np.float64 if many else np.float32 if x.dtype == HALF else x.dtype
    y = x.astype(wide, copy=False)
    array_module(x).add.at(y, index, updates.astype(wide, copy=False))
    return y.astype(x.dtype, copy=False)


def add_rows(rows: int, index: Array, updates: Array) -> Array:
    """out[index[n]] += updates[n] over n; out (rows, C), index (N,), updates (N, C). Repeated indices add up.

    On the CPU the updates are sorted by index, so that those of one row are a run, and each run is summed.
    """
    xp = array_module(updates)
    out = xp.zeros((rows, updates.shape[1]), updates.dtype)
    if xp is not np:
        return add_at(out, index, updates)
    if len(updates):
        order = np.argsort(index, kind="stable")
        ordered = index[order]
        first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        wide = np.float32 if updates.dtype == HALF else updates.dtype
        out[ordered[first]] = np.add.reduceat(updates[order], first, axis=0, dtype=wide)
    return out
