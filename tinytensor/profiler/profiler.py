"""The profile: it replaces functions of the engine by timed ones, and puts the originals back afterwards."""

from __future__ import annotations

import contextlib
import enum
import functools
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tinytensor import tape
from tinytensor.modes import is_grad_enabled
from tinytensor.nn.module import Module
from tinytensor.primitive import PRIMITIVES, Primitive
from tinytensor.profiler.events import EventList, by_module, by_primitive
from tinytensor.profiler.ledger import Ledger, MemoryList
from tinytensor.profiler.track import BACKWARD, OUTSIDE, PAUSED, PROFILER, Call, Saved, Scope, Track

_on: list[profile] = []  # the profile that is on, if there is one
_ABSENT = object()


class ProfilerActivity(enum.Enum):
    """What a profile can time: the CPU."""

    CPU = "cpu"


class profile:
    """Times the calls in its context, or between start and stop; profile_memory: counts what the tape saves as well.

    activities: [ProfilerActivity.CPU] or None; ValueError for others. RuntimeError if another profile is on: it would
    time this one.
    """

    def __init__(self, *, activities: Iterable[ProfilerActivity] | None = None, profile_memory: bool = False) -> None:
        if activities is not None and set(activities) != {ProfilerActivity.CPU}:
            raise ValueError("a profile is of the CPU: activities=[ProfilerActivity.CPU], or leave it out")
        self._ledger = Ledger() if profile_memory else None
        self._took = 0.0  # from start to stop
        self._tracks: list[Track] = []
        self._here = threading.local()
        self._scopes: dict[Module, Scope] = {}
        self._swapped: list[tuple[Any, str, Any]] = []
        self._pauses = 0

    # ---------------------------------------------------------------------------------- on and off

    def start(self) -> None:
        """Start timing."""
        if _on:
            raise RuntimeError("a profile is on already: stop it, or leave its context, before the next begins")
        _on.append(self)
        for row in [r for p in PRIMITIVES.values() for r in (p, p.half) if r]:
            self.replace(row, "backward", self._timed_backward(row))
            self.replace(row, "forward", self._timed_forward(row))
        self.replace(Module, "__call__", self._timed_module(Module.__call__))
        self.watch(tape, "backward", BACKWARD.root)
        self._track()  # the first is that of this thread
        self._took -= time.perf_counter()

    def stop(self) -> None:
        """Stop timing, and put the original functions back."""
        if self in _on:
            self._took += time.perf_counter()
            while self._swapped:
                owner, name, old = self._swapped.pop()
                if old is _ABSENT:
                    delattr(owner, name)
                else:
                    setattr(owner, name, old)
            _on.remove(self)

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def watch(self, owner: Any, name: str, label: str | None) -> None:
        """Until stop, time owner.name, a function or method, as a range. Without a label, leave its time out."""
        function = getattr(owner, name)
        self.replace(owner, name, self._timed(function, Scope("range", label)) if label else self._left_out(function))

    def replace(self, owner: Any, name: str, new: Any) -> None:
        """Replace owner.name by new until stop."""
        if self not in _on:
            raise RuntimeError("a profile watches while it is on: start it, or enter its context, first")
        own = vars(owner).get(name, _ABSENT) if hasattr(owner, "__dict__") else getattr(owner, name)
        self._swapped.append((owner, name, own))
        setattr(owner, name, new)

    # --------------------------------------------------------------------------------- stop watches

    def _track(self) -> Track:
        if not hasattr(self._here, "track"):
            self._here.track = Track()
            self._tracks.append(self._here.track)
        return self._here.track  # type: ignore[no-any-return]

    def _timed_forward(self, row: Primitive) -> Callable[..., Any]:
        forward, name = row.forward, row.name

        def timed(*arrays: Any, **static: Any) -> Any:
            if self._pauses:
                return forward(*arrays, **static)
            track = self._track()
            scope, began = track.scopes[-1], track.begin()
            try:
                output, saved = forward(*arrays, **static)
            finally:
                track.end(Call(scope, name, "forward"), began)
            began = track.begin()
            kept = Saved(saved)
            kept.profiler, kept.scope, kept.primitive = self, scope, name
            if self._ledger is not None and is_grad_enabled():
                self._ledger.add(kept)
            track.end(PROFILER, began)
            return output, kept

        return timed

    def _timed_backward(self, row: Primitive) -> Callable[..., Any]:
        backward, name = row.backward, row.name

        def timed(dy: Any, *saved: Any, **needs: Any) -> Any:
            if self._pauses:
                return backward(dy, *saved, **needs)
            track = self._track()
            scope, track.playing = track.playing or OUTSIDE, None
            began = track.begin()
            try:
                return backward(dy, *saved, **needs)
            finally:
                track.end(Call(scope, name, "backward"), began)

        return timed

    def unpacked(self, saved: Saved) -> None:
        """Called when the tape unpacks it: the backward of the call that saved it runs next."""
        if self in _on and not self._pauses:
            self._track().playing = saved.scope

    def dropped(self, saved: Saved) -> None:
        """Called when nothing holds this any more."""
        if self._ledger is not None:
            self._ledger.remove(saved)

    def _timed_module(self, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def timed(module: Module, *args: Any, **kwargs: Any) -> Any:
            return self._within(self._scope_of(module), call, module, *args, **kwargs)

        return timed

    def _scope_of(self, module: Module) -> Scope:
        """The name of a module below its root, the outermost module that was called."""
        if module not in self._scopes:
            for path, each in module.named_modules():
                self._scopes.setdefault(each, Scope("module", type(module).__name__, path))
            if self._ledger is not None:
                self._ledger.ignore([*module.parameters(), *module.buffers()])
        return self._scopes[module]

    def _timed(self, function: Callable[..., Any], scope: Scope) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            return self._within(scope, function, *args, **kwargs)

        return timed

    def _within(self, scope: Scope, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """function(…), as a span of the scope."""
        if self._pauses:
            return function(*args, **kwargs)
        track = self._track()
        began = track.enter(scope)
        try:
            return function(*args, **kwargs)
        finally:
            track.leave(began)

    def _left_out(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def paused(*args: Any, **kwargs: Any) -> Any:
            self._pauses += 1
            try:
                return function(*args, **kwargs)
            finally:
                self._pauses -= 1

        return self._timed(paused, PAUSED.scope)

    def carry(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """function for other threads: its time there counts for the module or range that this thread is in now."""
        scope = self._track().scopes[-1]

        @functools.wraps(function)
        def carried(*args: Any, **kwargs: Any) -> Any:
            track = self._track()
            if self._pauses or self not in _on or track.scopes[-1] == scope:
                return function(*args, **kwargs)
            began = track.enter(scope)
            try:
                return function(*args, **kwargs)
            finally:
                track.leave(began, "carried")

        return carried

    # -------------------------------------------------------------------------------------- results

    @property
    def threads(self) -> int:
        """The number of threads that ran a timed function."""
        return max(1, len(self._tracks))

    @property
    def seconds(self) -> float:
        """How long the profile was on, without what it left out. Own times add up to `threads` times this."""
        now = time.perf_counter() if self in _on else 0.0
        return self._took + now - sum(track.spans[PAUSED].total for track in self._tracks if PAUSED in track.spans)

    def key_averages(self) -> EventList:
        """The primitives, the most expensive first; then the time between them, and the ranges."""
        return by_primitive(self._tracks, self.seconds)

    def by_module(self) -> EventList:
        """The modules in the order of their tree, then the ranges."""
        return by_module(self._tracks, self.seconds, self._scopes.values())

    def memory(self) -> MemoryList:
        """The arrays that the tape held at its peak; RuntimeError without profile_memory."""
        if self._ledger is None:
            raise RuntimeError("this profile did not count memory: make it with profile(profile_memory=True)")
        return self._ledger.peak()


@contextlib.contextmanager
def record_function(name: str) -> Iterator[None]:
    """Time the block, or the function that it decorates, as a range of that name, if a profile is on."""
    profiles = [each for each in _on if not each._pauses]
    if not profiles:
        yield
        return
    track = profiles[0]._track()
    began = track.enter(Scope("range", name))
    try:
        yield
    finally:
        track.leave(began)
