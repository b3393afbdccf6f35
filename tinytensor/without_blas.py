"""a @ b where NumPy was built without BLAS, as in the browser: up to five times as fast as np.matmul is there.

np.matmul then runs plain loops, which read one of the matrices against its order in memory. einsum multiplies two rows
that lie in one piece with vector instructions: y[i, k] = Σⱼ a[i, j] bᵀ[k, j]. So both matrices are laid out like that,
by a copy where they are not, which takes little time beside the product. Batches of small matrices stay with np.matmul,
which multiplies those faster than einsum does.

`matmul` is np.matmul itself where there is BLAS. A program that has a product of its own puts it into `faster`: the
laboratory has one in WebAssembly (docs/lab/product.wat).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

# product(a, b, out): a @ b; None for what it does not take
faster: Callable[[Any, Any, Any], Any] | None = None
FAST = (np.dtype(np.float32), np.dtype(np.float64))  # the dtypes for which einsum has vector instructions


def has_blas() -> bool:
    """Whether NumPy was built with BLAS: its build then says "found" of OpenBLAS, Accelerate, MKL, ….

    Where it is not known, it is taken to be there: np.matmul is right in any case.
    """
    build: Any = np.show_config(mode="dicts")
    blas = build.get("Build Dependencies", {}).get("blas")
    return blas is None or bool(blas.get("found", False))  # without BLAS the entry is {"name": "auto"} alone


def by_einsum(a: Any, b: Any, out: Any = None) -> Any:
    """np.matmul(a, b, out): the same shapes, dtypes, memory order and errors."""
    if faster is not None and (found := faster(a, b, out)) is not None:
        return found
    if not _fits(a, b):
        return np.matmul(a, b, out)  # it also says what is wrong
    shape = (*a.shape[:-1], *b.shape[:-2], b.shape[-1])
    if out is not None and not _alone(out, shape, a, b):
        return np.matmul(a, b, out)
    y = np.empty(shape, a.dtype) if out is None else out
    if a.ndim == 1:
        return np.einsum("j,...jk->...k", a, b, out=y)
    return np.einsum("ij,kj->ik", _rows(a), _rows(b.T), out=y)


def _fits(a: Any, b: Any) -> bool:
    """Whether einsum computes this product: (N, K) @ (K, M) or (K,) @ (…, K, M), of one dtype."""
    if not (type(a) is type(b) is np.ndarray and a.dtype == b.dtype and a.dtype in FAST):
        return False
    return a.shape[-1:] == b.shape[-2:-1] and (a.ndim == 1 or a.ndim == b.ndim == 2)


def _alone(out: Any, shape: tuple[int, ...], a: Any, b: Any) -> bool:
    """Whether out is an array of that shape and of a's dtype, in memory of its own."""
    same = type(out) is np.ndarray and out.dtype == a.dtype and out.shape == shape
    return same and not (np.may_share_memory(out, a) or np.may_share_memory(out, b))


def _rows(x: Any) -> Any:
    """x (N, K), each of its rows in one piece."""
    return x if x.strides[1] == x.itemsize else x.copy()


HAS_BLAS = has_blas()
matmul: Callable[..., Any] = np.matmul if HAS_BLAS else by_einsum
