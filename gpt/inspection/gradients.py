"""The gradient of every value in the page: each array of numbers once, however many values it belongs to.

Attention moves numbers about, additions hand one gradient to both of their inputs, a product with a number changes the scale
alone: a third of the numbers are there already, in another order or with another scale.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpt.inspection.pack import Packer, View, scaled
from gpt.inspection.values import Array, Pass, Value

MOVES = ("reshape", "permute", "split")  # what they return are the numbers of their input, in another order
Places = NDArray[np.int64]


@dataclass
class Kept:
    """Where the numbers of a gradient are: in the one that is named `of`, at these places of it, times the scale."""

    of: str
    places: Places  # of the shape of the gradient
    scale: float


def add(found: Pass, packer: Packer) -> None:
    """Put "g:NAME" into the packer for each value with a gradient: its numbers, or where they are among those of another."""
    kept: dict[str, Kept] = {}
    same: dict[bytes, str] = {}
    for value in found.values.values():
        if value.gradient is None:
            continue
        gradient = without_batch(value.gradient, value)
        halves, scale = scaled(gradient)
        there = _moved(found, value, kept)
        view = None if there is None else even(without_batch(there.places, value))
        if there is None or view is None:
            key = hashlib.sha256(repr(halves.shape).encode() + halves.tobytes()).digest()
            places = np.arange(gradient.size).reshape(value.gradient.shape)
            there = Kept(same.setdefault(key, value.name), places, scale)
            view = even(without_batch(places, value))
        kept[value.name] = there
        if there.of == value.name or view is None:
            packer.add_scaled(f"g:{value.name}", gradient)
        else:
            packer.add_view(f"g:{value.name}", f"g:{there.of}", view, gradient.shape, there.scale)


def without_batch(array: Array, value: Value) -> Array:
    """The array of the one text that the batch has."""
    return array[0] if value.axes[:1] == ("batch",) else array


def _moved(found: Pass, value: Value, kept: dict[str, Kept]) -> Kept | None:
    """Where the gradient of a moved value is among the numbers that are there; None if it is not."""
    call = None if value.call is None else found.calls[value.call]
    if call is None or value.gradient is None or call.primitive.name not in MOVES:
        return None
    source = found.values.get(found.names.get(id(call.inputs[0]), ""))
    if source is None or source.gradient is None:
        return None
    results = call.again(np.arange(source.gradient.size).reshape(source.gradient.shape))
    which = next(i for i, y in enumerate(call.outputs) if y is value.array)
    places = results[which] if isinstance(results, tuple) else results
    if not np.array_equal(source.gradient.ravel()[places], value.gradient):
        return None
    there = kept[source.name]
    return Kept(there.of, there.places.ravel()[places], there.scale)


def even(places: Places) -> View | None:
    """The view that has these places: those of even steps along each dimension, or along both parts of the last one."""
    if not places.size:
        return None
    for part in (1, *(n for n in range(2, places.shape[-1]) if places.shape[-1] % n == 0)) if places.ndim else (1,):
        cut = places.reshape(*places.shape[:-1], part, -1) if part > 1 else places
        first = (0,) * cut.ndim
        next_ones = [tuple(int(i == axis) for i in range(cut.ndim)) for axis in range(cut.ndim)]
        steps = [int(cut[at] - cut[first]) if cut.shape[axis] > 1 else 0 for axis, at in enumerate(next_ones)]
        view = View(cut.shape, tuple(steps), int(cut[first]))
        if np.array_equal(expanded(view), cut):
            return view
    return None


def expanded(view: View) -> Places:
    """The places that a view has."""
    axes = np.meshgrid(*(np.arange(n) for n in view.dims), indexing="ij", sparse=True)
    total = sum((step * n for step, n in zip(view.strides, axes)), np.int64(view.start))
    return np.broadcast_to(total, view.dims)
