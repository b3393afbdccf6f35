"""torch.cuda's graphs: the launches of a step are recorded once and replayed as a whole.

    g = CUDAGraph()
    with graph(g):
        y = model(x)      # recorded, not run
    x.copy_(batch)
    g.replay()            # run: y has the values for the new x

A launch costs the host microseconds, so the GPU waits between hundreds of small kernels. A graph is one launch.
A graph records addresses: write new inputs to the old memory, and read the results there. So a graph has its own memory
(`MemPool`), which nothing else uses while the graph exists. While it records, nothing may be copied to or from the GPU,
and nothing may wait for it, since no kernel runs yet. Python's numbers are recorded as constants: what changes from one
replay to the next has to be a Tensor. Every replay draws new random numbers, the same as without a graph.
"""

from __future__ import annotations

import gc
import threading
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

from tinytensor import devices
from tinytensor.cuda import streams
from tinytensor.cuda.memory import MemPool
from tinytensor.cuda.random import Captured
from tinytensor.cuda.streams import Stream, synchronize


def is_current_stream_capturing() -> bool:
    """Whether the current stream records its work instead of running it."""
    return bool(devices.cupy().cuda.get_current_stream().is_capturing())


def graph_pool_handle() -> MemPool:
    """New memory for graphs that are never replayed at the same time: graph(g, pool=handle)."""
    return MemPool()


class CUDAGraph:
    """Recorded work. `with graph(g):` records it, g.replay() runs it."""

    def __init__(self) -> None:
        self._graph: Any = None
        self._pool: MemPool | None = None
        self._numbers: Any = None  # the random numbers that it draws
        self._allocator: Any = None  # while it records

    def capture_begin(self, pool: MemPool | None = None) -> None:
        """Start to record the work of the current stream; RuntimeError on the default stream.

        pool: memory to share with other graphs. Do not replay one of them while you need the results of another.
        """
        if self._graph is not None:
            raise RuntimeError("this CUDA graph was recorded already: make another, or reset() it")
        stream = devices.cupy().cuda.get_current_stream()
        if stream == devices.cupy().cuda.Stream.null:
            raise RuntimeError("CUDA graphs must be captured on a non-default stream: with cuda.stream(cuda.Stream()):")
        self._pool = MemPool() if pool is None else pool
        self._numbers = Captured(devices.cupy().cuda.runtime.getDevice())
        devices.cupy().cuda.device.get_cublas_handle()  # now: the first call in a thread allocates and waits
        stream.begin_capture()
        self._numbers.__enter__()
        self._allocator = devices.cupy().cuda.using_allocator(self._pool.allocate)
        self._allocator.__enter__()
        streams.recording.add(threading.get_ident())

    def capture_end(self) -> None:
        """Stop recording. The work can be replayed from now on."""
        if self._allocator is None:
            raise RuntimeError("capture_end without capture_begin")
        streams.recording.discard(threading.get_ident())
        self._allocator.__exit__(None, None, None)
        self._numbers.__exit__(None, None, None)
        self._allocator = None
        self._graph = devices.cupy().cuda.get_current_stream().end_capture()

    def replay(self) -> None:
        """Run the recorded work on the current stream. RuntimeError if nothing was recorded."""
        if self._graph is None:
            raise RuntimeError("Called CUDAGraph.replay without a preceding successful capture.")
        self._numbers.before_replay()
        self._graph.launch()

    def reset(self) -> None:
        """Forget the recorded work; its memory is free again once no Tensor lies there."""
        self._graph = self._pool = self._numbers = None

    def pool(self) -> MemPool | None:
        """Its memory, for another graph to share: graph(h, pool=g.pool())."""
        return self._pool


class graph:
    """A context that records its work in a CUDAGraph, on its own stream and in its own memory unless given.

    RuntimeError names the line that copies something to or from the GPU, or waits for it.
    """

    _stream: Stream | None = None

    def __init__(self, cuda_graph: CUDAGraph, pool: MemPool | None = None, stream: Stream | None = None) -> None:
        if stream is None:
            graph._stream = graph._stream or Stream()
        self.graph, self.pool, self.stream = cuda_graph, pool, streams.stream(stream or graph._stream)

    def __enter__(self) -> None:
        synchronize()
        gc.collect()  # else Python might free memory while the graph records
        self.stream.__enter__()
        try:
            self.graph.capture_begin(self.pool)
        except BaseException:
            self.stream.__exit__()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self.graph.capture_end()
        except RuntimeError:
            if error is None:
                raise
        finally:
            self.stream.__exit__(kind, error, at)
        if error is not None:
            self.graph.reset()
            if isinstance(error, (RuntimeError, NotImplementedError)) and any(word in str(error) for word in REFUSED):
                raise RuntimeError(refusal(str(error), at)) from error


REFUSED = {  # words of CuPy's messages → what the line did
    "D2H transfers are disallowed": "copies from the GPU",
    "H2D transfers are disallowed": "copies to the GPU",
    "API during stream capture": "calls a library by way of CuPy",
    "is capturing": "waits for the GPU",
}


def refusal(message: str, at: TracebackType | None) -> str:
    """The message for an error of CuPy while a graph records: the line, and what it did."""
    engine, cupy = (str(Path(module.__file__ or "").parent) for module in (devices, devices.cupy()))
    frames = [f for f in traceback.extract_tb(at) if f.line and not f.filename.startswith(cupy)]
    outside = [f for f in frames if not f.filename.startswith(engine)] or frames
    done = next(done for word, done in REFUSED.items() if word in message)
    last = outside[-1]
    within = "" if last is frames[-1] else f", in {Path(frames[-1].filename).name}:{frames[-1].lineno},"
    return (
        f"`{last.line}` ({Path(last.filename).name}:{last.lineno}){within} {done}, which a CUDA graph cannot record:"
        " take it out of the captured work"
    )
