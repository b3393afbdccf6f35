"""The spans of one thread: every moment belongs to the innermost open span.

A span is a kernel's forward or backward, a module's forward, or a named range. Its own time excludes the spans inside
it, so the own times of a thread add up to the time of its outermost spans.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, NamedTuple


class Scope(NamedTuple):
    """Where a call ran: in a module (the class of its root, its dotted path), or in a range (its name)."""

    kind: str  # "module" or "range"
    root: str
    path: str = ""

    def __str__(self) -> str:
        return self.path or self.root

    def holds(self, other: Scope) -> bool:
        """Whether other is this scope or one below it."""
        inside = not self.path or other.path == self.path or other.path.startswith(f"{self.path}.")
        return inside and other[:2] == self[:2]


OUTSIDE = Scope("range", "everything else")  # the code around modules and ranges
BACKWARD = Scope("range", "tape, backward")


class Call(NamedTuple):
    """What a span timed. phase: "forward" or "backward" of a primitive; "own" for a module or range itself (primitive
    ""), "carried" for one that another thread called."""

    scope: Scope
    primitive: str = ""
    phase: str = "own"


PROFILER = Call(Scope("range", "profiler"))
PAUSED = Call(Scope("range", "paused"))  # left out of all tables


@dataclass
class Span:
    """All spans of one Call: their number, their own seconds, and their seconds with the spans inside."""

    count: int = 0
    own: float = 0.0
    total: float = 0.0


class Track:
    """The spans of one thread, and those that are open now."""

    def __init__(self) -> None:
        self.scopes = [OUTSIDE]  # the open modules and ranges
        self.spans: dict[Call, Span] = {}
        self.playing: Scope | None = None  # the scope of the call whose backward runs next
        self._inner = [0.0]  # for every open span, the seconds of the spans inside it

    @property
    def covered(self) -> float:
        """The seconds inside of spans."""
        return self._inner[0]

    def begin(self) -> float:
        """Open the span of a kernel; returns the time for `end`."""
        self._inner.append(0.0)
        return time.perf_counter()

    def end(self, call: Call, began: float) -> None:
        """Close the span that was opened last: it was this call."""
        took = time.perf_counter() - began
        span = self.spans.setdefault(call, Span())
        span.count += 1
        span.own += took - self._inner.pop()
        span.total += took
        self._inner[-1] += took

    def enter(self, scope: Scope) -> float:
        """Open the span of a module or range; returns the time for `leave`."""
        self.scopes.append(scope)
        return self.begin()

    def leave(self, began: float, phase: str = "own") -> None:
        """Close the span of the scope that was entered last."""
        self.end(Call(self.scopes.pop(), "", phase), began)


class Saved(tuple[Any, ...]):
    """What a forward saved, and the call that saved it. The tape unpacks it for the backward."""

    scope: Scope
    primitive: str
    profiler: Any

    def __iter__(self) -> Any:
        self.profiler.unpacked(self)
        return super().__iter__()

    def __del__(self) -> None:
        self.profiler.dropped(self)
