"""explain: how a value came to be. The primitive, its formula and source, its inputs, its gradients, and a check of them.

    with tinytensor.trace(model) as t:
        model(ids, targets)[1].backward()
    tinytensor.explain(t["blocks.0.feed_forward.up"])            # the call that computed it
    tinytensor.explain(t["blocks.0.feed_forward.up"])[0, 3, 7]   # which numbers entered one of its elements

It knows the calls of a trace for as long as somebody keeps that trace. Of other Tensors it says what the tape knows.
`explain_call(call)` returns the same of a Call of `Trace.calls`, with fields for a program.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import CodeType
from typing import Any

import numpy as np

from tinytensor.backend import Array, as_array
from tinytensor.base import TensorBase, is_tensor
from tinytensor.devices import device_of, to_device
from tinytensor.inside.check import Check, argument, check_call
from tinytensor.inside.element import Element, explain_element
from tinytensor.inside.show import folded, heading, html_table, number, short, text_table
from tinytensor.inside.watch import Call, Line, call_of_array, call_of_node
from tinytensor.nn.module import Module
from tinytensor.tape import Node
from tinytensor.writes import owner

MORE = (
    "call it inside of `with tinytensor.trace() as t:` and keep t: then explain shows its inputs, lines and gradients"
)
FEW = 4  # numbers that a summary shows
# Files between a call of a primitive and its caller that are in every chain: how modules and functions are called.
PLUMBING = ("tinytensor/nn/module.py", "tinytensor/nn/hooks.py", "tinytensor/functions/signature.py")


@dataclass(frozen=True)
class Source:
    """Where a function is defined: its lines, both included, and its name."""

    file: str
    first: int
    last: int
    name: str

    def __str__(self) -> str:
        return f"{short(self.file)}:{self.first}  {self.name}"

    @property
    def text(self) -> str:
        """Its lines; empty if the file is gone."""
        try:
            with open(self.file, encoding="utf-8") as file:
                return "".join(file.readlines()[self.first - 1 : self.last])
        except OSError:
            return ""


@dataclass(frozen=True)
class Summary:
    """An array in few numbers. low, high, mean and rms are those of its finite elements; None if there are none."""

    shape: tuple[int, ...]
    dtype: str
    device: str
    low: float | None
    high: float | None
    mean: float | None
    rms: float | None
    infinite: int  # elements that are ±∞ or nan
    first: tuple[float, ...]

    def __str__(self) -> str:
        where = "" if self.device == "cpu" else f" on {self.device}"
        kind = f"{self.shape} {self.dtype}{where}"
        if self.low is None or self.high is None or self.rms is None:
            return f"{kind}, {'no elements' if 0 in self.shape else f'{self.infinite} infinite or nan'}"
        if self.shape == ():
            return f"{kind}, {number(self.low)}"
        if self.dtype == "bool" or "int" in self.dtype:
            return f"{kind}, {number(self.low)} to {number(self.high)}"
        some = f", {self.infinite} infinite or nan" if self.infinite else ""
        return f"{kind}, {number(self.low)} to {number(self.high)}, rms {number(self.rms)}{some}"


@dataclass(frozen=True)
class Input:
    """One input of a call. kind: "parameter", "leaf", "result", "constant", or "absent"."""

    name: str  # in the definition of the forward
    kind: str
    what: str  # the name of the parameter, or the call that computed it
    value: Summary | None
    wanted: bool  # whether its gradient is
    call: Call | None = None  # that computed it
    gradient: Summary | None = None  # what the backward of this call returned for it

    def __str__(self) -> str:
        return f"{self.kind}{f' {self.what}' if self.what else ''}"


@dataclass
class Explanation:
    """How a value came to be. `print` shows it, and so does a notebook; explanation[i, j] explains one element."""

    title: str
    primitive: str = ""
    formula: str = ""
    forward: Source | None = None
    backward: Source | None = None
    lines: tuple[Line, ...] = ()  # from the one that called the primitive to the one outside of tinytensor
    module: str = ""  # the path of the innermost module
    modules: tuple[tuple[str, str], ...] = ()  # path and class of each, the outermost first
    inputs: tuple[Input, ...] = ()
    static: dict[str, str] = field(default_factory=dict)
    outputs: tuple[Summary, ...] = ()
    dy: tuple[Summary | None, ...] = ()  # empty if no backward has run
    notes: tuple[str, ...] = ()
    call: Call | None = None
    which: int = 0  # of several outputs

    @cached_property
    def check(self) -> Check | None:
        """The local check of the gradients (inside/check.py); it runs when it is first asked for. None without a call."""
        return None if self.call is None else check_call(self.call)

    def __getitem__(self, index: Any) -> Element:
        """Which numbers entered one element: an index for each dimension. ValueError if nothing of the call is known."""
        if self.call is None:
            raise ValueError(f"{self.title}: its numbers were not kept; {MORE}")
        return explain_element(self.call, self.which, index)

    def back(self, name: str | int = 0) -> Explanation:
        """One step back: how an input came to be, by its name or number. ValueError if no call that is kept computed it."""
        found = [x for i, x in enumerate(self.inputs) if name in (i, x.name)]
        if not found or found[0].call is None:
            steps = ", ".join(x.name for x in self.inputs if x.call is not None)
            raise ValueError(
                f"{self.title}: no call is known for its input {name!r}; there is one for {steps or 'none'}"
            )
        return explain_call(found[0].call)

    def rows(self) -> list[tuple[str, str]]:
        """Everything as pairs: a name, and a text."""
        rows = [("formula", self.formula)] if self.formula else []
        if self.modules:
            rows.append(("module", " › ".join(f"{path or 'model'} ({kind})" for path, kind in self.modules)))
        for line in reversed(self.lines):
            if short(line.file) not in PLUMBING:
                rows.append(("called", f"{short(line.file)}:{line.number}  {line.function}"))
        rows += [(name, str(s)) for name, s in (("forward", self.forward), ("backward", self.backward)) if s]
        rows += [(f"input {x.name}", f"{x}{f': {x.value}' if x.value else ''}") for x in self.inputs]
        rows += [(f"constant {name}", value) for name, value in self.static.items()]
        rows += [(self._numbered("output", i), str(value)) for i, value in enumerate(self.outputs)]
        rows += [(self._numbered("dy", i), str(value or "none reached it")) for i, value in enumerate(self.dy)]
        rows += [(f"gradient of {x.name}", str(x.gradient)) for x in self.inputs if x.gradient is not None]
        if self.call is not None and not self.dy:
            rows.append(("dy", "no backward has run since"))
        if self.check is not None:
            rows.append(("check", str(self.check)))
        return rows + [("note", note) for note in self.notes]

    def _numbered(self, name: str, i: int) -> str:
        several = self.call is not None and self.call.several
        return f"{name} {i}{' (this one)' if i == self.which else ''}" if several else name

    def __repr__(self) -> str:
        return f"{self.title}\n{text_table(self.rows(), '  ')}"

    def _repr_html_(self) -> str:
        parts = [heading(self.title), html_table(self.rows())]
        parts += [folded(f"source of {s.name}", s.text) for s in (self.forward, self.backward) if s and s.text]
        return f"<div>{''.join(parts)}</div>"


# --------------------------------------------------------------------------------------------- of a Tensor


def explain(x: Any, index: Any = None) -> Explanation | Element:
    """How the value of a Tensor came to be; with an index, which numbers entered that element.

    TypeError for what is no Tensor; IndexError for an index that is not one element; ValueError for an element of a
    Tensor whose call was not kept.
    """
    if not is_tensor(x):
        raise TypeError(f"explain takes a Tensor, not {type(x).__name__}")
    explanation = _explained(x)
    return explanation if index is None else explanation[index]


def _explained(x: TensorBase) -> Explanation:
    node = x._node
    call, notes = call_of_node(node), []
    if call is None and (made := call_of_array(x.array)) is not None:
        if node is None or node.is_output() or node._call().primitive.name == made.primitive.name:
            call = made
        else:
            notes.append(f"its numbers are those of a {made!r} in its forward; explain that value for more")
    made = call_of_array(owner(x.array))
    if call is None and node is None and made is not None and made.outputs[0].shape == x.array.shape:
        call, notes = made, ["a detached Tensor on the memory that this call computed: no gradient flows back"]
    if call is None:
        return _of_the_tape(x, node, notes)
    which = next((i for i, y in enumerate(call.outputs) if y is x.array), 0)
    return explain_call(call, which=which, notes=tuple(notes))


def _of_the_tape(x: TensorBase, node: Node | None, notes: list[str]) -> Explanation:
    """What is known without a trace."""
    value = summary(x.array)
    if node is None:
        kind = "leaf that wants a gradient" if x._requires_grad else "constant: no recorded call computed it"
        dy = (summary(x._grad.array),) if x._grad is not None else ()
        notes += [] if x._requires_grad else [f"if a call computed it, {MORE}"]
        return Explanation(f"a {kind}, of {value.shape}", outputs=(value,), dy=dy, notes=tuple(notes))
    node = node._call()  # type: ignore[assignment]
    assert node is not None
    inputs = tuple(Input(str(i), *_edge(edge), edge is not None) for i, edge in enumerate(node.inputs))
    if not node.inputs:
        notes.append("its backward has run, so the tape has dropped its inputs")
    function = node.saved[0] if node.saved and hasattr(type(node.saved[0]), "save_for_backward") else None
    pair = _pair(node.primitive, function)
    title = f"a result of {node.primitive.name}, of {value.shape}"
    notes.append(f"the call was not watched; {MORE}")
    return Explanation(
        title, node.primitive.name, node.primitive.formula, *pair, inputs=inputs, outputs=(value,), notes=tuple(notes)
    )


def _edge(edge: Any) -> tuple[str, str, Summary | None]:
    """kind, what and value of an input that the tape knows."""
    if isinstance(edge, TensorBase):
        return "leaf", "", summary(edge.array)
    if edge is None:
        return "constant", "(no gradient is wanted)", None
    return "result", f"of {edge._call().primitive.name}", None


# ----------------------------------------------------------------------------------------------- of a Call


def explain_call(call: Call, *, which: int = 0, notes: tuple[str, ...] = ()) -> Explanation:
    """How the outputs of a Call came to be. which: of several outputs, the one that indices are for."""
    names = parameter_names(call)
    dy = call.dy if isinstance(call.dy, list) else [] if call.dy is None else [call.dy]
    shape = tuple(call.outputs[which].shape) if call.outputs else ()
    if not call.is_intact():
        notes += ("an array of this call was overwritten in place since: numbers above may be newer than the call",)
    return Explanation(
        title=f"a result of {call.primitive.name}, of {shape}",
        primitive=call.primitive.name,
        formula=call.primitive.formula,
        **dict(zip(("forward", "backward"), _pair(call.primitive))),
        lines=call.lines,
        module=call.path,
        modules=tuple((within.path, type(within.module).__name__) for within in call.within),
        inputs=tuple(_input(call, i, names) for i in range(len(call.inputs))),
        static={name: constant(value) for name, value in call.static.items()},
        outputs=tuple(summary(y) for y in call.outputs),
        dy=tuple(None if d is None else summary(d) for d in dy),
        notes=notes,
        call=call,
        which=which,
    )


def _input(call: Call, i: int, names: dict[int, str]) -> Input:
    array = call.inputs[i]
    if array is None:
        return Input(argument(call, i), "absent", "", None, False)
    wanted = bool(call.needs and call.needs[i])
    found = call.gradients[i] if call.gradients is not None else None
    gradient = None if found is None else summary(found)
    source = maker(call, i)
    if id(array) in names:
        kind, what = "parameter", names[id(array)]
    elif source is not None:
        kind, what = "result", f"of {source.primitive.name}{f' in {source.path}' if source.path else ''}"
    elif isinstance(call.sources[i] if call.sources else None, TensorBase):
        kind, what = "leaf", ""
    else:
        kind, what = ("result", "of a call that was not watched") if wanted else ("constant", "")
    return Input(argument(call, i), kind, what, summary(array), wanted, source, gradient)


def maker(call: Call, i: int) -> Call | None:
    """The call that computed input i, if it is known."""
    source = call.sources[i] if call.sources else None
    return source if isinstance(source, Call) else call_of_array(call.inputs[i])


def parameter_names(call: Call) -> dict[int, str]:
    """The dotted names of the parameters below the outermost module, by the id of their arrays."""
    root: Module | None = call.within[0].module if call.within else None
    return {} if root is None else {id(p.array): name for name, p in root.named_parameters()}


def _pair(primitive: Any, function: Any = None) -> tuple[Source | None, Source | None]:
    """The sources of a forward and a backward; those of an autograd.Function, if it is one."""
    backward = primitive.backward if function is None else type(function).backward
    of_function = (
        backward.__module__ == "tinytensor.autograd.function"
    )  # its node was played: only the forward is known
    return source_of(primitive.forward), None if of_function else source_of(backward)


def source_of(function: Any) -> Source | None:
    """Where a Python function is defined; None for others."""
    function = inspect.unwrap(function)
    code = getattr(function, "__code__", None)
    return None if code is None else _source(code, function.__name__)


@functools.lru_cache(maxsize=512)  # to find the end of a function, Python reads it
def _source(code: CodeType, name: str) -> Source:
    try:
        lines, first = inspect.getsourcelines(code)
    except (OSError, TypeError):
        lines, first = [""], code.co_firstlineno
    return Source(code.co_filename, first, first + len(lines) - 1, name)


def summary(x: Any) -> Summary:
    """An array in few numbers; one on a GPU is copied to the host."""
    x = as_array(x)
    host = to_device(x, "cpu")
    numbers = host.astype(np.float64) if host.dtype.kind != "c" else host.real
    finite = numbers[np.isfinite(numbers)]
    low, high, mean, rms = _stats(finite) if finite.size else (None,) * 4
    first = tuple(float(v) for v in numbers.reshape(-1)[:FEW])
    infinite = numbers.size - finite.size
    return Summary(tuple(x.shape), str(x.dtype), str(device_of(x)), low, high, mean, rms, infinite, first)


def _stats(x: Array) -> tuple[float, float, float, float]:
    return float(x.min()), float(x.max()), float(x.mean()), float(np.sqrt(np.mean(np.square(x))))


def constant(value: Any) -> str:
    """A keyword argument of a forward in one line."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return str(summary(value))
    if isinstance(value, Sequence) and not isinstance(value, str):
        inner = ", ".join(constant(v) for v in value)
        return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' if len(value) == 1 else ''})"
    text = getattr(value, "__name__", None) or repr(value)
    return text if len(text) <= 100 else f"{text[:99]}…"
