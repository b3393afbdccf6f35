"""Attributes of a Tensor in PyTorch's names: its dtype, its sizes, its place in the graph; and how one is made.

Nothing here computes. methods.py lists the functions that are methods.
"""

from __future__ import annotations

import builtins
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, SupportsIndex, overload

import numpy as np

from tinytensor import functions as fn
from tinytensor.base import TensorBase, wrap
from tinytensor.creation import new_full, new_ones, new_zeros
from tinytensor.devices import device as Device
from tinytensor.devices import device_of
from tinytensor.dtypes import dtype as DType
from tinytensor.dtypes import from_numpy_dtype
from tinytensor.functions.dims import nonnegative, one_dim, sizes
from tinytensor.grad_hooks import after_accumulation, of_tensor, retain, retained_by
from tinytensor.handles import RemovableHandle
from tinytensor.histories import becomes_leaf, refresh, rewritten
from tinytensor.subset import refusal
from tinytensor.tape import Node
from tinytensor.writes import alias

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor


class Size(tuple[int, ...]):
    """The sizes of the dimensions of a Tensor: a tuple with .numel(), whose slices, sums and multiples are Sizes too."""

    __slots__ = ()

    def __new__(cls, sizes: Iterable[Any] = ()) -> Size:
        """TypeError for what is not a whole number."""
        given = list(sizes)
        for i, n in enumerate(given):
            if not hasattr(n, "__index__"):
                raise TypeError(f"Size() takes an iterable of 'int' (item {i} is {type(n).__name__!r})")
        return super().__new__(cls, map(operator.index, given))

    def numel(self) -> int:
        """The number of elements."""
        return math.prod(self)

    @overload
    def __getitem__(self, index: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Size: ...

    def __getitem__(self, index: Any) -> Any:
        part = tuple.__getitem__(self, index)
        return part if type(part) is int else tuple.__new__(Size, part)

    def __add__(self, other: tuple[Any, ...]) -> Size:
        return Size(super().__add__(other))

    def __radd__(self, other: tuple[Any, ...]) -> Size:
        return Size(other + tuple(self))

    def __mul__(self, times: Any) -> Size:
        return Size(super().__mul__(times))

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return f"tinytensor.Size({list(self)})"


class Attributes(TensorBase):
    """The base class of Tensor that has these attributes."""

    __slots__ = ()

    def __init__(self, *data: Any) -> None:
        """Tensor([1, 2]) is float32 whatever the list holds; Tensor(2, 3) is a 2 × 3 of zeros, Tensor() empty."""
        if len(data) == 1 and not isinstance(data[0], int):
            if not isinstance(data[0], (TensorBase, np.ndarray, Sequence)) or isinstance(data[0], str):
                raise TypeError(f"Tensor() takes sizes or a sequence of numbers, not {type(data[0]).__name__}")
            array = data[0].array if isinstance(data[0], TensorBase) else np.array(data[0])
        else:  # sizes
            array = np.zeros(nonnegative(sizes(data or (0,))))
        self.array = array.astype(np.float32, copy=False)
        self._grad, self._node, self._requires_grad = None, None, False  # a leaf, and a constant

    def __getattr__(self, name: str) -> NoReturn:  # Python asks here only for a name that nothing else has
        what = f"'Tensor' object has no attribute {name!r}"
        raise AttributeError(what if name.startswith("__") else refusal(what, name))

    # ---------------------------------------------------------------------------------- its place in the graph

    def requires_grad_(self: Any, requires_grad: builtins.bool = True) -> Any:
        """Set requires_grad; RuntimeError for integers, and for False on a result."""
        self.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self) -> builtins.bool:
        """Whether no recorded call computed it."""
        return not self._node and self.grad_fn is None

    @property
    def grad_fn(self) -> Node | None:
        """The node of the tape that computed it; None for a leaf."""
        if rewritten:
            refresh((self,))  # another Tensor on this memory may have been written to
        return self._node

    def retain_grad(self: Any) -> None:
        """Keep the gradient of a result in .grad, as for a leaf."""
        if not self.requires_grad:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if self._node is not None:
            retain(self, self._node)

    @property
    def retains_grad(self: Any) -> builtins.bool:
        """Whether it is a result that keeps its gradient."""
        node = self.grad_fn
        return node is not None and (reference := retained_by(node)) is not None and reference() is self

    def register_hook(self: Any, hook: Callable[[Any], Any]) -> RemovableHandle:
        """Call hook(grad) in backward, as soon as the gradient is complete. A Tensor that it returns replaces it.

        RuntimeError if no gradient is wanted. After an in-place write to a result the hook sees the gradient of the
        values before the write.
        """
        return of_tensor(self, hook)

    def register_post_accumulate_grad_hook(self: Any, hook: Callable[[Any], None]) -> RemovableHandle:
        """Call hook(leaf) when backward has left the gradients of all leaves in their .grad; RuntimeError for a result."""
        return after_accumulation(self, hook)

    @property
    def data(self) -> Tensor:
        """A Tensor on the same memory, without a history; assigning a Tensor takes over its memory."""
        return wrap(alias(self.array))

    @data.setter
    def data(self, value: Tensor) -> None:
        self.array = value.array

    # ---------------------------------------------------------------------------------- what it is

    @property
    def dtype(self) -> DType:
        """The data type."""
        return from_numpy_dtype(self.array.dtype)

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return int(self.array.ndim)

    def __len__(self) -> int:
        if self.array.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return len(self.array)

    @property
    def device(self) -> Device:
        """Where the data lies; computed from the array."""
        return device_of(self.array)

    def size(self, dim: int | None = None) -> Any:
        """All sizes, or that of one dimension."""
        return tuple.__new__(Size, self.array.shape) if dim is None else self.array.shape[one_dim(dim, self.array.ndim)]

    def dim(self) -> int:
        """The number of dimensions."""
        return int(self.array.ndim)

    def numel(self) -> int:
        """The number of elements."""
        return int(self.array.size)

    nelement = numel

    def element_size(self) -> int:
        """Bytes per element."""
        return int(self.array.itemsize)

    def is_contiguous(self) -> builtins.bool:
        """Whether the elements lie in memory row by row."""
        return builtins.bool(self.array.flags.c_contiguous)

    @property
    def is_cuda(self) -> builtins.bool:
        """Whether it lies on a GPU."""
        return self.device.type == "cuda"

    @property
    def T(self: Any) -> Tensor:
        """The transpose of a matrix; the dimensions reversed."""
        return fn.permute(self, tuple(reversed(range(self.array.ndim))))

    @property
    def mT(self: Any) -> Tensor:
        """The transpose of each matrix: the last two dimensions exchanged. RuntimeError for a vector."""
        if self.array.ndim == 1:
            raise RuntimeError("tensor.mT is only supported on matrices or batches of matrices, not on a vector")
        return fn.transpose(self, -2, -1) if self.array.ndim else fn.reshape(self, ())

    def __iter__(self: Any) -> Iterator[Tensor]:
        if self.array.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(fn.unbind(self))

    def __contains__(self: Any, value: Any) -> builtins.bool:
        return builtins.bool(fn.eq(self, value).any())

    # -------------------------------------------------------------------------------- new, like this one

    new_full, new_zeros, new_ones = new_full, new_zeros, new_ones
    new_empty = new_zeros


def check_requires_grad(t: Tensor, value: builtins.bool) -> None:
    """RuntimeError for integers that shall require grad, and for results that shall not."""
    if value and t.array.dtype.kind != "f":
        raise RuntimeError(f"only Tensors of floating point dtype can require gradients, not {t.array.dtype}")
    if t._node is not None and not value:  # the tape has recorded it already
        raise RuntimeError("you can only change requires_grad flags of leaf variables; use .detach()")
    if value and not t._requires_grad:
        becomes_leaf(t, Node)


def check_grad(t: TensorBase, value: Any) -> None:
    """TypeError or RuntimeError unless value is None or a Tensor that can be the gradient of t."""
    if value is None:
        return
    if not isinstance(value, TensorBase):
        raise TypeError(f"assigned grad expected to be a Tensor or None but got {type(value).__name__}")
    if value.array.shape != t.array.shape or value.array.dtype != t.array.dtype:
        raise RuntimeError(
            f"assigned grad is {value.array.dtype} of shape {value.array.shape}, but a {t.array.dtype}"
            f" tensor of shape {t.array.shape} needs one of its own kind"
        )
