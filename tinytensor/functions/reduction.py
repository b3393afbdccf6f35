"""Sums, means, norms, extremes, softmax. `dim` is a number, a tuple, or None for all dimensions.

keepdim keeps the reduced dimensions, with size 1. IndexError for a dimension that does not exist.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.backend import Array, as_array
from tinytensor.base import is_tensor, wrap
from tinytensor.dtypes import dtype as DType
from tinytensor.dtypes import float32, int64, positions, to_numpy_dtype
from tinytensor.functions.choice import maximum, minimum
from tinytensor.functions.dims import Dims, Omitted, all_dims, one_dim, some_dims
from tinytensor.functions.indexing import ValuesIndices, gather
from tinytensor.functions.operands import cast, floating, implemented, in_float32
from tinytensor.functions.powers import exp, log
from tinytensor.functions.shape import contiguous
from tinytensor.layout import in_order
from tinytensor.ops.deviation import STD, VAR
from tinytensor.ops.log_softmax import LOG_SOFTMAX, LOGSUMEXP
from tinytensor.ops.norms import NORM
from tinytensor.ops.reduction import AMAX, AMIN, CUMSUM, PROD, SUM
from tinytensor.ops.softmax import SOFTMAX
from tinytensor.primitive import Primitive
from tinytensor.tape import apply

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor


def sum(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
    """Σ x over dim: (…, n, …) → (…, …), or (…, 1, …) with keepdim. Integers and bools add up as int64.

    RuntimeError for a dimension that is named twice.
    """
    kind, wanted = input.array.dtype.kind, None if dtype is None else to_numpy_dtype(dtype)
    if kind == "f" and (wanted is None or wanted.kind == "f"):
        return apply(SUM, input, axis=all_dims(dim, input.ndim), keepdims=keepdim, dtype=wanted)
    x = cast(input, wanted or int64.numpy)
    return apply(SUM, x, axis=all_dims(dim, x.ndim), keepdims=keepdim)


def mean(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
    """Σ x / n. RuntimeError for integers: call .float() first."""
    if to_numpy_dtype(dtype or input.dtype).kind != "f":
        raise RuntimeError(
            f"mean(): could not infer output dtype. It must be a floating point one, not {dtype or input.dtype};"
            " call .float() first"
        )
    n = math.prod(input.array.shape[d] for d in all_dims(dim, input.ndim))
    if input.array.dtype == np.float16 and dtype is None:  # 300 numbers around 300 add up to more than float16 holds
        return cast(mean(input, dim, keepdim, dtype=float32), input.array.dtype)
    total = sum(input, dim, keepdim, dtype=dtype)
    return total / n if n else total * math.nan  # the mean of nothing is nan


def var(
    input: Tensor,
    dim: bool | Dims = None,
    unbiased: bool | Omitted = None,
    keepdim: bool = False,
    *,
    correction: float | None = 1,
) -> Tensor:
    """Σ (x − mean)² / (n − correction); unbiased=False, also as the first argument, is correction 0; None is 1."""
    return _spread(VAR, input, dim, unbiased, keepdim, correction)


def std(
    input: Tensor,
    dim: bool | Dims = None,
    unbiased: bool | Omitted = None,
    keepdim: bool = False,
    *,
    correction: float | None = 1,
) -> Tensor:
    """√var."""
    return _spread(STD, input, dim, unbiased, keepdim, correction)


def _spread(
    primitive: Primitive,
    input: Tensor,
    dim: bool | Dims,
    unbiased: bool | None,
    keepdim: bool,
    correction: float | None,
) -> Tensor:
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if unbiased is not None or correction is None:
        correction = 0 if unbiased is False else 1
    if input.array.dtype.kind != "f":
        raise RuntimeError(f"std and var take floating point numbers, not {input.dtype}; call .float() first")
    return apply(primitive, input, axis=all_dims(dim, input.ndim), correction=correction, keepdims=keepdim)


def norm(input: Tensor, p: float | str = "fro", dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The p-norm (Σ |x|ᵖ)^(1/p); p = ∞ is the largest |x|; "fro" is 2, over at most two dimensions or all.

    RuntimeError for integers.
    """
    if p == "fro" and isinstance(dim, (tuple, list)) and len(dim) > 2:
        raise RuntimeError(f'norm: "fro" is along one or two dimensions, not {dim}; use p=2')
    if input.array.dtype.kind != "f":
        raise RuntimeError(f"norm: expected a floating point tensor as input, got {input.dtype}; call .float() first")
    p = 2 if p == "fro" else p
    if p == math.inf and 0 in (input.array.shape[d] for d in all_dims(dim, input.ndim)):
        raise RuntimeError(f"norm: an empty input has no largest element, and its shape is {tuple(input.shape)}")
    if not isinstance(p, (int, float)) or p <= 0:
        raise NotImplementedError(f"norm: p={p!r} is outside tinytensor's subset; use a positive number or 'fro'")
    return apply(NORM, input, p=p, axis=all_dims(dim, input.ndim), keepdims=keepdim)


@in_float32
def prod(input: Tensor, dim: int | Omitted = None, keepdim: bool = False) -> Tensor:
    """Π x, one factor after the other. Integers multiply as int64."""
    x = input if input.array.dtype.kind == "f" else cast(input, int64.numpy)
    if x.array.size == 0:
        return sum(x, dim, keepdim) + 1
    if dim is None or x.ndim == 0:
        one_dim(dim or 0, x.ndim)
        return apply(PROD, x.reshape(-1), axis=0)
    axis = one_dim(dim, x.ndim)
    y = contiguous(apply(PROD, x, axis=axis))
    return y.unsqueeze(axis) if keepdim else y


# ------------------------------------------------------------------------------------------- extremes


def amax(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The largest value; ties share the gradient evenly."""
    return apply(AMAX, input, axis=_not_empty("amax", input, dim), keepdims=keepdim)


def amin(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The smallest value; ties share the gradient evenly."""
    return apply(AMIN, input, axis=_not_empty("amin", input, dim), keepdims=keepdim)


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The position of the largest value (the first of equals), int64; without dim, in the flattened input."""
    return _position(np.argmax, input, dim, keepdim)


def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The position of the smallest value (the first of equals), int64; without dim, in the flattened input."""
    return _position(np.argmin, input, dim, keepdim)


def max(input: Tensor, dim: int | Tensor | Omitted = None, keepdim: bool = False) -> Any:
    """The largest value; with dim a number, (values, indices) along it; with dim a Tensor, `maximum`."""
    if is_tensor(dim):
        return maximum(input, dim)
    return _of_all("max", AMAX, input) if dim is None else _along(np.argmax, input, dim, keepdim)


def min(input: Tensor, dim: int | Tensor | Omitted = None, keepdim: bool = False) -> Any:
    """The smallest value; with dim a number, (values, indices) along it; with dim a Tensor, `minimum`."""
    if is_tensor(dim):
        return minimum(input, dim)
    return _of_all("min", AMIN, input) if dim is None else _along(np.argmin, input, dim, keepdim)


def _of_all(name: str, primitive: Primitive, input: Tensor) -> Tensor:
    return apply(primitive, input, axis=_not_empty(name, input, None), keepdims=False, nan=True)


def _position(find: Any, input: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    if input.array.dtype == bool:
        raise RuntimeError(f"{find.__name__}(): does not support bool input; call .int() first")
    if input.array.size == 0 and dim is None:
        raise IndexError(f"{find.__name__}(): the input is empty, shape {tuple(input.shape)}: pass dim")
    return wrap(_where_extreme(find, input, dim, keepdim))


def _where_extreme(find: Any, input: Tensor, dim: int | None, keepdim: bool) -> Array:
    _not_empty(find.__name__, input, dim)
    axis = None if dim is None else one_dim(dim, input.ndim)
    axis = axis if input.ndim else None
    return positions(as_array(find(input.array, axis=axis, keepdims=keepdim)))


def _along(find: Any, input: Tensor, dim: Any, keepdim: bool) -> ValuesIndices:
    """(values, indices) along dim. The values are a gather, so the gradient goes to the chosen element alone."""
    indices = wrap(_where_extreme(find, input, dim, keepdim=True))
    if input.ndim == 0:
        return ValuesIndices(input.clone(), indices.reshape(()))
    values = gather(input, dim, indices)
    return ValuesIndices(values, indices) if keepdim else ValuesIndices(values.squeeze(dim), indices.squeeze(dim))


def _not_empty(name: str, input: Tensor, dim: Dims) -> tuple[int, ...]:
    """dim as a tuple of dimensions. IndexError if one of them is empty: it has no largest element."""
    if input.array.size == 0:
        if dim in (None, (), []):
            raise RuntimeError(f"{name}(): the input is empty, shape {tuple(input.shape)}: pass dim")
        named = dim if isinstance(dim, (tuple, list)) else (dim,)
        if 0 in [input.array.shape[one_dim(d, input.ndim)] for d in named]:
            raise IndexError(f"{name}(): dim {dim} of the input is empty, shape {tuple(input.shape)}")
    return all_dims(dim, input.ndim)


# ------------------------------------------------------------------------------- running and normalised


def cumsum(input: Tensor, dim: int) -> Tensor:
    """yᵢ = x₁ + … + xᵢ along dim. Integers add up as int64."""
    x = input if input.array.dtype.kind == "f" else cast(input, int64.numpy)
    axis = one_dim(dim, x.ndim)
    return apply(CUMSUM, x, axis=axis) if x.ndim else x.clone()


def cumsum_inside(input: Tensor, dim: int) -> Tensor:
    """cumsum in the dtype of input, which has no room for another: for cumsum_."""
    y = cumsum(input, dim)  # IndexError for a dimension that is not there comes first
    if input.ndim and input.numel():
        implemented("cumsum_", "fiu", input)
    return cast(y, input.array.dtype)


def softmax(input: Tensor, dim: int | None = None, *, dtype: DType | None = None) -> Tensor:
    """eˣ / Σ eˣ along dim: positive, with sum 1, in the shape of x.

    TypeError without dim, IndexError for one that is not there, NotImplementedError for integers.
    Source: Bridle, "Probabilistic Interpretation of Feedforward Classification Network Outputs", 1990.
    """
    return _normalised(SOFTMAX, input, dim, dtype)


def log_softmax(input: Tensor, dim: int | None = None, *, dtype: DType | None = None) -> Tensor:
    """x − ln Σ eˣ along dim, in the shape of x: more exact than log(softmax(x)). Raises as softmax."""
    return _normalised(LOG_SOFTMAX, input, dim, dtype)


def _normalised(primitive: Any, input: Tensor, dim: int | None, dtype: DType | None) -> Tensor:
    if dim is None:
        raise TypeError(f"{primitive.name}() needs dim, the dimension along which it sums to 1; often dim=-1")
    axis = one_dim(dim, input.ndim)
    x = input if dtype is None else cast(input, to_numpy_dtype(dtype))
    if x.array.dtype.kind != "f":
        raise NotImplementedError(f"{primitive.name}: not implemented for {x.dtype}; call .float() first")
    if x.array.size == 0:
        return x.reshape(x.shape)
    if x.ndim == 0:
        return apply(primitive, x.reshape(1), axis=axis).reshape(())
    return apply(primitive, x, axis=axis)


def logsumexp(input: Tensor, dim: Dims, keepdim: bool = False) -> Tensor:
    """ln Σ eˣ = m + ln Σ eˣ⁻ᵐ, where m = max x, so that nothing overflows."""
    if dim is None:
        raise TypeError("logsumexp() needs dim, the dimensions along which it sums; () for all")
    x = floating(input)
    if x.array.size == 0:
        return log(sum(exp(x), dim, keepdim))
    return apply(LOGSUMEXP, x, axis=all_dims(dim, x.ndim), keepdims=keepdim)


# --------------------------------------------------------------------------------------- yes or no


def all(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether every element is non-zero. dim=() keeps all dimensions, unlike in the other reductions."""
    return _truth(np.all, input, dim, keepdim)


def any(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether some element is non-zero. dim=() keeps all dimensions, unlike in the other reductions."""
    return _truth(np.any, input, dim, keepdim)


def _truth(reduce: Callable[..., Array], input: Tensor, dim: Dims, keepdim: bool) -> Tensor:
    axis = None if dim is None else some_dims(dim, input.ndim)
    y = in_order(as_array(reduce(input.array, axis=axis, keepdims=keepdim)))
    return wrap(y.astype(np.uint8) if input.array.dtype == np.uint8 else y)  # uint8 was PyTorch's first bool


def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> builtins.bool:
    """Whether |input − other| ≤ atol + rtol·|other| everywhere. RuntimeError for different dtypes."""
    if input.array.dtype != other.array.dtype:
        raise RuntimeError(f"allclose: {input.dtype} did not match {other.dtype}; cast one with .to()")
    if not (rtol >= 0 and atol >= 0):  # nan as well
        raise RuntimeError(f"allclose: rtol and atol must be positive or 0, got {rtol} and {atol}")
    try:
        return builtins.bool(np.allclose(input.array, other.array, rtol, atol, equal_nan))
    except ValueError:
        raise RuntimeError(f"allclose: {tuple(input.shape)} and {tuple(other.shape)} do not broadcast") from None


def equal(input: Tensor, other: Tensor) -> builtins.bool:
    """Whether both have the same shape and the same elements."""
    return input.array.shape == other.array.shape and builtins.bool((input.array == other.array).all())
