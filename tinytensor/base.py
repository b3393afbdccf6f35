"""TensorBase: what the tape knows of a Tensor. An array, its gradient, and the node that computed it.

The tape and the functions work on this class; `tensor.py` adds PyTorch's methods to it. So imports go one way:
the methods are functions, the functions call the tape, and the tape needs no method.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tinytensor.backend import Array, as_array

if TYPE_CHECKING:
    from typing import TypeGuard

    from tinytensor.tape import Node
    from tinytensor.tensor import Tensor

Class = TypeVar("Class", bound=type)


class TensorBase:
    """An array that remembers how it was computed."""

    __slots__ = ("__weakref__", "_grad", "_node", "_requires_grad", "array")

    array: Array  # NumPy's or CuPy's; everything else here has PyTorch's names
    _grad: Tensor | None
    _node: Node | None  # the recorded call that computed the array; None for a leaf
    _requires_grad: bool
    _grad_buffer: Array | None = None  # `out` for a leaf's gradient: part of a larger buffer (nn.flat)

    @property
    def requires_grad(self) -> bool:
        """Whether backward computes a gradient for this Tensor."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value and self.array.dtype.kind != "f":
            raise RuntimeError(f"only Tensors of floating point dtype can require gradients, not {self.array.dtype}")
        if self._node is not None and not value:
            raise RuntimeError("you can only change requires_grad flags of leaf variables; use .detach()")
        self._requires_grad = bool(value)

    def requires_grad_(self: Any, requires_grad: bool = True) -> Any:
        """Set requires_grad; RuntimeError for integers, and for False on a result."""
        self.requires_grad = requires_grad
        return self

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward accumulated, or None. Setting it: TypeError or RuntimeError if it does not fit."""
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, TensorBase):
                raise TypeError(f"assigned grad expected to be a Tensor or None but got {type(value).__name__}")
            if value.array.shape != self.array.shape or value.array.dtype != self.array.dtype:
                raise RuntimeError(
                    f"assigned grad is {value.array.dtype} of shape {value.array.shape}, but a {self.array.dtype}"
                    f" tensor of shape {self.array.shape} needs one of its own kind"
                )
        self._grad = value

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded call computed it."""
        return self._node is None

    @property
    def grad_fn(self) -> Node | None:
        """The node of the tape that computed it; None for a leaf."""
        return self._node

    def retain_grad(self) -> None:
        """Keep the gradient of a result in .grad, as for a leaf."""
        if not self._requires_grad:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if self._node is not None:
            self._node.retained = weakref.ref(self)  # the node must not keep its own result alive

    def detach(self) -> Tensor:
        """A Tensor on the same memory, without a history."""
        return wrap(self.array)


_new: Callable[[Any], Any] = object.__new__
_result: type = TensorBase


def results_are(cls: Class) -> Class:
    """Class decorator: from now on `wrap`, and so every operation, returns objects of this class. For `Tensor` alone."""
    global _result
    _result = cls
    return cls


def is_tensor(obj: Any) -> TypeGuard[Tensor]:
    """Whether obj is a Tensor."""
    return isinstance(obj, TensorBase)


def wrap(array: Array, node: Node | None = None) -> Tensor:
    """A Tensor on this array, without a copy. NumPy's reductions return scalars: they become 0-d arrays."""
    t: Tensor = _new(_result)
    t.array = array if type(array) is np.ndarray else as_array(array)
    t._grad = None
    t._node = node
    t._requires_grad = node is not None
    return t
