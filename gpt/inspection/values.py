"""Every value of a forward and its gradient, by name: those that the trace names, and the steps between them.

PATH.output, PATH.scores, …       as tinytensor.trace names them; a value with several names has the first
PATH.PRIMITIVE, PATH.PRIMITIVE#2  what a call within a module computed, if the trace has no name for it
PATH.split.0, PATH.split.1        where a call has several outputs
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

import tinytensor
from gpt.build import Model
from tinytensor import Tensor
from tinytensor.inside.trace import Trace
from tinytensor.inside.watch import Call

NO_TARGET = -100  # PyTorch's ignore_index: a position with it adds nothing to the loss
TITLES = {
    "split.0": "queries", "split.1": "keys", "split.2": "values of the heads", "q_norm.input": "queries",
    "k_norm.input": "keys", "rotary": "turned by its position", "triu": "the mask", "scores": "scores",
    "softmax": "scores as shares", "weights": "weights",
}  # fmt: skip
Axes: TypeAlias = tuple[str, ...]
MERGED: dict[Axes, str] = {("batch", "token"): "token", ("head", "channel"): "channel", ("head", "copy"): "head"}
Array = NDArray[Any]


@dataclass
class Value:
    """What a call computed, or what the model was given."""

    name: str
    array: Array
    axes: Axes  # of the array: "batch", "token", "source" (a token that is looked at), "head", "copy", "channel"
    call: int | None = None  # the place in Pass.calls of the call that computed it
    gradient: Array | None = None
    same: list[str] = field(default_factory=list)  # its other names
    module: str = ""  # the path of the module within which it was computed

    @property
    def title(self) -> str:
        """What it is, in a word or two; "" if the name says it."""
        step = self.name.partition("#")[0].removeprefix(self.module).lstrip(".")
        return TITLES.get(step, "") if self.module.endswith("attention") else ""


@dataclass
class Pass:
    """One forward and backward of a model over a text."""

    trace: Trace
    calls: list[Call]
    values: dict[str, Value]
    names: dict[int, str]  # of a value or parameter, by the id of its array


def run(model: Model, ids: Array) -> Pass:
    """Run the model on ids (T,), T ≥ 2, and back from its loss: the mean over the T - 1 tokens that have one after them."""
    inputs = tinytensor.from_numpy(ids.astype(np.int64))[None]
    targets = tinytensor.from_numpy(np.append(ids[1:], NO_TARGET).astype(np.int64))[None]
    model.zero_grad()
    with tinytensor.trace(model) as trace:
        _, loss = model(inputs, targets)
        assert isinstance(loss, Tensor)
        loss.backward()
    found = Pass(trace, trace.calls, {}, {})
    _name(found, model)
    return found


def _name(found: Pass, model: Model) -> None:
    """Find the name, the axes and the gradient of every value."""
    traced: dict[int, list[str]] = {}
    for name, x in found.trace.values.items():
        traced.setdefault(id(x.array), []).append(name)
    computed = {id(array) for call in found.calls for array in call.outputs}
    for key, names in traced.items():
        if key not in computed:  # the tokens, and the token after each
            array = found.trace.values[names[0]].array
            found.values[names[0]] = Value(names[0], array, ("batch", "token")[-array.ndim :], same=names[1:])
            found.names[key] = names[0]
    found.names |= {id(p.array): name for name, p in model.named_parameters()}
    count: Counter[str] = Counter()
    axes: dict[int, Axes] = {id(value.array): value.axes for value in found.values.values()}
    for i, call in enumerate(found.calls):
        for j, array in enumerate(call.outputs):
            names = traced.get(id(array)) or [_between(call, j, count)]
            dy = call.dy[j] if isinstance(call.dy, list) else call.dy
            axes[id(array)] = axes_of(call, array, axes) or _of_shape(array, found.values.values())
            found.values[names[0]] = Value(names[0], array, axes[id(array)], i, dy, names[1:], call.path)
            found.names[id(array)] = names[0]


def _of_shape(array: Array, values: Iterable[Value]) -> Axes:
    """The axes of the last value of this shape: a mask has those of what it masks."""
    return next((value.axes for value in reversed([*values]) if value.array.shape == array.shape), ())


def _between(call: Call, output: int, count: Counter[str]) -> str:
    """A name for what a call computed within its module."""
    name = f"{call.path}.{call.primitive.name}" if call.path else call.primitive.name
    count[name] += output == 0
    number = f".{output}" if len(call.outputs) > 1 else ""
    again = f"#{count[name]}" if count[name] > 1 else ""
    return f"{name}{number}{again}"


def axes_of(call: Call, output: Array, known: dict[int, Axes]) -> Axes:
    """What the dimensions of an output are, from those of the inputs, by the ids of their arrays; () if that is not known."""
    inputs = [known.get(id(x), ()) for x in call.inputs]
    shapes = [() if x is None else x.shape for x in call.inputs]
    first = max(inputs, key=len, default=())
    if call.primitive.name == "embedding":
        return ("batch", "token", "channel")[-output.ndim :]
    if call.primitive.name == "permute":
        return tuple(first[axis] for axis in call.static["axes"])
    if call.primitive.name == "matmul":
        rows, columns = inputs[0][:-1], inputs[1][-1:]
        return (*rows, "source") if columns == rows[-1:] else rows + columns
    if call.primitive.name == "reshape":
        return _reshaped(first, shapes[0], output.shape)
    return first if len(first) == output.ndim else ()


def _reshaped(axes: Axes, old: tuple[int, ...], new: tuple[int, ...]) -> Axes:
    """Axes of an array whose channels are cut into heads, which gets a dimension of copies, or of which two become one."""
    if len(axes) != len(old) or new == old:
        return axes if new == old else ()
    last = len(old) - 1
    if len(new) == len(old) + 1 and new[:last] == old[:last]:
        return (*axes[:last], "head", axes[last])
    for i in reversed(range(len(old))):  # of several places for a 1 the last: copies come after their head
        if new == (*old[:i], 1, *old[i:]):
            return (*axes[:i], "copy", *axes[i:])
    for i in range(last):
        if new == (*old[:i], old[i] * old[i + 1], *old[i + 2 :]) and axes[i : i + 2] in MERGED:
            return (*axes[:i], MERGED[axes[i : i + 2]], *axes[i + 2 :])
    return ()
