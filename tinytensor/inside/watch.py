"""Watching a thread: each call of a primitive, and each of its backwards, with its arrays, its lines and its modules.

    with observed(observer):         # an Observer: its `forward(call)` follows each forward, its `backward(call)` each backward
        model(x).backward()

It costs nothing when nobody watches: `tape.apply` calls kernels through the `run` of the thread's mode anyway (modes.py),
and a watch puts another `run` there. What a forward saves becomes a `Kept`, which knows its Call; before a backward,
`look_at` gives each node with a Kept a copy of its primitive whose backward tells the observers. Other threads are not seen.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, WeakValueDictionary, ref

import numpy as np

from tinytensor.backend import Array, as_array
from tinytensor.modes import Mode, thread
from tinytensor.nn.hooks import call_with_hooks
from tinytensor.nn.module import Module
from tinytensor.primitive import Primitive
from tinytensor.tape import Edge, Node, apply
from tinytensor.writes import tick, written_after

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
# The frames of a module that runs, and its name there.
CALLERS = {Module.__call__.__code__: "self", call_with_hooks.__code__: "module"}


class Line(NamedTuple):
    """A line of source: its file, its number, the function in which it stands."""

    file: str
    number: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.number}"


class Within(NamedTuple):
    """A module that was running: its dotted path below the outermost one, "" for that itself, and the module."""

    path: str
    module: Module


@dataclass(eq=False)
class Call:
    """One call of a primitive. After its backward, `dy` and `gradients` are there: nothing may write into any array here."""

    primitive: Primitive
    inputs: tuple[Array | None, ...]  # as the forward took them
    static: dict[str, Any]  # its keyword arguments
    outputs: tuple[Array, ...]  # those of the Tensors that the call returned
    lines: tuple[Line, ...]  # from the one that called the primitive to the caller's, outside of tinytensor
    within: tuple[Within, ...]  # the modules, the outermost first
    date: int = field(default_factory=tick)  # of the clock of nodes and writes
    dy: Any = None  # the gradient of the output; a list with one for each of several outputs
    gradients: tuple[Array | None, ...] | None = None  # what the backward returned: one for each input
    needs: tuple[bool, ...] = ()  # for each input: whether its gradient is wanted
    origins: tuple[Any, ...] = ()  # for each of these a leaf Tensor, or a weak reference to a Call: see sources
    several: bool = False  # whether the forward returns a tuple, and the backward takes a list

    @property
    def line(self) -> Line:
        """The caller's: the innermost one outside of tinytensor."""
        return self.lines[-1]

    @property
    def path(self) -> str:
        """The dotted path of the innermost module; "" outside of all, and in the outermost one."""
        return self.within[-1].path if self.within else ""

    @property
    def sources(self) -> tuple[Any, ...]:
        """For each input whose gradient is wanted: the leaf Tensor, or the Call that computed it; None if it is not known.

        A call keeps no other alive: a loss that is kept after its trace would keep all that it was computed from.
        """
        return tuple([x() if isinstance(x, ref) else x for x in self.origins])

    @property
    def output(self) -> Array:
        """The output of a call that has one."""
        return self.outputs[0]

    def is_intact(self) -> bool:
        """Whether no array of it was overwritten in place since."""
        return not any(x is not None and written_after(x, self.date) for x in (*self.inputs, *self.outputs))

    def again(self, *inputs: Array | None) -> Any:
        """The forward on other inputs: its output, or a tuple of several."""
        forward = self.primitive.forward
        return thread.mode.run(lambda: forward(*inputs, **self.static)[0])

    def __repr__(self) -> str:
        where = f" in {self.path}" if self.path else ""
        return f"<call of {self.primitive.name}: {self.primitive.formula}, {self.line}{where}>"


class Observer:
    """What is told of each call. Override what you need.

    every_node: tell it also of backwards whose forward was not watched; their calls have no line and no arrays but gradients.
    """

    every_node = False

    def forward(self, call: Call) -> None:
        """A forward has run."""

    def backward(self, call: Call) -> None:
        """The backward of call has run: call.dy and call.gradients are those of this backward."""

    def failed(self, call: Call) -> None:
        """The backward of call has raised an Exception."""

    def point(self, name: str, x: Any) -> Any:
        """A Tensor that a function names on its way, such as attention's "weights". What is returned goes on in its place."""
        return x


class Kept(tuple[Any, ...]):
    """What a forward saved, with the call that saved it."""

    call: Call


def call_of_node(node: Any) -> Call | None:
    """The call that a node recorded, if it was watched; an output of several has the node of its call below it."""
    while isinstance(node, Node) and node.is_output() and node.inputs:
        node = node.inputs[0]
    if not isinstance(node, Node):
        return None
    call = _told.get(node) or (node.saved.call if isinstance(node.saved, Kept) else None)
    return call if call is not None and call.lines else None


class Told(Primitive):
    """A copy of a row for one call, whose backward tells the observers of the thread that plays it.

    It takes no gradient of others to add to and no buffer of a leaf: so what it returns is the gradient of this call
    alone, and nobody changes it later.
    """

    __slots__ = ("row",)

    def __init__(self, row: Primitive, call: Call) -> None:
        def backward(dy: Any, *saved: Any, **options: Any) -> Any:
            watch = thread.mode.watch  # not that of the first backward: with retain_graph another may follow
            observers = [o for o in (watch.observers if watch else ()) if o.every_node or call.lines]
            try:
                gradients = row.backward(dy, *saved, **options)
            except Exception:
                for observer in observers:
                    observer.failed(call)
                raise
            call.dy, call.gradients = dy, tuple(gradients)
            for observer in observers:
                observer.backward(call)
            return gradients

        self.row = row  # what the node was recorded with

        super().__init__(row.name, row.forward, backward, row.formula, row.fits, row.composed)
        self.options = row.options & {"needs"}


class Watch:
    """The observers of one thread."""

    def __init__(self, mode: Mode) -> None:
        self.observers: list[Observer] = []
        self.plain_run = mode.run
        self._paths: dict[Module, dict[Module, str]] = {}  # for each outermost module the paths of those below

    def run(self, forward: Callable[..., Any], *arrays: Any, **static: Any) -> Any:
        """Call a kernel; tell the observers if it is the forward of a primitive."""
        result = self.plain_run(forward, *arrays, **static)
        caller = sys._getframe(1)
        if caller.f_code is not apply.__code__:
            return result  # creation.py runs functions of its own
        output, saved = result
        several = type(output) is tuple
        outputs = output if several else (output if type(output) is np.ndarray else as_array(output),)
        static.pop("save", None)
        frame, names = caller.f_back, caller.f_locals
        edges = names["edges"] or (None,) * len(arrays)
        call = Call(names["primitive"], arrays, static, outputs, tuple(_lines(frame)), self._within(frame))
        call.needs, call.several = tuple([edge is not None for edge in edges]), several
        call.origins = tuple([_origin(edge) for edge in edges])
        for observer in tuple(self.observers):
            observer.forward(call)
        for array in outputs:
            _made[id(array)] = call
        kept = Kept(saved)
        kept.call = call
        return (outputs if several else outputs[0]), kept

    def _within(self, frame: FrameType | None) -> tuple[Within, ...]:
        """The modules whose forwards run in this frame and below it."""
        modules: list[Module] = []
        while frame is not None:
            name = CALLERS.get(frame.f_code)
            if name is not None and (not modules or modules[-1] is not frame.f_locals[name]):
                modules.append(frame.f_locals[name])  # a module with hooks has two frames
            frame = frame.f_back
        if not modules:
            return ()
        root = modules[-1]
        if root not in self._paths:
            self._paths[root] = {module: path for path, module in root.named_modules()}
        paths = self._paths[root]
        return tuple([Within(paths.get(module, type(module).__name__), module) for module in reversed(modules)])

    def look_at(self, roots: Sequence[Edge]) -> None:
        """Before a backward: nodes that were watched tell the observers when theirs runs."""
        every = any(observer.every_node for observer in self.observers)
        stack = [edge for edge in roots if isinstance(edge, Node)]
        seen = set(stack)
        while stack:
            node = stack.pop()
            if node not in _told:
                call = node.saved.call if isinstance(node.saved, Kept) else None
                if call is None and every and not node.is_output():
                    call = Call(node.primitive, (), {}, (), (), (), node.order)
                if call is not None:
                    node.primitive, _told[node] = Told(node.primitive, call), call
            new = {edge for edge in node.inputs if isinstance(edge, Node)} - seen
            seen |= new
            stack.extend(new)

    def point(self, name: str, x: Any) -> Any:
        """x, or what an observer puts in its place."""
        for observer in tuple(self.observers):
            x = observer.point(name, x)
        return x


_told: WeakKeyDictionary[Node, Call] = WeakKeyDictionary()  # nodes that tell, and their calls; hooks may hide the Told


def _origin(edge: Edge | None) -> Any:
    """The leaf that an edge leads to, or a reference to the call."""
    if not isinstance(edge, Node):
        return edge
    call = call_of_node(edge)
    return None if call is None else ref(call)


# By the id of an output; an entry lives as long as its Call.
_made: WeakValueDictionary[int, Call] = WeakValueDictionary()


def call_of(x: Any) -> Call | None:
    """The call that computed the Tensor, if it was watched and somebody keeps it; None else."""
    return call_of_array(x.array)


def call_of_array(x: Array | None) -> Call | None:
    """The same for an array."""
    call = _made.get(id(x))
    return call if call is not None and any(x is y for y in call.outputs) else None


@contextlib.contextmanager
def observed(observer: Observer) -> Iterator[None]:
    """Tell the observer of every call that this thread makes inside."""
    mode = thread.mode
    if mode.watch is None:
        mode.watch = Watch(mode)
        mode.run = mode.watch.run
    watch: Watch = mode.watch
    watch.observers.append(observer)
    try:
        yield
    finally:
        watch.observers.remove(observer)
        if not watch.observers:
            mode.run, mode.watch = watch.plain_run, None


def _lines(frame: FrameType | None) -> Iterator[Line]:
    """The lines from this frame to the innermost one outside of the package; to the outermost if there is none."""
    while frame is not None:
        yield Line(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return
        frame = frame.f_back
