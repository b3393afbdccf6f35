"""New shapes and orders for the same elements. Most results share memory with their input, as in PyTorch."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.base import is_tensor
from tinytensor.dtypes import dtype as DType
from tinytensor.dtypes import result_type
from tinytensor.functions.dims import Omitted, infer, nonnegative, one_dim, sizes, some_dims, whole
from tinytensor.functions.operands import cast
from tinytensor.ops.copies import COPY
from tinytensor.ops.moves import CAT, EXPAND, FLIP, ROLL, TRIL, TRIU
from tinytensor.ops.shape import PERMUTE, RESHAPE, SPLIT
from tinytensor.tape import apply

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor


def reshape(input: Tensor, *shape: Any) -> Tensor:
    """The same elements in another shape; one size may be -1. RuntimeError if the number of elements differs."""
    return apply(RESHAPE, input, shape=infer(sizes(shape), input.array.size))


def view(input: Tensor, *size: Any) -> Tensor:
    """reshape without a copy; RuntimeError if the memory layout needs one (after a transpose, for example)."""
    if len(size) == 1 and isinstance(size[0], (DType, type)):
        raise NotImplementedError("view(dtype) is outside tinytensor's subset: use .to(dtype)")
    target = infer(sizes(size), input.array.size)
    if not input.array.flags.c_contiguous:
        try:
            np.reshape(input.array, target, copy=False)
        except ValueError:
            raise RuntimeError(
                f"view: a {tuple(input.shape)} tensor whose memory is not contiguous can't be seen as {target};"
                " use .reshape(...), or .contiguous() first"
            ) from None
    return apply(RESHAPE, input, shape=target)


def view_as(input: Tensor, other: Tensor) -> Tensor:
    """view in the shape of other."""
    return view(input, other.array.shape)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The dimensions from start_dim to end_dim merged into one."""
    first, last = one_dim(start_dim, input.ndim), one_dim(end_dim, input.ndim)
    if first > last:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    shape = input.array.shape
    return reshape(input, (*shape[:first], int(np.prod(shape[first : last + 1])), *shape[last + 1 :]))


def squeeze(input: Tensor, dim: int | Sequence[int] | Omitted = None) -> Tensor:
    """Without the dimensions of size 1: all of them, or those of dim that have it."""
    dims = range(input.ndim) if dim is None else some_dims(dim, input.ndim)  # () is none of them
    return reshape(input, tuple(n for d, n in enumerate(input.array.shape) if n != 1 or d not in dims))


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """With a dimension of size 1 before dim."""
    at = one_dim(dim, input.ndim + 1)
    return reshape(input, (*input.array.shape[:at], 1, *input.array.shape[at:]))


# ---------------------------------------------------------------------------------- order of dimensions


def permute(input: Tensor, *dims: Any) -> Tensor:
    """The dimensions in another order: y.shape[i] = x.shape[dims[i]]."""
    order = sizes(dims)
    if len(order) != input.ndim:
        raise RuntimeError(f"permute: {order} has {len(order)} dimensions, the tensor {input.ndim}")
    axes: list[int] = []
    for d in order:
        axes.append(one_dim(d, input.ndim))
        if axes[-1] in axes[:-1]:
            raise RuntimeError(f"permute: {order} names dimension {d} twice")
    return apply(PERMUTE, input, axes=tuple(axes))


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dimensions exchanged."""
    n = input.array.ndim
    a, b = one_dim(dim0, n), one_dim(dim1, n)
    axes = list(range(n))
    if axes:
        axes[a], axes[b] = axes[b], axes[a]
    return apply(PERMUTE, input, axes=tuple(axes))


def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """transpose, under NumPy's names."""
    return transpose(input, axis0, axis1)


def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; a vector stays a vector. RuntimeError for more dimensions."""
    if input.ndim > 2:
        raise RuntimeError(
            f"t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D; use transpose or .mT"
        )
    return permute(input, tuple(reversed(range(input.ndim))))


def movedim(input: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """A dimension, or several, moved to other places; the others stay in order."""
    if isinstance(source, int) is not isinstance(destination, int):
        raise TypeError(f"movedim: source {source} and destination {destination}: two ints, or two tuples")
    counts = [1 if isinstance(dims, int) else len(dims) for dims in (source, destination)]
    if counts[0] != counts[1]:
        raise RuntimeError(f"movedim: source {source} and destination {destination} must have as many dimensions")
    start, end = some_dims(source, input.ndim), some_dims(destination, input.ndim)
    axes = [d for d in range(input.ndim) if d not in start]
    for to, d in sorted(zip(end, start, strict=True)):
        axes.insert(to, d)
    return permute(input, axes)


# ------------------------------------------------------------------------------------------ repetition


def expand(input: Tensor, *size: Any) -> Tensor:
    """Dimensions of size 1 (or new ones, in front) repeated to `size`, without a copy; -1 keeps a size."""
    shape, own = sizes(size), input.array.shape
    extra = len(shape) - len(own)
    if extra < 0 or any(n == -1 for n in shape[:extra]):
        raise RuntimeError(f"expand: {shape} does not fit a {tuple(own)} tensor: it needs at least as many sizes")
    target = (*shape[:extra], *(n if m == -1 else m for n, m in zip(own, shape[extra:], strict=True)))
    return apply(EXPAND, input, shape=target)


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """expand to the shape of other."""
    return expand(input, other.array.shape)


def repeat(input: Tensor, *repeats: Any) -> Tensor:
    """Copies side by side: repeats[i] of them along dimension i; more repeats than dimensions add new ones in front."""
    times, own = nonnegative(sizes(repeats)), input.array.shape
    if len(times) < len(own):
        raise RuntimeError(f"repeat: {times} has fewer numbers than the tensor {tuple(own)} has dimensions")
    own = (1,) * (len(times) - len(own)) + own
    pairs = list(zip(times, own, strict=True))
    wide = expand(reshape(input, tuple(m for n in own for m in (1, n))), tuple(m for pair in pairs for m in pair))
    return reshape(apply(COPY, wide, order="C"), tuple(k * n for k, n in pairs))


def contiguous(input: Tensor) -> Tensor:
    """input in row-major memory: itself if it is already, else a copy."""
    return input if input.array.flags.c_contiguous else apply(COPY, input, order="C")


# ------------------------------------------------------------------------------------ joining, cutting


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Join Tensors along dim. ValueError for an empty list, RuntimeError if any other size differs."""
    xs = _several("cat", tensors)
    if not xs:
        raise ValueError("cat: expected a non-empty list of Tensors")
    if any(x.ndim == 0 for x in xs):
        raise RuntimeError("cat: a zero-dimensional tensor cannot be concatenated; use stack")
    if all(x.array.shape == (0,) for x in xs):
        dim = whole(dim) * 0  # all are empty: which dim it is does not matter
    shape = next((x.array.shape for x in xs if x.array.shape != (0,)), (0,))
    axis = one_dim(dim, len(shape))
    dtype = result_type(*(x.array for x in xs))
    nothing = (*shape[:axis], 0, *shape[axis + 1 :])  # an empty vector fits anything, as in PyTorch
    xs = [reshape(x, nothing) if x.array.shape == (0,) else x for x in xs]
    return apply(CAT, *(cast(x, dtype) for x in xs), axis=axis)


def _several(name: str, tensors: Sequence[Tensor]) -> list[Tensor]:
    if not isinstance(tensors, (list, tuple)):
        raise TypeError(f"{name}(): argument 'tensors' must be tuple of Tensors, not {type(tensors).__name__}")
    return list(tensors)


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Join Tensors along a new dimension. RuntimeError if the shapes differ."""
    xs = _several("stack", tensors)
    if not xs:
        raise RuntimeError("stack: expected a non-empty list of Tensors")
    axis = one_dim(dim, xs[0].ndim + 1)
    for i, x in enumerate(xs):
        if x.array.shape != xs[0].array.shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(xs[0].array.shape)} at entry 0 and"
                f" {list(x.array.shape)} at entry {i}"
            )
    return cat([unsqueeze(x, axis) for x in xs], axis)


def split(tensor: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces along dim: of one size (the last may be smaller), or of the sizes in a list that add up to it.

    >>> import tinytensor as tt
    >>> split(tt.arange(5), 2)
    (tensor([0, 1]), tensor([2, 3]), tensor([4]))
    """
    n = _length("split", tensor, dim)
    axis = one_dim(dim, tensor.ndim)
    if isinstance(split_size_or_sections, int):
        size = whole(split_size_or_sections)
        if size < 0 or (size == 0 and n):
            raise RuntimeError(
                f"split expects split_size be non-negative, and above 0 for a dimension of {n}, not {size}"
            )
        cut = [min(size, n - start) for start in range(0, n, max(size, 1))] or [0]
    else:
        cut = [whole(size) for size in split_size_or_sections]
        if sum(cut) != n or any(size < 0 for size in cut):
            raise RuntimeError(f"split: the sizes {cut} must add up to {n}, the size of dimension {dim}")
    return typing.cast("tuple[Tensor, ...]", apply(SPLIT, tensor, sizes=cut, axis=axis))


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` pieces of equal size along dim; the last may be smaller."""
    if whole(chunks) <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    n = _length("chunk", input, dim)
    size = -(-n // chunks)
    return split(input, size if n else [0] * chunks, dim)


def _length(name: str, x: Tensor, dim: int) -> int:
    if x.ndim == 0:
        raise RuntimeError(f"{name} expects at least a 1-dimensional tensor")
    return int(x.array.shape[one_dim(dim, x.ndim)])


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along dim, without it."""
    axis = one_dim(dim, input.ndim)
    if not input.ndim:
        raise IndexError("unbind: a tensor of 0 dimensions has no slices")
    if input.array.shape[axis] == 0:
        return ()
    return tuple(squeeze(x, axis) for x in split(input, 1, axis))


def narrow(input: Tensor, dim: int, start: int | Tensor, length: int) -> Tensor:
    """The `length` slices along dim from start on, as a view. IndexError or RuntimeError if they do not exist."""
    if is_tensor(start) and (start.ndim or start.array.dtype.kind not in "iu"):
        raise RuntimeError(f"narrow: start must be a number or a 0-dimensional integer Tensor, not {start}")
    start = whole(start)
    if whole(length) < 0:
        raise RuntimeError(f"narrow: length must be non-negative, not {length}")
    n, axis = _length("narrow", input, dim), one_dim(dim, input.ndim)
    if not -n <= start <= n:
        raise IndexError(f"narrow: start {start} is out of range for dimension {dim} of size {n}")
    start = start + n if start < 0 else start
    if start > n - length:
        raise RuntimeError(f"narrow: start ({start}) + length ({length}) exceeds dimension size ({n})")
    return input[(slice(None),) * axis + (slice(start, start + length),)]


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """The slice at one position along dim, without it, as a view. IndexError if it does not exist."""
    return input[(slice(None),) * one_dim(dim, input.ndim) + (whole(index),)]


def repeat_interleave(input: Tensor, repeats: Tensor | int, dim: int | None = None) -> Tensor:
    """Each slice along dim `repeats` times in a row (or as often as a vector says); without dim, flattened."""
    x, axis = (reshape(input, -1), 0) if dim is None else (input, one_dim(dim, input.ndim))
    if isinstance(repeats, int) and x.ndim:
        before, after = x.array.shape[: axis + 1], x.array.shape[axis + 1 :]
        wide = expand(unsqueeze(x, axis + 1), (*before, *nonnegative((repeats,)), *after))
        return reshape(apply(COPY, wide, order="C"), (*before[:-1], before[-1] * repeats, *after))
    times = repeats if isinstance(repeats, int) else repeats.array
    try:
        at = np.repeat(np.arange(x.array.shape[axis]), times)
    except ValueError as error:
        raise RuntimeError(f"repeat_interleave: {error}; what fits: one number, or one for each slice") from None
    return x[(slice(None),) * axis + (at,)]


def roll(input: Tensor, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Tensor:
    """Elements moved by `shifts` along dims; what leaves at the end comes in at the start. Without dims, flattened."""
    moves = tuple(map(whole, (shifts,) if isinstance(shifts, int) else shifts))
    if not moves:
        raise RuntimeError("roll: `shifts` required")
    if dims in (None, (), []) and len(moves) == 1:
        return reshape(apply(ROLL, reshape(input, -1), shifts=moves, axis=(0,)), input.array.shape)
    over = (dims,) if isinstance(dims, int) else tuple(dims or ())
    if len(over) != len(moves):
        raise RuntimeError(f"roll: shifts and dims must align, but there are {len(moves)} shifts and {len(over)} dims")
    if input.ndim == 0:
        raise IndexError(f"roll: dimension specified as {dims} but tensor has no dimensions")
    return apply(ROLL, input, shifts=moves, axis=tuple(one_dim(d, input.ndim) for d in over))


def flip(input: Tensor, *dims: Any) -> Tensor:
    """The elements in reverse order along dims, in new memory."""
    axes = some_dims(sizes(dims), input.ndim) if dims else ()
    return apply(FLIP, input, axis=axes)


def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """The lower triangle of each matrix, zeros above the diagonal (moved up by `diagonal`)."""
    return apply(TRIL, _matrices("tril", input), diagonal=whole(diagonal))


def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """The upper triangle of each matrix, zeros below the diagonal (moved up by `diagonal`)."""
    return apply(TRIU, _matrices("triu", input), diagonal=whole(diagonal))


def _matrices(name: str, x: Tensor) -> Tensor:
    if x.ndim < 2:
        raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions, not {x.ndim}")
    return x
