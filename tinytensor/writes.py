"""The dates of in-place writes: a backward refuses values that were overwritten after its forward saved them.

`x.add_(…)`, `x[i] = …` and `optimizer.step()` note the date of each write, and the memory that they wrote to. Before
the tape plays, it compares these dates with the dates of the nodes that saved arrays in that memory. So recording
costs nothing; a version counter in every Tensor, as PyTorch has, would cost time in every call.

What a recorded write does to the history of other Tensors on its memory is in histories.py.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.backend import Array, array_module, is_array

if TYPE_CHECKING:
    from tinytensor.tape import Node

# One clock dates nodes and writes. Dates are a topological order: an input exists before what is computed from it.
tick = itertools.count().__next__

# By the id of the array that owns the memory: a weak reference to it, and the date of the last write. An entry is removed
# when that array is freed.
_written: dict[int, tuple[Any, int]] = {}
_lock = threading.Lock()
_sources: dict[int, Array] = {}  # by the id of an alias on a GPU: the array that it is an alias of


def note_write(x: Array) -> None:
    """Note that x was written in place just now."""
    memory = owner(x)
    key = id(memory)
    reference = weakref.ref(memory, lambda _: _written.pop(key, None))
    with _lock:  # else a thread could note an earlier date after another's later one
        _written[key] = (reference, tick())


def owner(x: Array) -> Array:
    """The array that owns x's memory: x itself, or the one that x is a view or an alias of."""
    while True:
        base = _sources.get(id(x)) if x.base is None else x.base
        base = base.obj if type(base) is memoryview else base
        if not isinstance(base, type(x)):
            return x
        x = base


def same_memory(x: Array) -> Array:
    """The array that x is a view of; aliases are not followed."""
    while isinstance(x.base, type(x)):
        x = x.base
    return x


def alias(x: Array) -> Array:
    """x for a detached Tensor. Writes to it have dates like those to x, but it is no view of x: it takes no history over."""
    if isinstance(x, np.ndarray):
        return np.asarray(x.data)  # its base is a memoryview, not x
    y = array_module(x).ndarray(x.shape, x.dtype, x.data, x.strides)
    _sources[id(y)] = x
    weakref.finalize(y, _sources.pop, id(y), None).atexit = False
    return y


def arrays_in(saved: Iterable[Any]) -> Iterable[Array]:
    """The arrays among what a forward saved; an index or a list of operands may hold some."""
    for item in saved:
        for x in item if isinstance(item, (tuple, list)) else (item,):
            if is_array(x):
                yield x


def written_after(x: Array, date: int) -> bool:
    """Whether x was written in place after this date."""
    return _written.get(id(owner(x)), (None, 0))[1] > date


def check_saved(nodes: Iterable[Node]) -> None:
    """RuntimeError if an array that a node saved was overwritten later. nodes: oldest first."""
    last = max((date for _, date in list(_written.values())), default=0)
    for node in nodes:
        if node.order > last:  # this node and all after it are younger than every write
            return
        for x in arrays_in(node.saved or ()):
            if written_after(x, node.order):
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an inplace operation"
                    f": a {tuple(x.shape)} array that {node.primitive.name} saved; use the out-of-place form"
                )
