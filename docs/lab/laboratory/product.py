"""The product of matrices of the page (product.wat), as the engine takes it in place of its own where NumPy has no BLAS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

SMALL = 4096  # multiplications; NumPy does fewer before a call of the page is over


def product_by(multiply: Callable[..., object]) -> Callable[[Any, Any, Any], Any]:
    """a @ b of float32 matrices, and of equal batches of them, by the page's function; None for others.

    multiply(a, its strides of a row and of a column, b, its stride of a row, y, its stride of a row, n, k, m, the two sizes
    of the batch, and the strides along them of a, b and y): addresses and strides in bytes.
    """

    def product(a: Any, b: Any, out: Any) -> Any:
        if not fits(a, b):
            return None
        b = b if b.strides[-1] == b.itemsize else b.copy()
        shape = (*a.shape[:-1], b.shape[-1])
        if out is not None and not takes(out, shape, a, b):
            return None
        y = np.empty(shape, a.dtype) if out is None else out
        address_a, address_b, address_y = (x.__array_interface__["data"][0] for x in (a, b, y))
        batch = (1, 1, *shape[:-2])[-2:]
        steps = [step for x in (a, b, y) for step in (0, 0, *x.strides[:-2])[-2:]]
        sizes = *a.shape[-2:], b.shape[-1]
        multiply(address_a, *a.strides[-2:], address_b, b.strides[-2], address_y, y.strides[-2], *sizes, *batch, *steps)
        return y

    return product


def fits(a: Any, b: Any) -> bool:
    """Whether the page's function multiplies these, and is worth its call."""
    if not (type(a) is type(b) is np.ndarray and a.dtype == b.dtype == np.float32 and 2 <= a.ndim == b.ndim <= 4):
        return False
    return bool(a.shape[:-2] == b.shape[:-2] and a.shape[-1] == b.shape[-2] and a.size * b.shape[-1] >= SMALL)


def takes(out: Any, shape: tuple[int, ...], a: Any, b: Any) -> bool:
    """Whether the product can be written into `out`: rows in one piece, and no memory of a factor."""
    if not (
        type(out) is np.ndarray and out.dtype == a.dtype and out.shape == shape and out.strides[-1] == out.itemsize
    ):
        return False
    return not np.may_share_memory(out, a) and not np.may_share_memory(out, b)
