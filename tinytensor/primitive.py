"""The table of primitives: each operation that has a derivative of its own, by name, is a pair of functions:

    forward(*arrays, **static) -> (output, saved)      saved: a tuple of what the backward needs
    backward(dy, *saved)       -> (dx, dw, …)          one gradient for each positional argument of the forward

Positional arguments are arrays, keyword arguments are constants. Only what the forward saves stays in memory between
the two passes. A gradient is None where an input has none (integers, an absent bias). A forward may return a
tuple of outputs; its backward then takes the list of their gradients as dy. A pair may declare more keywords:

    save     forward    False if no backward follows, so that nothing has to be saved
    needs    backward   a bool for each input: whether anyone wants its gradient
    out      backward   for each input an array, or None: the backward may write the gradient of that input there
    add_to   backward   the gradient that the first input already has, or None: the backward returns the sum of both
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any, TypeAlias

from tinytensor.parameters import own_names
from tinytensor.sums import in_float32

Function: TypeAlias = Callable[..., Any]  # a forward, a backward, a composed form
Output: TypeAlias = tuple[Any, tuple[Any, ...]]  # what a forward returns: output (or a tuple of outputs), saved
Gradients: TypeAlias = tuple[Any, ...]  # what a backward returns: for each input an array, or None


class Primitive:
    """One row of the table. fits: the shapes that fit, for error messages. composed: for a fused pair, the same
    function of Tensors, written out in smaller operations.
    """

    __slots__ = ("backward", "composed", "fits", "formula", "forward", "half", "name", "options", "takes_save")

    def __init__(
        self, name: str, forward: Function, backward: Function, formula: str, fits: str = "", composed: Any = None
    ) -> None:  # fmt: skip
        self.name, self.forward, self.backward = name, forward, backward  # benchmarks replace them, to count
        self.formula, self.fits, self.composed = formula, fits, composed  # for readers, error messages, tests
        # what the tape has to pass: read from the signatures once, here, and not at each call
        self.options = frozenset({"needs", "out", "add_to"}).intersection(chain(*own_names(backward)))
        self.takes_save = "save" in chain(*own_names(forward))
        self.half: Primitive | None = None  # the pair in place of this one in float16

    def __repr__(self) -> str:
        return f"<primitive {self.name}: {self.formula}>"


# The table. A module adds its rows when it is imported; `ops.load_all()` imports all of ops/.
PRIMITIVES: dict[str, Primitive] = {}  # by name


def primitive(name: str, forward: Function, backward: Function, *, wide: bool = False, **row: Any) -> Primitive:
    """Enter a pair into the table and return its row; ValueError if the name is taken. wide: float16 runs in float32."""
    if name in PRIMITIVES:
        raise ValueError(f"a primitive named {name!r} is already in the table")
    PRIMITIVES[name] = Primitive(name, forward, backward, **row)
    if wide:  # numbers add up, or grow: float16 runs in float32 inside (sums.py)
        PRIMITIVES[name].half = Primitive(name, *in_float32(forward, backward), **row)
    return PRIMITIVES[name]  # the row: functions call apply(row, …)


def _output_backward(dy: Any, position: int, count: int) -> Gradients:
    return ([dy if i == position else None for i in range(count)],)  # for its one input, the call: a list with dy here


# Not in the table. One output of a call that has several is a node of its own, whose gradient goes on to the call.
OUTPUT = Primitive("output", lambda *_: None, _output_backward, formula="one output of several", fits="")
