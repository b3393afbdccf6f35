"""The dates of in-place writes: a backward refuses values that were overwritten after its forward saved them.

`x.add_(…)`, `x[i] = …` and `optimizer.step()` note the date of each write, and the memory that they wrote to. Before
the tape plays, it compares these dates with the dates of the nodes that saved arrays in that memory. So recording
costs nothing; a version counter in every Tensor, as PyTorch has, would cost time in every call.

A recorded write gives its Tensor a new history. Another Tensor on the same memory keeps its old history, which is
outdated: its next use in a recorded call raises RuntimeError. PyTorch would rewrite that history.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tinytensor.backend import Array, is_array
from tinytensor.base import TensorBase

if TYPE_CHECKING:
    from tinytensor.tape import Node

# One clock dates nodes and writes. Dates are a topological order: an input exists before what is computed from it.
tick = itertools.count().__next__

# The key of all three is the id of the array that owns the memory. An entry is removed when that array is freed.
_written: dict[int, tuple[Any, int]] = {}  # → a weak reference to the array, and the date of the last write
rewritten: dict[int, tuple[int, int]] = {}  # → the dates of the last two writes that were recorded
orphans: set[int] = set()  # memory of Tensors without a history that a recorded write to a view changed


def note_write(x: Array, node: Node | None = None, constant: bool = False) -> None:
    """Note that x was written in place just now.

    node: the recorded call that computed the new values, if there is one. Other Tensors on that memory then have an
    outdated history. constant: x had no history before.
    """
    memory = owner(x)
    key = id(memory)

    def forget(_: object) -> None:
        _written.pop(key, None)
        rewritten.pop(key, None)
        orphans.discard(key)

    _written[key] = (weakref.ref(memory, forget), tick())
    if node is not None:
        rewritten[key] = (node.order, rewritten.get(key, (0, 0))[0])
        if constant and memory is not x:
            orphans.add(key)


def note_return(x: Array, node: Node | None) -> None:
    """Forget the last write to x's memory if node computed it.

    Python runs `y[i] += z` as a write to a view of y, and then assigns that view to y[i]: y may take over its history.
    """
    key = id(owner(x))
    last, before = rewritten.get(key, (0, 0))
    if node is not None and last == node.order:
        rewritten[key] = (before, 0)
        orphans.discard(key)


def owner(x: Array) -> Array:
    """The array that owns x's memory: x itself, or the one that x is a view of."""
    while isinstance(x.base, type(x)):
        x = x.base
    return x


def arrays_in(saved: Iterable[Any]) -> Iterable[Array]:
    """The arrays among what a forward saved; an index or a list of operands may hold some."""
    for item in saved:
        for x in item if isinstance(item, (tuple, list)) else (item,):
            if is_array(x):
                yield x


def check_saved(nodes: Iterable[Node]) -> None:
    """RuntimeError if an array that a node saved was overwritten later. nodes: oldest first."""
    last = max((date for _, date in list(_written.values())), default=0)
    for node in nodes:
        if node.order > last:  # this node and all after it are younger than every write
            return
        for x in arrays_in(node.saved or ()):
            _, date = _written.get(id(owner(x)), (None, 0))
            if date > node.order:
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an inplace operation"
                    f": a {tuple(x.shape)} array that {node.primitive.name} saved; use the out-of-place form"
                )


def check_history(node: Node, array: Array) -> Node:
    """node, the history of a Tensor on array. RuntimeError if a recorded write to another Tensor made it outdated."""
    if rewritten.get(id(owner(array)), (0, 0))[0] > node.order:
        raise _outdated(array)
    return node


def check_constants(inputs: Iterable[TensorBase | None]) -> None:
    """RuntimeError if an input has no history, but a recorded write computed the values in its memory."""
    for t in inputs:
        if t is not None and not t._requires_grad and id(owner(t.array)) in orphans:
            raise _outdated(t.array)


def _outdated(array: Array) -> RuntimeError:
    return RuntimeError(
        f"a {tuple(array.shape)} tensor shares memory with another that an inplace operation changed, and would have to"
        " take over its gradient: outside tinytensor's subset; take views after the write, and write y[i] += z"
    )
