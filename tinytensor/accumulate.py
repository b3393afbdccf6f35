"""Where gradients add up while the tape is played, and who owns them.

A value that was used twice gets two gradients, and its gradient is their sum. The sum wants no copy for every term, so
the rule is: the first gradient of a value is *borrowed* from the backward that returned it; the second makes a new sum,
which the Accumulator *owns*; every later one is added to that sum in place. In place into a borrowed array would
change another value's gradient: the backward of a + b returns one array for both inputs.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.backend import Array, as_array
from tinytensor.base import TensorBase, wrap
from tinytensor.primitive import Primitive

if TYPE_CHECKING:
    from tinytensor.tape import Edge, Node


def _output_backward(dy: Array, position: int, count: int) -> Any:
    return ([dy if i == position else None for i in range(count)],)  # one entry in the list of the call


# One output of a call that has several is a node of its own; its backward hands its gradient on to the call.
OUTPUT = Primitive("output", lambda *_: None, _output_backward, formula="one output of several", fits="")


class Accumulator:
    """The gradients of everything below the roots, while one backward runs.

    An edge is the Node that computed a value, or the leaf itself. With `targets`, only edges in `wanted` get a gradient,
    those of the targets are collected in `found`, and no leaf's .grad changes.
    """

    __slots__ = ("add_to", "found", "gradients", "offered", "owned", "targets", "wanted")

    def __init__(self, targets: frozenset[Edge] | None, wanted: frozenset[Edge] | None) -> None:
        self.targets, self.wanted = targets, wanted
        self.gradients: dict[Edge, Any] = {}  # what has come together so far
        self.owned: set[Edge] = set()  # whose gradient is an array of ours, so that it may change in place
        self.found: dict[Edge, Array] = {}
        self.offered: tuple[Array | None, ...] = ()  # to the backward that runs now: buffers of leaves …
        self.add_to: Array | None = None  # … and a gradient to which it may add its own

    def start(self, root: Edge, dy: Array) -> None:
        """Add the gradient with which the backward begins."""
        if self.wanted is None or root in self.wanted:
            old = self.gradients.get(root)
            self.gradients[root] = dy if old is None else as_array(np.add(old, dy))

    def take(self, node: Node) -> Any:
        """Remove and return the gradient of node, which is complete; None if nothing needs it."""
        self.offered, self.add_to = (), None  # the previous backward is done
        dy = self.gradients.pop(node, None)
        if dy is not None and (node.retained is not None or self.targets is not None):
            self._keep(node, dy)
        return dy

    def hand_on(self, node: Node, inputs: tuple[Edge | None, ...], dxs: Any) -> None:
        """Add what the backward of node returned, one gradient for each input, to the gradients of these inputs."""
        if len(dxs) != len(inputs):
            raise ValueError(
                f"the backward of {node.primitive.name} returned {len(dxs)} gradients for {len(inputs)} inputs"
            )
        gradients, owned, wanted, kind = self.gradients, self.owned, self.wanted, node.__class__
        for edge, dx in zip(inputs, dxs):
            if edge is None or dx is None or not (wanted is None or edge in wanted):
                continue
            if dx.__class__ is list:
                self._collect(edge, dx)
                continue
            shape = edge.shape if edge.__class__ is kind else edge.array.shape  # type: ignore[union-attr]
            if dx.shape != shape:
                raise _wrong_shape(node, dx, shape)
            old = gradients.get(edge)
            if old is None:  # borrow it, unless it lies in a buffer of the leaf, which is ours to add to
                gradients[edge] = dx
                if self.offered and any(dx is buffer for buffer in self.offered):
                    owned.add(edge)
            elif old is self.add_to:  # the backward has added old to dx already
                gradients[edge], self.add_to = dx, None
                owned.discard(edge)
            elif edge in owned:
                np.add(old, dx, old)
            else:  # the second: a new sum
                gradients[edge] = as_array(np.add(old, dx))
                owned.add(edge)

    def _collect(self, edge: Edge, dx: list[Any]) -> None:
        """Note the gradient of one output of a call with several: what its backward takes is a list of all of them."""
        pieces = self.gradients.setdefault(edge, [None] * len(dx))
        pieces[:] = [old if new is None else new for old, new in zip(pieces, dx)]

    def with_options(self, node: Node, inputs: tuple[Edge | None, ...]) -> Any:
        """The backward of node, with the keywords that it takes (see primitive.py)."""
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
        return buffer_of(edge) if first else None  # type: ignore[arg-type]

    def _keep(self, node: Node, dy: Array) -> None:
        """Copy dy for the Tensor that retains its gradient, and for the caller who asked for it."""
        t = None if node.retained is None else node.retained()
        if t is not None:
            t.grad = wrap(dy.copy() if t.grad is None else t.grad.array + dy)
        if self.targets is not None and node in self.targets:
            self.found[node] = np.copy(dy)

    def finish(self) -> dict[Edge, Array]:
        """Hand every leaf its gradient, or return the targets' gradients, as arrays that belong to the caller.

        Leaves get theirs when the whole backward has run: an exception on the way leaves no .grad half filled.
        """
        for leaf, g in self.gradients.items():
            if self.targets is not None:
                self.found[leaf] = g if leaf in self.owned else g.copy()
            else:
                accumulate_grad(leaf, g, leaf in self.owned)  # type: ignore[arg-type]
        return self.found


def _wrong_shape(node: Node, dx: Array, shape: tuple[int, ...]) -> RuntimeError:
    return RuntimeError(
        f"the backward of {node.primitive.name} returned a gradient of shape {dx.shape} for an input of shape {shape}:"
        " where the forward broadcasts, the backward has to sum"
    )


def accumulate_grad(leaf: TensorBase, g: Array, owned: bool) -> None:
    """leaf.grad += g. The first one becomes an array of the leaf's own: no other Tensor may share it."""
    buffer = buffer_of(leaf)
    if leaf._grad is not None:
        np.add(leaf._grad.array, g, out=leaf._grad.array)
    elif buffer is None:
        leaf.grad = wrap(g if owned else g.copy())
    else:
        if g is not buffer:
            buffer[...] = g
        leaf.grad = wrap(buffer)


def buffer_of(leaf: TensorBase) -> Array | None:
    """The buffer for a leaf's first gradient (nn.flat has one for all parameters); None once the leaf has moved."""
    buffer, own = leaf._grad_buffer, leaf.array
    if buffer is None or leaf._grad is not None or type(buffer) is not type(own) or buffer.dtype != own.dtype:
        return None
    return buffer if buffer.shape == own.shape else None
