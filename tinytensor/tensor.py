"""The Tensor: an array, its gradient, and the node of the tape that computed it.

    >>> import tinytensor as tt
    >>> x = tt.tensor([1.0, 2.0, 3.0], requires_grad=True)   # a leaf: somebody made it
    >>> y = (x * x).sum()                                    # a result: the tape recorded mul, then sum
    >>> y.grad_fn
    <SumBackward0: y = Σ x over axis, shape ()>
    >>> y.backward()                                         # plays both backwards: dy/dx = 2x
    >>> x.grad
    tensor([2., 4., 6.])

`.array` is the NumPy or CuPy array itself; everything else has PyTorch's names. base.py has the part that the tape
knows, methods.py the table of functions that are methods and operators too; here is what only a Tensor has.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np

from tinytensor import functions as fn
from tinytensor.backend import array_module
from tinytensor.base import results_are, wrap
from tinytensor.devices import device as Device
from tinytensor.devices import device_of
from tinytensor.dtypes import dtype as DType
from tinytensor.dtypes import from_numpy_dtype
from tinytensor.functions.backward import run_backward
from tinytensor.functions.dims import nonnegative, one_dim, sizes
from tinytensor.methods import Methods
from tinytensor.printing import show


class Size(tuple[int, ...]):
    """The sizes of a Tensor's dimensions: a tuple that can multiply itself out."""

    def numel(self) -> int:
        """The number of elements."""
        return int(np.prod(self, dtype=np.int64))

    def __repr__(self) -> str:
        return f"tinytensor.Size({list(self)})"


@results_are  # every operation returns Tensors
class Tensor(Methods):
    """An array that remembers how it was computed. Made by `tensor`, `zeros` and their like; see PyTorch's Tensor."""

    __slots__ = ()
    __array_ufunc__ = None  # numpy_array * tensor asks the Tensor

    def __init__(self, *data: Any) -> None:
        """Tensor([1, 2]) is float32 whatever the list holds; Tensor(2, 3) is a 2 × 3 of zeros, Tensor() empty."""
        if len(data) == 1 and not isinstance(data[0], int):
            array = data[0].array if isinstance(data[0], Tensor) else np.array(data[0])
        else:
            array = np.zeros(nonnegative(sizes(data or (0,))))
        self.array = array.astype(np.float32, copy=False)
        self._grad, self._node, self._requires_grad = None, None, False

    def __getattr__(self, name: str) -> NoReturn:
        hint = "" if name.startswith("__") else ": it is outside tinytensor's subset of PyTorch, or no such name"
        raise AttributeError(f"'Tensor' object has no attribute {name!r}{hint}")

    # ---------------------------------------------------------------------------------- gradients

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: builtins.bool | None = None,
        create_graph: builtins.bool = False,
    ) -> None:
        """Add d self / d leaf · gradient to the .grad of every leaf that self was computed from.

        gradient: needed unless self has one element. retain_graph: keep what was saved, for a second backward.
        """
        run_backward([self], [gradient], retain_graph, create_graph)

    @property
    def data(self) -> Tensor:
        """A Tensor on the same memory, without a history; assigning a Tensor takes over its memory."""
        return wrap(self.array)

    @data.setter
    def data(self, value: Tensor) -> None:
        self.array = value.array

    # ---------------------------------------------------------------------------------- what it is

    @property
    def shape(self) -> Size:
        """The sizes of the dimensions."""
        return Size(self.array.shape)

    @property
    def dtype(self) -> DType:
        """The data type."""
        return from_numpy_dtype(self.array.dtype)

    @property
    def device(self) -> Device:
        """Where the data lies; computed from the array."""
        return device_of(self.array)

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return int(self.array.ndim)

    def size(self, dim: int | None = None) -> Any:
        """All sizes, or that of one dimension."""
        return self.shape if dim is None else self.array.shape[one_dim(dim, self.ndim)]

    def dim(self) -> int:
        """The number of dimensions."""
        return self.ndim

    def numel(self) -> int:
        """The number of elements."""
        return int(self.array.size)

    nelement = numel

    def element_size(self) -> int:
        """Bytes per element."""
        return int(self.array.itemsize)

    def is_floating_point(self) -> builtins.bool:
        """Whether the elements are floats, which can have gradients."""
        return builtins.bool(self.array.dtype.kind == "f")

    def is_contiguous(self) -> builtins.bool:
        """Whether the elements lie in memory row by row."""
        return builtins.bool(self.array.flags.c_contiguous)

    @property
    def is_cuda(self) -> builtins.bool:
        """Whether it lies on a GPU."""
        return self.device.type == "cuda"

    @property
    def T(self) -> Tensor:
        """The transpose of a matrix; the dimensions reversed."""
        return fn.permute(self, tuple(reversed(range(self.ndim))))

    @property
    def mT(self) -> Tensor:
        """The transpose of each matrix: the last two dimensions exchanged. RuntimeError for a vector."""
        if self.ndim == 1:
            raise RuntimeError("tensor.mT is only supported on matrices or batches of matrices, not on a vector")
        return fn.transpose(self, -2, -1) if self.ndim else fn.reshape(self, ())

    def __repr__(self) -> str:
        return show(self)

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return len(self.array)

    def __iter__(self) -> Iterator[Tensor]:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(fn.unbind(self))

    def __contains__(self, value: Any) -> builtins.bool:
        return builtins.bool(fn.eq(self, value).any())

    # -------------------------------------------------------------------------------- new, like this one

    def new_zeros(self, *size: Any) -> Tensor:
        """Zeros in this dtype, on this device."""
        return wrap(array_module(self.array).zeros(nonnegative(sizes(size)), self.array.dtype))

    def new_ones(self, *size: Any) -> Tensor:
        """Ones in this dtype, on this device."""
        return wrap(array_module(self.array).ones(nonnegative(sizes(size)), self.array.dtype))

    def new_full(self, size: Any, fill_value: Any) -> Tensor:
        """fill_value everywhere, in this dtype, on this device."""
        return wrap(array_module(self.array).full(nonnegative(sizes((size,))), fill_value, self.array.dtype))

    new_empty = new_zeros


__all__ = ["Size", "Tensor", "wrap"]
