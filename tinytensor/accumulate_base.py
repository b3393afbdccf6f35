"""AccumulatorBase: options for a backward, which save copies; and copies of gradients for those who need one.

    needs     a bool for each input: False if no gradient is wanted, so that it need not be computed
    out       the buffer of a leaf (nn.flat): the backward writes the gradient where it will be kept
    add_to    the gradient that the first input already has: the backward returns the sum of both

A backward takes a buffer that nobody holds: no other backward, and no caller who keeps the gradient that lay there before.
Else the leaf's gradient becomes an array of its own, as every new gradient of PyTorch's is.

These are offers: a backward without these keywords returns the same gradients. Copies of gradients go to the targets of
`autograd.grad`, and to hooks and Tensors that retain theirs (grad_hooks.py).
"""

from __future__ import annotations

import functools
import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.backend import Array
from tinytensor.base import TensorBase
from tinytensor.layout import copy, in_order, laid_out_as

if TYPE_CHECKING:
    from tinytensor.tape import Edge, Node


lock = threading.Lock()  # rule 7 of the tape: one thread at a time adds to a .grad, and takes a buffer
# The references to a buffer that nobody holds: those of its Flat and of its leaf, and the argument of getrefcount.
_OWN_REFERENCES = 3


class AccumulatorBase:
    """The part of an Accumulator that makes offers and copies."""

    __slots__ = ("add_to", "after", "found", "gradients", "offered", "taken", "targets")

    def __init__(self, targets: frozenset[Edge] | None) -> None:
        self.targets = targets
        self.gradients: dict[Edge, Any] = {}  # what has come together so far
        self.found: dict[Edge, Array] = {}  # the gradients of the targets
        self.after: list[Any] = []  # to be called when all leaves have their .grad
        self.taken: dict[TensorBase, Array] = {}  # the buffers of leaves that this backward has for itself
        self.offered: tuple[Array | None, ...] = ()  # to the backward that runs now: buffers of leaves …
        self.add_to: Array | None = None  # … and a gradient to which it may add its own

    def with_options(self, node: Node, inputs: tuple[Edge | None, ...]) -> Any:
        """The backward of node, with the keywords that it takes."""
        names = node.primitive.options
        options: dict[str, Any] = {}
        if "needs" in names:
            options["needs"] = tuple([edge is not None for edge in inputs])
        if "add_to" in names and not isinstance(inputs[0], TensorBase):
            options["add_to"] = self.add_to = self.gradients.get(inputs[0])  # type: ignore[arg-type]
        if "out" in names and self.targets is None:
            options["out"] = self.offered = tuple([self._buffer(edge) for edge in inputs])
        return functools.partial(node.primitive.backward, **options)

    def _buffer(self, edge: Edge | None) -> Array | None:
        """The buffer in which a backward may leave the first gradient of a leaf, if that leaf has one."""
        first = isinstance(edge, TensorBase) and edge not in self.gradients
        return self.take_buffer(edge) if first else None  # type: ignore[arg-type]

    def take_buffer(self, leaf: TensorBase) -> Array | None:
        """The buffer of a leaf, for this backward alone; None if the leaf has none, or somebody holds it."""
        if leaf._grad_buffer is None or leaf in self.taken:
            return self.taken.get(leaf)
        with lock:
            if sys.getrefcount(leaf._grad_buffer) > _OWN_REFERENCES:
                return None
            buffer = buffer_of(leaf)
            if buffer is not None:
                self.taken[leaf] = buffer
        return buffer

    def finished(self) -> dict[Edge, Array]:
        """All leaves have their .grad: call the hooks that wait for that. Return the gradients of the targets."""
        for call in self.after:
            call()
        return self.found

    def keep(self, node: Node, dy: Any) -> Any:
        """Copy dy for the caller, if node is a target; call the hooks of node, and return the gradient to go on with."""
        if self.targets is not None and dy is not None and node in self.targets:
            self.found[node] = np.copy(dy)  # dy is borrowed
        return dy if node.hooks is None else node.hooks.run(node, dy, self)


def buffer_of(leaf: TensorBase) -> Array | None:
    """The buffer for a leaf's first gradient (nn.flat has one for all parameters); None once the leaf has moved."""
    buffer, own = leaf._grad_buffer, leaf.array
    if buffer is None or leaf._grad is not None or type(buffer) is not type(own) or buffer.dtype != own.dtype:
        return None
    return buffer if buffer.shape == own.shape else None


def gradient_of(leaf: Array, g: Array, owned: bool) -> Array:
    """g in memory of its own, which has the order of the leaf; owned: nobody else has g, so it may stay where it is."""
    if g.flags.c_contiguous and leaf.flags.c_contiguous:  # nearly always, and sooner known
        return g if owned else g.copy()
    y = in_order(g) if 0 in leaf.strides else laid_out_as(leaf, g)
    return copy(g) if y is g and not owned else y
