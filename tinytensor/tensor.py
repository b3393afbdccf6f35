"""The Tensor: an array, its gradient, and the node of the tape that computed it.

    >>> import tinytensor as tt
    >>> x = tt.tensor([1.0, 2.0, 3.0], requires_grad=True)   # a leaf: somebody made it
    >>> y = (x * x).sum()                                    # a result: the tape recorded mul, then sum
    >>> y.grad_fn
    <SumBackward0: y = Σ x over axis, shape ()>
    >>> y.backward()                                         # plays both backwards: dy/dx = 2x
    >>> x.grad
    tensor([2., 4., 6.])

`.array` is the NumPy or CuPy array itself; everything else has PyTorch's names. methods.py lists the functions that are
methods and operators (`x * x` is mul(x, x)), attributes.py has what only looks at the array.
"""

from __future__ import annotations

from tinytensor.attributes import Size, check_grad, check_requires_grad
from tinytensor.base import results_are, wrap
from tinytensor.functions.backward import run_backward
from tinytensor.methods import Methods
from tinytensor.printing import show
from tinytensor.writes import alias


@results_are  # every operation returns Tensors
class Tensor(Methods):  # and so a TensorBase: it has `array`, `_grad`, `_node` and `_requires_grad`
    """An array that remembers how it was computed. Made by `tensor`, `zeros` and their like; see PyTorch's Tensor."""

    __slots__ = ()  # those of TensorBase are all
    __array_ufunc__ = None  # numpy_array * tensor asks the Tensor

    @property
    def requires_grad(self) -> bool:
        """Whether backward leaves a gradient here, or passes one through."""
        return self._requires_grad or self.grad_fn is not None  # of a leaf: what was asked for; of a result: True

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        check_requires_grad(self, value)  # a whole number cannot change by a little
        self._requires_grad = bool(value)

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward left, or None. TypeError or RuntimeError for setting one that does not fit."""
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        check_grad(self, value)  # it has to fit
        self._grad = value  # None: the next backward leaves its gradient, and does not add to an old one

    def backward(
        self, gradient: Tensor | None = None, retain_graph: bool | None = None, create_graph: bool = False
    ) -> None:
        """Add d self / d leaf · gradient to the .grad of every leaf that self was computed from.

        gradient: needed unless self has one element. retain_graph: keep what was saved, for a second backward.
        """
        run_backward([self], [gradient], retain_graph, create_graph)  # checks these, and calls tape.backward

    def detach(self) -> Tensor:
        """A Tensor on the same memory, without a history."""
        return wrap(alias(self.array))  # no node: backward stops here

    @property
    def shape(self) -> Size:
        """The sizes of the dimensions."""
        return tuple.__new__(Size, self.array.shape)  # a tuple with .numel(); array.shape needs no check

    def __repr__(self) -> str:
        return show(self)  # printing.py


__all__ = ["Size", "Tensor", "wrap"]
