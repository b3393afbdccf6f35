"""How a node of the tape describes itself: by its name, its formula, and the nodes below it, as in PyTorch.

>>> import tinytensor as tt
>>> x = tt.tensor([1.0, 2.0], requires_grad=True)
>>> y = (x * x).sum()
>>> y.grad_fn
<SumBackward0: y = Σ x over axis, shape ()>
>>> y.grad_fn.next_functions
((<MulBackward0: y = a·b, shape (2,)>, 0),)
>>> y.grad_fn.next_functions[0][0].next_functions[0]
(<AccumulateGrad: adds to the .grad of a leaf, shape (2,)>, 0)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from tinytensor.base import TensorBase
from tinytensor.grad_hooks import hooks_of, of_leaf
from tinytensor.handles import RemovableHandle, register
from tinytensor.primitive import OUTPUT, Primitive

if TYPE_CHECKING:
    from tinytensor.tape import Node


class AccumulateGrad:
    """The end of a path through the graph: a leaf. backward accumulates into its .grad."""

    next_functions: tuple[()] = ()

    def __init__(self, variable: TensorBase) -> None:
        self.variable = variable

    def register_prehook(self, fn: Callable[[Any], Any]) -> RemovableHandle:
        """Call fn(grads), a tuple of one, before the gradient is added; a tuple that it returns replaces it."""
        return of_leaf(self.variable, "before", fn)

    def register_hook(self, fn: Callable[[Any, Any], Any]) -> RemovableHandle:
        """Call fn((), grads) when all leaves have their .grad."""
        return of_leaf(self.variable, "after", fn)

    def name(self) -> str:
        """PyTorch's name for it."""
        return "struct torch::autograd::AccumulateGrad"

    def __repr__(self) -> str:
        return f"<AccumulateGrad: adds to the .grad of a leaf, shape {self.variable.array.shape}>"


_metadata: WeakKeyDictionary[Any, dict[Any, Any]] = WeakKeyDictionary()  # of the nodes that were asked for it


class Described:
    """The part of a Node that describes it."""

    __slots__ = ()

    primitive: Primitive
    inputs: tuple[Any, ...]
    saved: Any  # a tuple; None after backward
    shape: tuple[int, ...]

    def name(self) -> str:
        """PyTorch's kind of name: MulBackward0 for a call of `mul` or `mul_scalar`."""
        return backward_name(self._call().primitive.name)

    @property
    def formula(self) -> str:
        """What the forward computes."""
        return self._call().primitive.formula

    @property
    def next_functions(self) -> tuple[tuple[Node | AccumulateGrad | None, int], ...]:
        """For each input the node that computed it, and the number of the input among the outputs of that node.

        (AccumulateGrad, 0) for a leaf, (None, 0) if no gradient is wanted. Empty after backward: the node is released.
        """
        return tuple(_next(edge) for edge in self._call().inputs)

    def register_prehook(self: Any, fn: Callable[[Any], Any]) -> RemovableHandle:
        """Call fn(grad_outputs) before the backward of this call. A tuple that it returns replaces them."""
        return register(hooks_of(self).before, fn)

    def register_hook(self: Any, fn: Callable[[Any, Any], Any]) -> RemovableHandle:
        """Call fn(grad_inputs, grad_outputs) after the backward of this call. A tuple replaces grad_inputs.

        There is one for each input of the primitive, and each output; None where no gradient is wanted, or came.
        """
        return hooks_of(self).watch(self._call(), fn)

    @property
    def metadata(self: Any) -> dict[Any, Any]:
        """A dictionary for notes of one's own about this call."""
        return _metadata.setdefault(self._call(), {})

    def _call(self) -> Described:
        """The node of the call itself: each of several outputs has its own node on top of it."""
        call: Described = self.inputs[0] if self.is_output() and self.inputs else self
        return call

    def is_output(self) -> bool:
        """Whether this is the node of one output of a call that has several."""
        return self.primitive is OUTPUT

    def __repr__(self) -> str:
        which = f", output {self.saved[0]} of {self.saved[1]}" if self.is_output() and self.saved else ""
        return f"<{self.name()}: {self.formula}, shape {tuple(self.shape)}{which}>"


def backward_name(primitive: str) -> str:
    """PyTorch's kind of name for the backward of a primitive."""
    return "".join(word[:1].upper() + word[1:] for word in primitive.removesuffix("_scalar").split("_")) + "Backward0"


def _next(edge: Any) -> tuple[Any, int]:
    if edge is None:
        return None, 0
    if isinstance(edge, TensorBase):
        return AccumulateGrad(edge), 0
    return (edge._call(), edge.saved[0]) if edge.is_output() and edge.saved else (edge, 0)


def between(nodes: list[Node], targets: frozenset[Any]) -> list[Node]:
    """The nodes, oldest first, that have one of the targets below them."""
    wanted = set(targets)
    found = []
    for node in nodes:
        if not wanted.isdisjoint(node.inputs):  # a target is below this node …
            wanted.add(node)  # … and so below the nodes above it
            found.append(node)
    return found
