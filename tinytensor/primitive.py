"""The table of primitives: every operation that has a derivative of its own, by name.

A primitive is a pair of plain array functions:

    forward(*arrays, **static) -> (output, saved)      saved: a tuple of what backward will need
    backward(dy, *saved)       -> (dx, dw, …)          one gradient per positional input of forward

Positional arguments are arrays, keyword arguments are static. The backward's signature is the memory contract:
what it takes is what stays alive between the passes. A gradient may be None where an input has none (integers, an
absent bias). A forward may return a tuple of outputs; its backward then gets a tuple dy. Both may ask for more, by
declaring a keyword:

    recorded   forward    False where no backward will follow
    needs      backward   a bool per input, so that it can leave out work for inputs that want no gradient
    places     backward   an array per input, or None, in which it may leave the gradient instead of a new one
    onto       backward   the gradient that the first input has from elsewhere, or None, to which it adds its own

Tests, the gradient check, benchmarks and GPU overrides enumerate the table. docs: CONTRIBUTING.md, "A new primitive".
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

Function: TypeAlias = Callable[..., Any]


class Primitive:
    """One row of the table: a name, a pair, the formula for people, and the shapes that fit for error messages.

    A fused pair has its composed form beside it: the same function of Tensors, called like forward (arrays among the
    static arguments come as Tensors), written out in smaller operations.
    """

    __slots__ = ("backward", "composed", "fits", "formula", "forward", "name", "takes_recorded", "wishes")

    def __init__(
        self,
        name: str,
        forward: Function,
        backward: Function,
        formula: str,
        fits: str,
        composed: Function | None = None,
    ) -> None:
        self.name, self.forward, self.backward = name, forward, backward
        self.formula, self.fits, self.composed = formula, fits, composed
        self.wishes = {"needs", "onto", "places"}.intersection(inspect.signature(backward).parameters)
        self.takes_recorded = "recorded" in inspect.signature(forward).parameters

    def __repr__(self) -> str:
        return f"<primitive {self.name}: {self.formula}>"


PRIMITIVES: dict[str, Primitive] = {}
KERNELS: list[str] = []  # modules outside of tinytensor.cuda.fused that have pairs for a GPU, read when data is on one


def primitive(
    name: str, forward: Function, backward: Function, *, formula: str, fits: str = "", composed: Function | None = None
) -> Primitive:
    """Enter a pair into the table and return its row; ValueError if the name is taken."""
    if name in PRIMITIVES:
        raise ValueError(f"a primitive named {name!r} is already in the table")
    PRIMITIVES[name] = Primitive(name, forward, backward, formula, fits, composed)
    return PRIMITIVES[name]
