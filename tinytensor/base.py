"""TensorBase: what the tape knows of a Tensor. An array, its gradient, and the node that computed it.

The tape and the functions work on this class; `tensor.py` adds PyTorch's methods to it. So imports go one way:
the methods are functions, the functions call the tape, and the tape needs no method.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tinytensor.backend import Array, as_array

if TYPE_CHECKING:  # for type checkers alone: at run time these files import this one
    from typing import TypeGuard

    from tinytensor.tape import Node
    from tinytensor.tensor import Tensor

Class = TypeVar("Class", bound=type)


class TensorBase:
    """An array that remembers how it was computed."""

    __slots__ = ("__weakref__", "_grad", "_hooks", "_node", "_requires_grad", "array")  # no __dict__: sooner made

    array: Array  # NumPy's or CuPy's; everything else here has PyTorch's names
    _grad: Tensor | None  # what backward left
    _node: Node | None  # the recorded call that computed the array; None for a leaf
    _requires_grad: bool  # whether backward leaves a gradient here, or passes one through
    _grad_buffer: Array | None = None  # a Parameter in a Flat has one: where backward leaves its gradient (nn/flat.py)


_new: Callable[[Any], Any] = object.__new__  # makes an object without a call of its __init__
_result: type = TensorBase  # the class of results: Tensor, as soon as tensor.py was imported


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
    t._requires_grad = node is not None  # a result has a node if one of the inputs wants a gradient
    return t
