"""Graphs of calls for the exercise about the tape: they notice a call that is played twice, and a write into their arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpt.learn.exercise import Array, Fault

CHAIN = 2_000  # calls: more than Python lets functions call each other
LADDER = 40  # steps h = h + h·c; each doubles the ways, so who follows every way plays 2⁴⁰ nodes
NEVER = "a Node is played once, when its gradient is complete: when all that use it were played"


class Operations:
    """Calls on Nodes that carry values. `watched`: a second backward of one call is refused, results are read-only."""

    def __init__(self, node: Callable[..., Any], watched: bool = True) -> None:
        self.node, self.watched = node, watched
        self.faults: list[Fault] = []

    def leaf(self, value: Array) -> Any:
        return self._made(value, (), None, "a leaf")

    def add(self, a: Any, b: Any) -> Any:
        return self._made(a.value + b.value, (a, b), lambda dy: (dy, dy), "a sum")

    def mul(self, a: Any, b: Any) -> Any:
        return self._made(a.value * b.value, (a, b), lambda dy: (dy * b.value, dy * a.value), "a product")

    def tanh(self, a: Any) -> Any:
        y = np.tanh(a.value)
        return self._made(y, (a,), lambda dy: (dy * (1 - y * y),), "a tanh")

    def _made(self, value: Array, inputs: tuple[Any, ...], backward: Callable[..., Any] | None, what: str) -> Any:
        node = self.node(inputs, None if backward is None else self._once(backward, what))
        node.value = value
        return node

    def _once(self, backward: Callable[..., Any], what: str) -> Callable[..., Any]:
        if not self.watched:
            return backward
        played = False

        def play(dy: Array) -> tuple[Array, ...]:
            nonlocal played
            wrong = "is played a second time" if played else "is played before it has a gradient" if dy is None else ""
            if wrong:
                self.faults.append(Fault(f"{what} {wrong}; {NEVER}"))  # kept, since the file may catch what is raised
                raise self.faults[-1]
            played = True
            if type(dy) is not np.ndarray:
                raise Fault(f"a Node is played with {type(dy).__name__} for its gradient; it has to be an array")
            results = tuple(np.asarray(x) for x in backward(dy))
            for x in results:
                x.flags.writeable = False  # somebody else may have it: who adds into it is noticed
            return results

        return play


class Plain:
    """The same operations on arrays, without Nodes."""

    def add(self, a: Array, b: Array) -> Array:
        return a + b

    def mul(self, a: Array, b: Array) -> Array:
        return a * b

    def tanh(self, a: Array) -> Array:
        return np.asarray(np.tanh(a))


def chained(o: Any, x: Any, y: Any) -> Any:
    return o.mul(o.tanh(x), y)


def square(o: Any, x: Any, y: Any) -> Any:
    return o.add(o.mul(x, x), y)


def short_first(o: Any, x: Any, y: Any) -> Any:
    h = o.mul(x, y)
    return o.add(h, o.tanh(o.tanh(h)))


def long_first(o: Any, x: Any, y: Any) -> Any:
    h = o.mul(x, y)
    return o.add(o.tanh(o.tanh(h)), h)


def crossed(o: Any, x: Any, y: Any) -> Any:
    s = o.add(x, y)
    t = o.mul(s, x)
    return o.add(o.mul(t, s), o.add(s, t))


def ladder(o: Any, x: Any, y: Any) -> Any:
    h = x
    for _ in range(LADDER):
        h = o.tanh(o.add(h, o.mul(h, y)))
    return h


def chain(o: Any, x: Any, y: Any) -> Any:
    h = o.mul(x, y)
    for _ in range(CHAIN):
        h = o.add(h, y)
    return h


def itself(o: Any, x: Any, y: Any) -> Any:
    return x  # a root may be a leaf, and y is not below it


GRAPHS: dict[str, tuple[str, Callable[[Any, Any, Any], Any]]] = {
    "itself": ("root = x, a leaf", itself),
    "chained": ("root = tanh(x)·y", chained),
    "square": ("root = x·x + y", square),
    "short_first": ("h = x·y, root = h + tanh(tanh(h))", short_first),
    "long_first": ("h = x·y, root = tanh(tanh(h)) + h", long_first),
    "crossed": ("s = x + y, t = s·x, root = t·s + (s + t)", crossed),
    "ladder": (f"h = tanh(h + h·y), {LADDER} times from h = x", ladder),
    "chain": (f"h = h + y, {CHAIN:,} times from h = x·y", chain),
}


def reached(root: Any) -> list[Any]:
    """The root and all Nodes below it, as a search meets them first."""
    seen, found = {id(root)}, [root]
    for node in found:  # it grows
        for each in node.inputs:
            if id(each) not in seen:
                seen.add(id(each))
                found.append(each)
    return found
