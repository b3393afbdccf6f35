"""The checks that the functions of this package share. The messages name the function and what it expects."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from tinytensor.backend import Array
from tinytensor.functions.operands import implemented, only_tensors
from tinytensor.tensor import Tensor

Reduction: TypeAlias = str  # another kind is a ValueError here, as in PyTorch: is_reduction says it


def same_dtype(name: str, *tensors: Tensor | None) -> None:
    """RuntimeError if the tensors, apart from None, have different dtypes."""
    try:
        dtype = tensors[0].array.dtype  # type: ignore[union-attr]
    except AttributeError:
        only_tensors(name, tensors[0])
        raise
    for t in tensors:
        if t is not None and t.array.dtype is not dtype and t.array.dtype != dtype:
            raise RuntimeError(f"{name}: expected all to have the same dtype, but got {dtype} and {t.array.dtype}")


def same_shape(name: str, input: Tensor, target: Tensor) -> None:
    """ValueError if the two shapes differ."""
    if input.shape != target.shape:
        raise ValueError(
            f"{name}: target size {tuple(target.shape)} must be the same as input size {tuple(input.shape)}"
        )


def is_reduction(name: str, reduction: Reduction) -> None:
    """ValueError if reduction is not "none", "mean" or "sum"."""
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{name}: {reduction!r} is not a valid value for reduction; use 'none', 'mean' or 'sum'")


def replaced(name: str, **given: bool | None) -> None:
    """NotImplementedError for the arguments that `reduction` took the place of, unless they are None."""
    for argument, value in given.items():
        if value is not None:
            raise NotImplementedError(
                f"{name}: {argument}={value} is outside tinytensor's subset; use reduction='none', 'mean' or 'sum'"
            )


def class_weight(name: str, weight: Tensor | None, input: Tensor, classes: int) -> None:
    """RuntimeError for a weight that is not a vector with a number for each class, in the dtype of the input."""
    if weight is None:
        return
    if weight.array.shape != (classes,):
        raise RuntimeError(f"{name}: weight needs shape ({classes},), one for each class, not {tuple(weight.shape)}")
    same_dtype(name, input, weight)


def class_ids(name: str, ids: Array, count: int, ignore: int | None = None) -> Array:
    """Return ids. RuntimeError if they are not integers, IndexError for one outside [0, count) that is not `ignore`.

    On a GPU the values are not checked, because the program would have to wait for them.
    """
    if ids.dtype.kind != "i":
        raise RuntimeError(f"{name}: expected int64 or int32 indices, not {ids.dtype}")
    if isinstance(ids, np.ndarray) and ids.size and not (ids.min() >= 0 and ids.max() < count):
        outside = (ids < 0) | (ids >= count)
        bad = ids[outside if ignore is None else outside & (ids != ignore)]
        if bad.size:
            raise IndexError(f"{name}: index {bad.flat[0]} is out of range for {count} rows: use 0 to {count - 1}")
    return ids


def no_bools(name: str, x: Tensor) -> None:
    """NotImplementedError for bools, if there are any."""
    if x.array.dtype.kind == "b" and x.array.size:
        implemented(name, "fiu", x)
