"""Reading `dim` and `size` arguments: negative numbers, tuples or single numbers, -1 for an inferred size."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, TypeAlias

Dims: TypeAlias = "int | Sequence[int] | None"
Omitted: TypeAlias = (
    None  # in an annotation: None is the default, but PyTorch does not take it from users (signature.py)
)


def one_dim(dim: Any, ndim: int) -> int:
    """dim as a non-negative number; IndexError outside of [-ndim, ndim). A 0-d Tensor counts as one dimension."""
    n = max(ndim, 1)
    if type(dim) is not int:
        dim = whole(dim)
    if not -n <= dim < n:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})")
    place: int = dim % n
    return place


def whole(n: Any) -> int:
    """n as an int; TypeError for a bool and for what is no whole number, ValueError beyond 64 bits."""
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"expected an int, not {n!r} of type {type(n).__name__}")
    number = operator.index(n)
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"Overflow when unpacking long long: {number:.3g}")
    return number


def all_dims(dim: Dims, ndim: int) -> tuple[int, ...]:
    """dim as a tuple without repeats; None, () and [] mean all dimensions."""
    dims = tuple(range(ndim)) if dim is None else some_dims(dim, ndim)
    return dims or tuple(range(ndim))


def some_dims(dim: int | Sequence[int], ndim: int) -> tuple[int, ...]:
    """dim as a tuple without repeats; () means none."""
    dims = tuple(one_dim(d, ndim) for d in dim) if isinstance(dim, (tuple, list)) else (one_dim(dim, ndim),)
    if len(set(dims)) < len(dims):
        raise RuntimeError(f"dim {dims} names a dimension twice")
    return dims if ndim else ()


def sizes(size: tuple[Any, ...]) -> tuple[int, ...]:
    """The sizes of f(2, 3) and of f((2, 3)); the first can't be a bool. PyTorch looks at no other, and so do we."""
    if len(size) == 1 and not hasattr(size[0], "__index__"):
        if not isinstance(size[0], (tuple, list)):
            raise TypeError(f"sizes must be ints or a tuple of ints, not {type(size[0]).__name__}")
        size = tuple(size[0])
    if size and isinstance(size[0], bool):
        raise TypeError(f"sizes must be ints, and the first is the bool {size[0]}: {size}")
    try:
        return tuple(map(operator.index, size))
    except TypeError:
        raise TypeError(f"sizes must be ints, not {', '.join(type(n).__name__ for n in size)}") from None


def nonnegative(shape: tuple[int, ...]) -> tuple[int, ...]:
    """shape, or RuntimeError for a negative size."""
    if shape and min(shape) < 0:
        raise RuntimeError(f"a size can't be negative, but the shape is {shape}")
    return shape


def infer(shape: tuple[int, ...], count: int) -> tuple[int, ...]:
    """shape, with its -1 replaced so that it has `count` elements; RuntimeError if that is impossible."""
    if math.prod(shape) == count and min(shape, default=0) >= 0:
        return shape
    known = math.prod(n for n in shape if n != -1)
    if shape.count(-1) > 1:
        raise RuntimeError("only one dimension can be inferred: -1 may stand once in a shape")
    if -1 in shape and known > 0 and count % known == 0:
        return tuple(count // known if n == -1 else n for n in shape)
    raise RuntimeError(
        f"shape '{list(shape)}' is invalid for input of size {count}: the sizes multiply to"
        f" {known}{' times the -1' if -1 in shape else ''}"
    )
