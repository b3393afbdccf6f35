"""The times of a profile: a row for each primitive or module, to sort and to print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tinytensor.profiler.tables import columns, share
from tinytensor.profiler.track import BACKWARD, OUTSIDE, PAUSED, Call, Scope, Span, Track


@dataclass
class Event:
    """The calls of one primitive, module or range, in seconds.

    forward, backward and total include the modules and primitives inside; own does not, so own times can be added up.
    """

    key: str
    count: int = 0
    forward: float = 0.0
    backward: float = 0.0
    total: float = 0.0
    own: float = 0.0

    @property
    def cpu_time_total(self) -> float:
        """Microseconds, including the rows inside."""
        return 1e6 * self.total

    @property
    def self_cpu_time_total(self) -> float:
        """Microseconds, without the time in other rows."""
        return 1e6 * self.own


SORTS = ("count", "cpu_time_total", "self_cpu_time_total")


class EventList(list[Event]):
    """Rows with a title that print as a table."""

    def __init__(self, title: str, rows: Iterable[Event]) -> None:
        super().__init__(rows)
        self.title = title

    @property
    def self_cpu_time_total(self) -> float:
        """Microseconds of all rows together."""
        return sum(event.self_cpu_time_total for event in self)

    def table(self, sort_by: str | None = None, row_limit: int = 100, per: int = 1) -> str:
        """The rows as text; those beyond row_limit are one row. per: a number of steps that divides calls and times.

        sort_by: "cpu_time_total", "self_cpu_time_total" or "count", the largest first; ValueError for another word.
        """
        if sort_by is not None and sort_by not in SORTS:
            raise ValueError(f"a profile is sorted by one of {', '.join(SORTS)}, not by {sort_by!r}")
        events = sorted(self, key=lambda event: -getattr(event, sort_by)) if sort_by else list(self)
        shown, rest = events[:row_limit], events[row_limit:]
        if rest:
            shown.append(Event(f"… {len(rest)} more", sum(e.count for e in rest), own=sum(e.own for e in rest)))
        whole = sum(event.own for event in self)
        shown.append(Event("total", own=whole))

        def milliseconds(seconds: float) -> str:
            return f"{1e3 * seconds / per:,.3f}" if seconds else ""

        head = (self.title, "calls", "forward ms", "backward ms", "own ms", "share")
        cells = [
            (row.key, f"{row.count / per:,.6g}" if row.count else "",
             *map(milliseconds, (row.forward, row.backward, row.own)), share(row.own, whole))
            for row in shown
        ]  # fmt: skip
        return columns(head, cells, left=1)


def by_primitive(tracks: Sequence[Track], seconds: float) -> EventList:
    """The primitives, the most expensive first; then the time between them, and the ranges."""
    primitives: dict[str, Event] = {}
    python = Event("tape and Python")  # time in modules and in the backward of the tape, outside of kernels
    ranges: dict[Scope, Event] = {}
    for call, span in spans(tracks):
        phase = call.phase
        if call.primitive:
            event = primitives.setdefault(call.primitive, Event(call.primitive))
            event.count += span.count if phase == "forward" else 0
        elif call.scope == BACKWARD or call.scope.kind == "module":
            event, phase = python, "backward" if call.scope == BACKWARD else "forward"
        else:
            event = ranges.setdefault(call.scope, Event(str(call.scope)))
            event.count += span.count if phase == "own" else 0
            event.total += span.total - span.own
        event.own += span.own
        event.total += span.own
        event.forward += span.own if phase == "forward" else 0
        event.backward += span.own if phase == "backward" else 0
    rest, idle = unmeasured(tracks, seconds)
    ordered = sorted(primitives.values(), key=lambda event: -event.own)
    return EventList("by primitive", [*ordered, python, *ranges.values(), Event(str(OUTSIDE), own=rest), *idle])


def by_module(tracks: Sequence[Track], seconds: float, modules: Iterable[Scope]) -> EventList:
    """The modules in the order of their tree, then the ranges; a primitive counts for the module that called it."""
    events = {scope: Event(str(scope)) for scope in modules}
    for call, span in spans(tracks):
        event = events.setdefault(call.scope, Event(str(call.scope)))
        event.own += span.own
        if not call.primitive:
            event.count += span.count if call.phase == "own" else 0
            event.total += span.total
            event.forward += span.total if call.scope.kind == "module" else 0
        elif call.phase == "backward":
            for scope, above in events.items():
                if scope.holds(call.scope):
                    above.backward += span.own
                    above.total += span.own
    rest, idle = unmeasured(tracks, seconds)
    outside = events.pop(OUTSIDE, Event(str(OUTSIDE)))
    outside.own += rest
    return EventList("by module", [*(e for e in events.values() if e.own), outside, *idle])


def spans(tracks: Sequence[Track]) -> list[tuple[Call, Span]]:
    """All spans of all threads, without the paused ones."""
    return [(call, span) for track in tracks for call, span in list(track.spans.items()) if call != PAUSED]


def unmeasured(tracks: Sequence[Track], seconds: float) -> tuple[float, list[Event]]:
    """Seconds outside of spans: of the first thread, which runs the program; and, as a row, of the idle others."""
    free = [seconds - track.covered + track.spans.get(PAUSED, Span()).total for track in tracks]
    return sum(free[:1]), [Event("idle threads", own=sum(free[1:]))] if free[1:] else []
