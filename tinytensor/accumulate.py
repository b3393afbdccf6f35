"""Where gradients add up while the tape is played, and who owns them.

A value that was used twice gets two gradients, and its gradient is their sum. In y = a·b + a the value a is used by
the product and by the sum; with dy = 1 their backwards return b and 1 for it, so da = b + 1.

To save copies, the Accumulator *borrows* the first gradient of a value from the backward that returned it. The second
makes a new sum, which the Accumulator *owns*; it adds every later one to that sum in place. Adding in place to a
borrowed array would change another gradient: the backward of a + b returns the same dy for both inputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.accumulate_base import AccumulatorBase, gradient_of, lock
from tinytensor.backend import Array, as_array
from tinytensor.base import TensorBase, wrap
from tinytensor.tape_errors import wrong_number, wrong_shape

if TYPE_CHECKING:
    from tinytensor.tape import Edge, Node
    from tinytensor.tensor import Tensor


class Accumulator(AccumulatorBase):
    """The gradients of everything below the roots, while one backward runs.

    An edge is the Node that computed a value, or the leaf itself. With `targets` (autograd.grad), only edges in `wanted`
    get a gradient, those of the targets are collected in `found`, and no leaf's .grad changes.
    """

    __slots__ = ("owned", "wanted")

    def __init__(self, targets: frozenset[Edge] | None, wanted: frozenset[Edge] | None) -> None:
        super().__init__(targets)  # makes self.gradients: for each edge what has come together so far
        self.wanted = wanted
        self.owned: set[Edge] = set()  # the edges whose gradient is an array of ours: it may change in place

    def start(self, root: Edge, dy: Array) -> None:
        """Add the gradient with which the backward begins."""
        if self.wanted is None or root in self.wanted:
            old = self.gradients.get(root)  # not None if one Tensor is a root twice
            self.gradients[root] = dy if old is None else as_array(np.add(old, dy))

    def take(self, node: Node) -> Any:
        """Remove and return the gradient of node, which is complete; None if no gradient reached it."""
        # Complete, because everything computed from its output is newer, and the tape plays the newest nodes first.
        self.offered, self.add_to = (), None  # with_options (accumulate_base.py) sets them for one backward
        dy = self.gradients.pop(node, None)
        if node.hooks is not None or self.targets is not None:  # somebody wants to see it, and may replace it
            dy = self.keep(node, dy)
        return dy

    def hand_on(self, node: Node, inputs: tuple[Edge | None, ...], dxs: Any) -> None:
        """Add what the backward of node returned, one gradient for each input, to the gradients of these inputs."""
        if len(dxs) != len(inputs):
            raise wrong_number(node.primitive, len(dxs), len(inputs))
        gradients, owned, wanted, kind = self.gradients, self.owned, self.wanted, node.__class__  # kind: Node
        for edge, dx in zip(inputs, dxs):
            if edge is None or dx is None or not (wanted is None or edge in wanted):
                continue  # nobody wants it
            if dx.__class__ is list:  # of a call with several outputs
                self._collect(edge, dx)
                continue
            shape = edge.shape if edge.__class__ is kind else edge.array.shape  # type: ignore[union-attr]
            if dx.shape != shape:  # every gradient has the shape of its value
                raise wrong_shape(node.primitive, dx.shape, shape)
            old = gradients.get(edge)
            if old is None:  # the first: borrow it, unless it lies in a buffer of the leaf, which we own
                gradients[edge] = dx
                if self.offered and any(dx is buffer for buffer in self.offered):
                    owned.add(edge)
            elif old is self.add_to:  # the backward has added old to dx already; dx is borrowed, like a first one
                gradients[edge], self.add_to = dx, None
                owned.discard(edge)
            elif edge in owned:  # the third and later ones: in place
                np.add(old, dx, old)
            else:  # the second: a new sum, which we own
                gradients[edge] = as_array(np.add(old, dx))
                owned.add(edge)

    def _collect(self, edge: Edge, dx: list[Any]) -> None:
        """Note the gradient of one output of a call with several: what its backward takes is a list of all of them."""
        pieces = self.gradients.setdefault(edge, [None] * len(dx))
        pieces[:] = [old if new is None else new for old, new in zip(pieces, dx)]  # dx has one entry that is not None

    def finish(self) -> dict[Edge, Array]:
        """Hand every leaf its gradient, or return the targets' gradients, as arrays that belong to the caller.

        Leaves get theirs when the whole backward has run: an exception on the way leaves no .grad half filled.
        """
        for leaf, g in self.gradients.items():  # leaves, and targets that were not played; `take` removed the rest
            if self.targets is not None:
                self.found[leaf] = g if leaf in self.owned else g.copy()
            elif isinstance(leaf, TensorBase):  # always: a node is played after its last use, and `take` had all of it
                accumulate_grad(leaf, g, leaf in self.owned, self.take_buffer(leaf))  # type: ignore[arg-type]
        return self.finished()  # hooks may wait for this moment


def accumulate_grad(leaf: Tensor, g: Array, owned: bool, buffer: Array | None) -> None:
    """leaf.grad += g. The first one becomes an array of the leaf's own: no other Tensor may share it."""
    with lock:  # two threads may add to one leaf
        if leaf._grad is not None:
            np.add(leaf._grad.array, g, out=leaf._grad.array)  # a second backward adds to the gradient of the first
        elif buffer is None:
            leaf.grad = wrap(gradient_of(leaf.array, g, owned))  # if borrowed, a copy: others may use it
        else:  # the buffer of a parameter of a Flat (nn/flat.py)
            if g is not buffer:  # else the backward has written it there
                buffer[...] = g
            leaf.grad = wrap(buffer)
