"""torch.cuda's streams and events: queues of work on the GPU, and marks in them."""

from __future__ import annotations

import threading
from typing import Any

from tinytensor import devices

recording: set[int] = set()  # the threads whose work is being recorded as a CUDA graph (graphs.py)


def is_recording() -> bool:
    """Whether this thread records its work in a graph instead of running it."""
    return bool(recording) and threading.get_ident() in recording


def must_not_wait(name: str) -> None:
    """RuntimeError while this thread records a graph: the work does not run, so its end never comes."""
    if is_recording():
        raise RuntimeError(
            f"{name} waits for the GPU, which a CUDA graph cannot record: take it out of the captured work"
        )


class Stream:
    """A queue of work on the GPU. Its work runs in order; two queues run side by side. `with stream(s):` adds to s.

    A lower priority number runs first.
    """

    def __init__(self, *, priority: int = 0) -> None:
        self.cupy = devices.cupy().cuda.Stream(non_blocking=True, priority=priority)

    @property
    def cuda_stream(self) -> int:
        """CUDA's number of the stream."""
        return int(self.cupy.ptr)

    def synchronize(self) -> None:
        """Wait until all its work is done."""
        must_not_wait("Stream.synchronize")
        self.cupy.synchronize()

    def query(self) -> bool:
        """Whether all its work is done."""
        must_not_wait("Stream.query")
        return bool(self.cupy.done)

    def wait_stream(self, stream: Stream) -> None:
        """Let later work of this stream wait for the present work of the other."""
        self.wait_event(stream.record_event())

    def wait_event(self, event: Event) -> None:
        """Let later work of this stream wait for the event."""
        event.wait(self)

    def record_event(self, event: Event | None = None) -> Event:
        """Mark this place in the queue; returns the event, a new one if none is given."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and self.cuda_stream == other.cuda_stream

    def __hash__(self) -> int:
        return hash(self.cuda_stream)

    def __repr__(self) -> str:
        return f"<tinytensor.cuda.Stream cuda_stream={self.cuda_stream:#x}>"


def _known(cupy_stream: Any) -> Stream:
    found = object.__new__(Stream)
    found.cupy = cupy_stream
    return found


def current_stream() -> Stream:
    """The stream to which this thread adds work."""
    return _known(devices.cupy().cuda.get_current_stream())


def default_stream() -> Stream:
    """The stream that is used if no other is chosen."""
    return _known(devices.cupy().cuda.Stream.null)


class stream:
    """A context in which this thread adds work to that stream; None changes nothing."""

    def __init__(self, stream: Stream | None) -> None:
        self.stream = stream

    def __enter__(self) -> None:
        if self.stream is not None:
            self.stream.cupy.__enter__()

    def __exit__(self, *error: Any) -> None:
        if self.stream is not None:
            self.stream.cupy.__exit__(*error)


class Event:
    """A mark in a stream: `start.record(); …; end.record(); end.synchronize(); start.elapsed_time(end)`."""

    def __init__(self, enable_timing: bool = False, blocking: bool = False) -> None:
        self.cupy = devices.cupy().cuda.Event(block=blocking, disable_timing=not enable_timing)
        self.timed = enable_timing

    def record(self, stream: Stream | None = None) -> None:
        """Mark the present end of the stream (default: the current stream)."""
        self.cupy.record((stream or current_stream()).cupy)

    def wait(self, stream: Stream | None = None) -> None:
        """Let later work of the stream (default: the current one) wait for this event; the program does not wait."""
        (stream or current_stream()).cupy.wait_event(self.cupy)

    def query(self) -> bool:
        """Whether the stream has reached the mark."""
        must_not_wait("Event.query")
        return bool(self.cupy.done)

    def synchronize(self) -> None:
        """Wait until the stream has reached the mark."""
        must_not_wait("Event.synchronize")
        self.cupy.synchronize()

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this event to the other. ValueError unless both were made with enable_timing=True."""
        if not (self.timed and end_event.timed):
            raise ValueError("Both events must be created with argument 'enable_timing=True'.")
        return float(devices.cupy().cuda.get_elapsed_time(self.cupy, end_event.cupy))


def synchronize() -> None:
    """Wait until the GPU has done all its work."""
    must_not_wait("cuda.synchronize")
    devices.cupy().cuda.runtime.deviceSynchronize()
