"""Reading and writing by position: `x[…]`, gather, scatter, sorting."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinytensor.backend import Array, is_array
from tinytensor.base import TensorBase, is_tensor, wrap
from tinytensor.dtypes import positions
from tinytensor.functions.arithmetic import scaled
from tinytensor.functions.dims import one_dim, whole
from tinytensor.functions.inplace import become, needs_tape, no_overlap
from tinytensor.functions.operands import as_tensor_like, cast, filling, implemented, only_tensors
from tinytensor.histories import settle
from tinytensor.layout import in_order, laid_out_as
from tinytensor.ops.indexing import GATHER, GETITEM, SCATTER_ADD, SETITEM, along, is_basic
from tinytensor.tape import apply
from tinytensor.writes import note_write, same_memory

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor


class ValuesIndices(NamedTuple):
    """The result of max, min, sort and topk along a dimension."""

    values: Tensor
    indices: Tensor


def getitem(input: Tensor, index: Any) -> Tensor:
    """x[index]: numbers, slices, None, `...`, lists, integer and bool Tensors, as in NumPy and PyTorch.

    Slices and numbers return a view, lists and Tensors a copy. IndexError outside of the Tensor.
    """
    first, then = _index(index, input.array.shape)
    x = input if first is None else apply(GETITEM, input, index=first)
    return x if then is None else apply(GETITEM, x, index=then)


def setitem(input: Tensor, index: Any, value: Tensor | float) -> None:
    """x[index] = value, in place, in x's dtype; gradients pass to value and to the elements of x that stay.

    RuntimeError if value does not broadcast to x[index], or x is a leaf that requires grad.
    """
    first, then = _index(index, input.array.shape)
    if then is not None and isinstance(value, TensorBase):
        _check_dtype(input, first, then, value)
    if needs_tape(input, "x[…] = value", value):
        _record_setitem(input, first, then, value)
        return
    if isinstance(value, TensorBase):
        value = value.array
    elif not isinstance(value, np.ndarray):
        value = filling("x[…] = value", value, input).array
    target = input.array
    try:
        place = target if first is None else target[first]  # numbers and slices: a view
        if then is None:
            no_overlap("x[…] = value", place)
        with np.errstate(all="ignore"):  # nan as an integer, 2⁶³ in float16
            place[... if then is None else then] = value
    except (ValueError, TypeError) as error:
        raise RuntimeError(f"x[…] = value: {error}; what fits: value broadcasts to x[…]") from None
    note_write(target)


def _record_setitem(input: Tensor, first: Any, then: Any, value: Any) -> None:
    """The same with the tape: a write to the view input[first], of a whole view or of the elements at `then`."""
    x = input if first is None else apply(GETITEM, input, index=first)
    # Python runs `y[i] += z` as a write to the view y[i], and then assigns this view to y[i]: nothing is left to do
    if not isinstance(value, TensorBase) or not _same_place(value.array, x.array):
        new = cast(as_tensor_like(value, input), input.array.dtype)
        become(x, "x[…] = value", apply(SETITEM, x, new, index=... if then is None else then))
    if x is not input:
        settle(input)


def _check_dtype(input: Tensor, first: Any, then: Any, value: Tensor) -> None:
    masked = is_array(then) and then.dtype == bool and value.array.size == 1
    if value.array.dtype != input.array.dtype and not masked:
        x = input.array if first is None else input.array[first]
        parts = then if isinstance(then, tuple) else (then,)
        sizes = [i.ndim if is_array(i) and i.dtype == bool else i is not None and i is not Ellipsis for i in parts]
        if sum(sizes) > x.ndim:  # PyTorch says this first
            raise IndexError(f"too many indices for tensor of dimension {x.ndim}")
        raise RuntimeError(
            f"x[…] = value with lists or Tensors as indices: value must have x's dtype {input.dtype}, not {value.dtype}"
        )


def _same_place(x: Array, y: Array) -> bool:
    """Whether both are the same memory, read in the same way; an alias, which a detached Tensor has, is not."""
    if same_memory(x) is not same_memory(y):
        return False
    places = [(a.ctypes.data if isinstance(a, np.ndarray) else a.data.ptr, a.shape, a.strides) for a in (x, y)]
    return places[0] == places[1]


def _index(index: Any, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """The index as two for NumPy, first slices and numbers, then arrays; either may be None.

    NumPy would count the number in x[0, :, [1, 2]] among the arrays and move their dimension to the front; PyTorch
    takes numbers first. An index of slices and numbers ends in `...`, so that NumPy returns a view, never a scalar.
    """
    parts = index if isinstance(index, tuple) else tuple(index) if _is_several(index) else (index,)
    if all(type(i) is int or (type(i) is slice and i.step is None) for i in parts):
        return (*parts, Ellipsis), None
    parts = tuple(_part(i) for i in parts)
    if is_basic(parts):
        return parts if any(i is Ellipsis for i in parts) else (*parts, Ellipsis), None
    if any(is_array(i) and i.dtype == bool and not i.size for i in parts):
        _check_masks(parts, shape)
    if not any(isinstance(i, int) for i in parts):
        return None, parts if len(parts) > 1 else parts[0]
    first: list[Any] = []
    then: list[Any] = []
    for i in parts:
        if is_array(i):
            first += [slice(None)] * (i.ndim if i.dtype == bool else 1)
            then.append(i)
        else:
            first.append(i)
            then += [] if isinstance(i, int) else [Ellipsis if i is Ellipsis else slice(None)]
    return tuple(first), tuple(then)


def _check_masks(parts: tuple[Any, ...], shape: tuple[int, ...]) -> None:
    """IndexError for a mask of another shape than the dimensions that it stands for. NumPy takes an empty one anywhere."""
    masks = [is_array(i) and i.dtype == bool for i in parts]
    counts = [0 if i is None or i is Ellipsis else i.ndim if m else 1 for i, m in zip(parts, masks)]
    d = 0
    for i, m, n in zip(parts, masks, counts):
        if m and i.shape != shape[d : d + n]:
            raise IndexError(f"a mask of shape {i.shape} does not fit dimension {d} of a tensor of shape {shape}")
        d += len(shape) - sum(counts) if i is Ellipsis else n


_SEVERAL = (list, tuple, range, slice, TensorBase, np.ndarray, type(None), type(...))


def _is_several(index: Any) -> bool:
    """Whether a list stands for a tuple: x[[a, b]] is x[a, b] if one of them is no number, and there are under 32."""
    return isinstance(index, list) and len(index) < 32 and any(isinstance(i, _SEVERAL) for i in index)


def _part(i: Any) -> Any:
    if isinstance(i, TensorBase):
        if i.array.dtype.kind not in "bi":  # PyTorch takes uint8 for a mask, and warns that it will not
            raise IndexError("tensors used as indices must be long, int or bool tensors")
        return i.array if i.array.ndim or i.array.dtype == bool else int(i.array)
    if isinstance(i, slice):
        if i.step is not None and i.step <= 0:
            raise ValueError("slice step must be greater than zero")
        return i
    if isinstance(i, np.ndarray) and i.dtype.kind not in "bi":
        raise IndexError(f"arrays used as indices must be of integers or bools, not {i.dtype}")
    if i is None or i is Ellipsis or isinstance(i, np.ndarray):
        return i
    if isinstance(i, (int, np.integer)):
        return np.asarray(i) if isinstance(i, bool) else int(i)
    if isinstance(i, (list, range)):
        return np.asarray([_part(j) for j in i], np.int64 if len(i) == 0 else None)
    kind = TypeError if isinstance(i, str) else IndexError
    raise kind(f"a Tensor is indexed by numbers, slices, None, ..., lists and Tensors, not {type(i).__name__}")


def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """y[i, j] = x[i, index[i, j]] for dim 1, and so on: reads along dim. index: int64, no size above input's.

    RuntimeError for an index outside of the Tensor or with another number of dimensions.

    >>> import tinytensor as tt
    >>> gather(tt.tensor([[1, 2, 3], [4, 5, 6]]), 1, tt.tensor([[2], [0]]))
    tensor([[3],
            [4]])
    """
    axis = one_dim(dim, input.ndim)
    if not index.array.size:
        return input.reshape(-1)[:0].reshape(index.array.shape)
    if input.ndim + index.ndim < 2:
        return _of_vectors(gather, input, dim, index).reshape(index.array.shape)
    return apply(GATHER, input, index=_picks("gather", input, axis, index), axis=axis)


def scatter(input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: float | None = None) -> Tensor:
    """A copy of x with y[i, index[i, j]] = src[i, j] for dim 1, and so on: writes where gather reads.

    src: a Tensor at least as large as index, or a number, also as `value`. RuntimeError for an index that does not fit.
    """
    src = value if src is None else src
    index = _empty_fits(input, index)
    if input.ndim + index.ndim < 2:
        return _of_vectors(scatter, input, dim, index, src).reshape(input.array.shape)
    at = _places("scatter", input, dim, index)
    return apply(SETITEM, input, _source("scatter", input, index, src), index=at)


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """scatter that adds: y[i, index[i, j]] += src[i, j]; repeated places add up."""
    only_tensors("scatter_add", input, index, src)
    index = _empty_fits(input, index)
    if input.ndim + index.ndim < 2:
        return _of_vectors(scatter_add, input, dim, index, src).reshape(input.array.shape)
    at = _places("scatter_add", input, dim, index)
    return apply(SCATTER_ADD, input, _source("scatter_add", input, index, src), at=at)


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices along dim that a vector of indices names. A 0-d input is its own only slice."""
    if not input.ndim:
        if index.array.size != 1 and not one_dim(dim, 0):
            raise RuntimeError(f"index_select: a 0-d tensor has one slice, not {index.array.size}")
        return index_select(input.reshape(1), dim, index).reshape(())
    return input[_slices("index_select", input, dim, index)]


def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
    """The slices along dim that index names, plus alpha·source; repeated ones add up."""
    if not input.ndim and not source.ndim:
        return _of_vectors(index_add, input, dim, index, source, alpha=alpha).reshape(())
    at = _slices("index_add", input, dim, index, source)
    more = scaled(input, source, alpha)
    assert isinstance(more, TensorBase)
    return apply(SCATTER_ADD, input, more, at=at)


def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """A copy of x, where the slices along dim that index (int64) names come from source."""
    if input.ndim + source.ndim < 2:
        return _of_vectors(index_copy, input, dim, index, source).reshape(input.array.shape)
    axis = one_dim(dim, input.ndim)
    if index.array.dtype != np.int64:
        raise RuntimeError(f"index_copy(): expected dtype int64 for index, not {index.dtype}")
    same = source.ndim == input.ndim and all(
        a == b for d, (a, b) in enumerate(zip(source.shape, input.shape, strict=True)) if d != axis
    )
    if source.array.dtype != input.array.dtype:
        raise RuntimeError(
            f"index_copy(): self is {input.dtype} and source {source.dtype}: they must have the same dtype"
        )
    if source.ndim and input.ndim == 0:
        raise RuntimeError(f"index_copy(): source {tuple(source.shape)} has slices, which a 0-d tensor has not")
    if source.ndim != input.ndim or (same and input.ndim and source.shape[axis] != index.numel()):
        raise IndexError(f"index_copy(): source {tuple(source.shape)} has no slice for each of {index.numel()} indices")
    return apply(SETITEM, input, source, index=_slices("index_copy", input, dim, index, source))


def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """A copy of x, where the slices along dim that index (int64) names hold value; −1 is the last."""
    new = cast(filling("index_fill", value, input), input.array.dtype)
    if index.array.dtype != np.int64:
        raise IndexError(f"index_fill(): expected dtype int64 for index, not {index.dtype}")
    if not input.ndim:
        return _of_vectors(index_fill, input, dim, index, value=value).reshape(())
    n = input.shape[one_dim(dim, input.ndim)]
    *before, at = _slices("index_fill", input, dim, wrap(np.where(index.array < 0, index.array + n, index.array)))
    y = apply(SETITEM, input, new, index=(*before, np.unique(at)))  # each once, also in the gradient of value
    y.array = laid_out_as(input.array, y.array)
    return y


def _empty_fits(input: Tensor, index: Tensor) -> Tensor:
    """index; an empty one may have any dtype and any number of dimensions, and becomes one that fits."""
    if index.array.size or (index.ndim == input.ndim and index.array.dtype.kind == "i"):
        return index
    return wrap(np.zeros((0,) * max(input.ndim, 1), np.int64))


def _of_vectors(function: Callable[..., Tensor], input: Tensor, dim: int, *others: Any, **more: Any) -> Tensor:
    """The function of a 0-d Tensor: it counts as a vector of one element, and so do the 0-d Tensors beside it."""
    others = tuple(x.reshape(-1) if is_tensor(x) else x for x in others)
    return function(input.reshape(-1), one_dim(dim, 0), *others, **more)


def _places(name: str, input: Tensor, dim: int, index: Tensor) -> tuple[Array, ...]:
    """The places that gather would read, as an index."""
    axis = one_dim(dim, input.ndim)
    return along(_picks(name, input, axis, index), axis)


def _picks(name: str, input: Tensor, axis: int, index: Tensor) -> Array:
    """The index of a gather or scatter, as an array; RuntimeError if it does not fit the Tensor."""
    at, shape = index.array, input.array.shape
    if at.dtype.kind != "i":
        raise RuntimeError(f"{name}(): expected dtype int64 or int32 for index, not {index.dtype}")
    if at.ndim != len(shape) or any(a > b for d, (a, b) in enumerate(zip(at.shape, shape, strict=True)) if d != axis):
        raise RuntimeError(
            f"{name}: index {tuple(at.shape)} does not fit input {tuple(shape)}; what fits: as many dimensions,"
            f" and no size above input's but along dim {axis}"
        )
    if at.size and not (int(at.min()) >= 0 and int(at.max()) < shape[axis]):
        raise RuntimeError(f"{name}: index out of bounds for dimension {axis} of size {shape[axis]}")
    return at


def _source(name: str, input: Tensor, index: Tensor, src: Any) -> Tensor:
    if not is_tensor(src):
        return filling(name, src, input).expand(index.shape)
    if src.array.dtype != input.array.dtype:
        raise RuntimeError(f"{name}(): Expected self.dtype to be equal to src.dtype, {input.dtype} to {src.dtype}")
    if src.ndim != index.ndim or any(a > b for a, b in zip(index.shape, src.shape, strict=True)):
        raise RuntimeError(f"{name}: src {tuple(src.shape)} has no element for each of index {tuple(index.shape)}")
    return src[tuple(slice(n) for n in index.shape)]


def _slices(name: str, input: Tensor, dim: int, index: Tensor, source: Tensor | None = None) -> tuple[Any, ...]:
    """The index of slices along dim; IndexError if one does not exist, RuntimeError if source has another shape."""
    axis, at = one_dim(dim, input.ndim), index.array.reshape(-1)
    if index.ndim > 1:
        raise IndexError(f"{name}(): index is expected to be a vector, not {index.ndim}D")
    if at.dtype.kind != "i":
        raise RuntimeError(f"{name}(): index is expected to be int64 or int32, not {index.dtype}")
    if at.size and not (int(at.min()) >= 0 and int(at.max()) < input.shape[axis]):
        raise IndexError(f"{name}(): index out of range for dimension {dim} of size {input.shape[axis]}")
    if source is not None and source.array.dtype != input.array.dtype:
        raise RuntimeError(f"{name}(): self is {input.dtype} and source {source.dtype}: they must have the same dtype")
    shape = (*input.shape[:axis], at.size, *input.shape[axis + 1 :])
    if source is not None and source.shape != shape:
        raise RuntimeError(f"{name}(): source has shape {tuple(source.shape)}, the slices {shape}")
    return (*(slice(None),) * axis, at)


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the mask is True, as a vector. The mask broadcasts."""
    if mask.array.dtype != bool:
        raise RuntimeError(f"masked_select: expected BoolTensor for mask, not {mask.dtype}")
    try:
        shape = np.broadcast_shapes(input.array.shape, mask.array.shape)
    except ValueError:
        raise RuntimeError(f"masked_select: {tuple(input.shape)} and {tuple(mask.shape)} do not broadcast") from None
    return input.expand(shape)[mask.expand(shape)]


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The positions of elements that are not 0: (N, ndim), a row for each; as_tuple: a vector for each dimension."""
    at = tuple(map(positions, np.nonzero(np.atleast_1d(input.array))))
    if as_tuple:
        return tuple(wrap(a) for a in np.stack(at))
    return wrap(np.stack(at[: input.ndim]).T if input.ndim else np.zeros((len(at[0]), 0), np.int64))


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each number 0, 1, … occurs in a vector, or the sum of its weights; at least minlength of them."""
    x = input.array
    implemented("bincount", "iu", input)
    only_tensors("bincount", input, input if weights is None else weights)
    if minlength < 0:
        raise RuntimeError(f"bincount: minlength must be positive or 0, got {minlength}")
    if x.ndim != 1 or x.dtype.kind not in "iu" or (x.size and int(x.min()) < 0):
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    weights = weights if x.size else None  # then PyTorch counts in integers, too
    counts = np.bincount(x, None if weights is None else weights.array, minlength)
    counts = positions(counts) if weights is None else counts
    return wrap(counts if weights is None or weights.array.dtype != np.float32 else counts.astype(np.float32))


def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The positions of the values in sorted order. Equal values keep their order, with or without stable."""
    return sort(input.detach(), dim, descending, stable).indices


def histogram(input: Tensor, bins: int | Tensor = 100, *, density: bool = False) -> tuple[Tensor, Tensor]:
    """(counts, edges) of bins of equal width, from the smallest to the largest element; density: the area is 1."""
    if not isinstance(bins, int):
        raise NotImplementedError("histogram: a Tensor of bins is outside tinytensor's subset; give their number")
    if whole(bins) <= 0:
        raise RuntimeError(f"histogram: bins must be positive, got {bins}")
    if input.array.dtype.name not in ("float32", "float64"):
        raise NotImplementedError(f"histogram: not implemented for {input.dtype}; call .float() first")
    with np.errstate(invalid="ignore"):  # the density of an empty Tensor is nan
        counts, edges = np.histogram(input.array, bins, density=density)
    return wrap(counts.astype(input.array.dtype)), wrap(edges.astype(input.array.dtype))


def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> ValuesIndices:
    """The k largest (or smallest) values along dim, and their positions. They are in order, with or without sorted.

    RuntimeError if there are fewer than k.
    """
    axis = one_dim(dim, input.ndim)
    if input.array.dtype.kind == "b":
        raise RuntimeError("topk does not support bool dtypes; call .int() first")
    if not 0 <= whole(k) <= (input.shape[axis] if input.ndim else 1):
        raise RuntimeError(f"topk: k={k} is out of range for dimension {dim} of a {tuple(input.shape)} tensor")
    return _ordered(input, axis, descending=largest, count=k)


def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> ValuesIndices:
    """The sorted values along dim, and their positions. Equal values keep their order, with or without stable."""
    return _ordered(input, one_dim(dim, input.ndim), descending, None)


def unique(input: Tensor) -> Tensor:
    """The different values, in increasing order; no gradient."""
    return wrap(np.unique(input.array))


def _ordered(input: Tensor, axis: int, descending: bool, count: int | None) -> ValuesIndices:
    if input.ndim == 0:
        return ValuesIndices(input.clone(), wrap(np.zeros((), np.int64)))
    order = _argsort(input.array, axis, descending)[(slice(None),) * axis + (slice(count),)]
    indices = wrap(in_order(order))
    values = gather(input, axis, indices)
    if count is None:  # sort, other than topk, keeps the memory order
        for y in (values, indices):
            y.array = laid_out_as(input.array, y.array)
    return ValuesIndices(values, indices)


def _argsort(x: Array, axis: int, descending: bool) -> Array:
    if not descending:
        return positions(np.argsort(x, axis=axis, kind="stable"))
    last = x.shape[axis] - 1  # sorting the reversed array and reading it backwards keeps equals in order
    return last - np.flip(positions(np.argsort(np.flip(x, axis), axis=axis, kind="stable")), axis)
