"""Recorded in-place writes: every Tensor on the memory that was written takes over the new history, as in PyTorch.

A recorded write changes what the other Tensors on its memory were computed from: a base and its views, whichever was
written. So a History is kept for the memory, and `refresh` derives a Tensor's node from it when the Tensor is used next:

    y = x * 2; v = y.view(-1); y[0] = z      history of the memory: copy_slices(flat(y), z); v is outdated
    v.sum()                                  v's new node: as_strided(copy_slices(flat(y), z))

A constant that becomes a leaf, by requires_grad_(), is the base of the views that it has already (`becomes_leaf`).

What a Tensor reads is told by its place, as in `torch.as_strided`. Nothing is kept until somebody records a write. Only
Tensors that the write is known to concern take the history over: views of what was written, by the chain of their
nodes. Others are refused. `.detach()` has memory of its own here (writes.py): no history crosses it.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.backend import Array, array_module
from tinytensor.base import TensorBase
from tinytensor.grad_hooks import PASS, move_retained, row_of
from tinytensor.ops.indexing import GETITEM, is_basic
from tinytensor.ops.matmul import EINSUM
from tinytensor.ops.moves import EXPAND
from tinytensor.ops.shape import PERMUTE, RESHAPE, SPLIT
from tinytensor.primitive import OUTPUT, Gradients, Primitive
from tinytensor.writes import alias, same_memory

if TYPE_CHECKING:
    from tinytensor.tape import Node


VIEWS = (RESHAPE, PERMUTE, EXPAND, GETITEM)  # their outputs may be views of their input, which `chain` then follows


class Place:
    """Which elements of a flat memory an array has: the first one, its shape, and the steps between elements."""

    __slots__ = ("shape", "start", "strides")  # a NamedTuple is slow to import

    def __init__(self, start: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
        self.start, self.shape, self.strides = start, shape, strides

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and self._fields() == other._fields()

    def _fields(self) -> dict[str, Any]:
        return {"start": self.start, "shape": self.shape, "strides": self.strides}

    def but(self, **fields: Any) -> Place:
        """This place with other fields."""
        return Place(**{**self._fields(), **fields})

    def size(self) -> int:
        """How many elements it has; 0 if several of them are one."""
        return 0 if any(s == 0 and n > 1 for n, s in zip(self.shape, self.strides)) else int(np.prod(self.shape))

    def of(self, flat: Array) -> Array:
        """The elements of `flat` at this place, as a view."""
        strides, offset = tuple(s * flat.itemsize for s in self.strides), self.start * flat.itemsize
        if isinstance(flat, np.ndarray):
            return np.ndarray(self.shape, flat.dtype, flat, offset, strides)
        return array_module(flat).ndarray(self.shape, flat.dtype, flat.data + offset, strides)


class History:
    """What a memory was computed from since its first recorded write."""

    __slots__ = ("_node", "constant", "date", "nodes", "place")

    def __init__(self, node: Node, place: Place | None, date: int, nodes: Any, constant: bool) -> None:
        self._node: Callable[[], Node | None] = lambda: node
        self.place = place  # of the elements that the node computed; None: all of them, flat
        self.date = date  # of the last write: an older node is outdated
        self.nodes: weakref.WeakSet[Node] = nodes  # those whose outputs are known to lie in this memory
        self.constant = constant  # whether nothing here had a history before the first write

    def let_go(self) -> None:
        """Keep the node no longer alive: the Tensor that has the memory does. So the graph is freed with that Tensor."""
        if (node := self._node()) is not None:
            self._node = weakref.ref(node)

    def node(self, array: Array) -> Node:
        """The node of the last write. RuntimeError if it is gone."""
        node = self._node()
        if node is None:
            raise _outdated(array)
        return node


class Leaf:
    """A constant that became a leaf when views of it were there: they are computed from it now, as in PyTorch."""

    __slots__ = ("_node", "_tensor")

    def __init__(self, t: TensorBase, node: type[Node]) -> None:
        self._tensor, self._node = weakref.ref(t), node

    def reach(self, t: TensorBase, memory: Array) -> None:
        """Give t a node, if it is a view of the leaf, and nothing else is known of it."""
        leaf = self._tensor()
        if t._node or t._requires_grad or t.array is memory or leaf is None or leaf.array is not memory:
            return
        if leaf._requires_grad and leaf._node is None:
            saved = place_of(t.array, memory), place_of(memory, memory), _bounds(memory)[1]
            t._node, t._requires_grad = self._node(LEAF_VIEW, (leaf,), saved, t.array.shape), True


rewritten: dict[
    int, History | Leaf
] = {}  # by the id of the array that owns the memory; removed when that array is freed


def _flat_backward(dy: Array, place: Place) -> Gradients:
    return (place.of(dy if dy.flags.c_contiguous else dy.copy(order="C")),)


def _as_strided_backward(dy: Array, place: Place, size: int) -> Gradients:
    dx = array_module(dy).zeros(size, dy.dtype)
    repeated = tuple(i for i, (n, s) in enumerate(zip(place.shape, place.strides)) if s == 0 and n > 1)
    shape = tuple(1 if i in repeated else n for i, n in enumerate(place.shape))
    place.but(shape=shape).of(dx)[...] = dy.sum(repeated, keepdims=True) if repeated else dy
    return (dx,)


def _leaf_view_backward(dy: Array, place: Place, leaf: Place, size: int) -> Gradients:
    return (leaf.of(*_as_strided_backward(dy, place, size)),)


def _copy_slices_backward(dy: Array, place: Place) -> Gradients:
    dx = array_module(dy).array(dy, order="C")
    place.of(dx)[...] = 0  # the write has replaced these elements
    return dx, *_flat_backward(dy, place)


def _row(name: str, backward: Callable[..., Gradients], formula: str) -> Primitive:
    return Primitive(name, lambda *_: None, backward, formula, "")  # never called, so not in the table


FLAT = _row("flat", _flat_backward, "y = the memory in which x lies")
AS_STRIDED = _row("as_strided", _as_strided_backward, "y = a view of a memory")
LEAF_VIEW = _row("leaf_view", _leaf_view_backward, "y = a view of a leaf, older than its requires_grad")
COPY_SLICES = _row("copy_slices", _copy_slices_backward, "y = a memory, but x written to a view of it")


# ------------------------------------------------------------------------------------- places and views


def place_of(x: Array, memory: Array) -> Place:
    """Which elements of the memory x has."""
    start = _address(x) - _bounds(memory)[0]
    return Place(start // x.itemsize, x.shape, tuple(s // x.itemsize for s in x.strides))


def flat_copy(x: Array) -> Array:
    """A copy of the memory from the first element of x to the last, as a vector."""
    low = x[tuple(slice(None, None, -1 if s < 0 else 1) for s in x.strides)]  # from its lowest address on
    return array_module(x).lib.stride_tricks.as_strided(low, (_bounds(x)[1],), (x.itemsize,)).copy()


def _bounds(x: Array) -> tuple[int, int]:
    """The address of its first byte, and how many elements lie between that and the last."""
    steps = [(n - 1) * s for n, s in zip(x.shape, x.strides)] if x.size else []
    low, high = sum(s for s in steps if s < 0), sum(s for s in steps if s > 0)
    return _address(x) + low, (high - low) // x.itemsize + (x.size > 0)


def _address(x: Array) -> int:
    return int(x.__array_interface__["data"][0] if isinstance(x, np.ndarray) else x.data.ptr)


def chain(t: TensorBase, memory: Array) -> Iterator[tuple[Node, Place]]:
    """The node of t and those that it is a view of, down to what computed the values, with the places of their outputs."""
    node: Any = t._node
    place: Place | None = place_of(t.array, memory)
    while place is not None and node is not None and not isinstance(node, TensorBase):
        yield node, place
        place = _viewed(node, place)
        node = node.inputs[0] if node.inputs else None


def _viewed(node: Node, place: Place) -> Place | None:
    """The place of the input of a call whose output is a view of it; None if it is no view, and after backward."""
    primitive, saved = row_of(node), node.saved
    if saved is None or primitive not in VIEWS:
        return None
    if primitive is PERMUTE:
        back = sorted(range(len(saved[0])), key=saved[0].__getitem__)
        return place.but(shape=tuple(place.shape[i] for i in back), strides=tuple(place.strides[i] for i in back))
    if primitive is EXPAND:
        return place.but(shape=saved[0], strides=place.strides[len(place.shape) - len(saved[0]) :])
    if primitive is RESHAPE:
        try:
            strides = np.reshape(_empty(place.shape, place.strides), saved[0], copy=False).strides
        except ValueError:  # it was a copy
            return None
        return place.but(shape=saved[0], strides=strides)
    shape, strides, dtype, index = saved
    if not is_basic(index):  # lists and Tensors: a copy
        return None
    steps = tuple(s // dtype.itemsize for s in strides)
    x = _empty(shape, steps)
    return Place(place.start - (_address(x[index]) - _address(x)), shape, steps)


def _empty(shape: tuple[int, ...], strides: tuple[int, ...]) -> Any:
    """An array of bytes with these strides, to reshape and to slice; nobody reads its elements."""
    return np.lib.stride_tricks.as_strided(np.empty(1, np.int8), shape, strides)


def is_view(t: TensorBase) -> bool:
    """Whether t was computed as a view of another Tensor."""
    made_by = None if t._node is None else row_of(t._node)
    return made_by in (*VIEWS, LEAF_VIEW, EINSUM, OUTPUT) and same_memory(t.array) is not t.array


def check_view(t: TensorBase, name: str) -> None:
    """RuntimeError if a write to t would be one to a leaf that requires grad, or to one output of several."""
    memory = same_memory(t.array)
    *_, (bottom, _) = chain(t, memory)
    if any(isinstance(x, TensorBase) and same_memory(x.array) is memory for x in bottom.inputs):
        raise RuntimeError(
            f"a view of a leaf Variable that requires grad is being used in an in-place operation ({name})"
        )
    if bottom.saved is None and row_of(bottom) in (*VIEWS, EINSUM, OUTPUT):
        raise RuntimeError(
            f"{name} on what may be a view, after backward, is outside tinytensor's subset: it must not be modified inplace;"
            " use the out-of-place form, or write to its .clone()"
        )
    if bottom.is_output() and row_of(bottom.inputs[0]) in (SPLIT, PASS):
        raise RuntimeError(
            f"{name}: a view that is one of several outputs of a function must not be modified inplace;"
            " use the out-of-place form, or write to its .clone()"
        )


# -------------------------------------------------------------------------------------------- histories


def record(t: TensorBase, result: Node) -> None:
    """Note that t's memory gets the values that `result` computed; t has its old node still."""
    memory = same_memory(t.array)
    key, size, place = id(memory), _bounds(memory)[1], place_of(t.array, memory)
    old, below = rewritten.get(key), list(chain(t, memory))
    old = old if isinstance(old, History) else None
    nodes = weakref.WeakSet(node for node, _ in below) if old is None else old.nodes
    constant = not below if old is None else old.constant
    node, whole = result, place.size() == size
    if not whole:
        last = [(old.node(t.array), old.place)] if old else below[-1:]  # empty for constants
        flat = _flat(*last[0], size) if last else None
        node = type(result)(COPY_SLICES, (flat, result), (place,), (size,))
    nodes.update((result, node))
    if old is None:
        weakref.finalize(memory, rewritten.pop, key, None).atexit = False
    history = rewritten[key] = History(node, place if whole else None, result.order, nodes, constant)
    if whole and t.array is memory:
        history.let_go()


def adopt(t: TensorBase, node: Node) -> None:
    """Give t the node that computed the values which its memory gets, or got just now."""
    record(t, node)
    move_retained(t._node, node)
    t._node, t._requires_grad = node, True


def settle(t: TensorBase) -> None:
    """Let t take over the history of a view of it that was written just now."""
    refresh((t,))
    if isinstance(history := rewritten.get(id(t.array)), History):
        history.let_go()


def _holders(t: TensorBase) -> int:
    return sys.getrefcount(t.array)


_alone = TensorBase()
_alone.array = np.empty(0)
ALONE = _holders(_alone)  # of an array that one Tensor has, and no view


def becomes_leaf(t: TensorBase, node: type[Node]) -> None:
    """Note that t requires grad from now on, if there may be views of it. Who owns no memory is itself a view."""
    refresh((t,))
    if t._node is None and _holders(t) > ALONE and same_memory(t.array) is t.array:
        if not isinstance(rewritten.get(id(t.array)), Leaf):
            weakref.finalize(t.array, rewritten.pop, id(t.array), None).atexit = False
        rewritten[id(t.array)] = Leaf(t, node)


def _flat(node: Node, place: Place | None, size: int) -> Node:
    """The node of a whole memory, given that of what lies at a place in it."""
    return node if place is None else type(node)(FLAT, (node,), (place,), (size,))


def refresh(tensors: Iterable[Any]) -> None:
    """Give those Tensors a new node whose memory another Tensor has written to. RuntimeError if that is not possible."""
    for t in tensors:
        if isinstance(t, TensorBase):
            memory = same_memory(t.array)
            history = rewritten.get(id(memory))
            if isinstance(history, Leaf):
                history.reach(t, memory)
            elif history is not None and (t._node is None or t._node.order < history.date):
                _renew(t, memory, history)


def _renew(t: TensorBase, memory: Array, history: History) -> None:
    old = t._node
    known = any(node in history.nodes for node, _ in chain(t, memory))
    if not known and (old is not None or t._requires_grad or not history.constant):
        raise _outdated(t.array)
    t._node, t._requires_grad = _derived(history, t.array, memory), True
    history.nodes.add(t._node)
    move_retained(old, t._node)


def apart(arrays: list[Any]) -> Any:
    """For a call under no_grad: put aliases in place of what was written, since a view made there takes no history over."""
    if rewritten:
        written = [x is not None and id(same_memory(x)) in rewritten for x in arrays]
        arrays[:] = [alias(x) if w else x for x, w in zip(arrays, written)]
    return None  # no edges


def _derived(history: History, x: Array, memory: Array) -> Node:
    """A node for x, which lies in the memory."""
    node, place, size = history.node(x), place_of(x, memory), _bounds(memory)[1]
    if place == history.place:
        return type(node)(RESHAPE, (node,), (place.shape,), place.shape)
    return type(node)(AS_STRIDED, (_flat(node, history.place, size),), (place, size), place.shape)


def _outdated(array: Array) -> RuntimeError:
    return RuntimeError(
        f"a {tuple(array.shape)} tensor shares memory with another that an inplace operation changed, and is not known"
        " to be a view of it: outside tinytensor's subset; take views after the write and with grad mode enabled"
    )
