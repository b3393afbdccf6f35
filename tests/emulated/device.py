"""A device whose memory is the host's: what CUDA's runtime and driver answer, and the count of what was asked.

What is asked of a stream is done at once, unless the stream is captured: then it is kept, and done at every launch of the
graph. It is counted when it is done. To wait for the device, or to copy past the stream, is a failure during a capture.
"""

from __future__ import annotations

import ctypes
import itertools
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

count: Counter[str] = Counter()  # launches, copies by direction, synchronizations, allocations …
COPIES = {0: "host to host", 1: "host to device", 2: "device to host", 3: "device to device", 4: "copy by address"}
ALIGNMENT = 512
COMPUTE = (8, 0)  # the compute capability that CuPy is told; kernels.py compiles for all
# cudaDeviceAttr: threads a block, grid x y z, shared memory, warp size, multiprocessors, capability, memory pools
ATTRIBUTES = {
    1: 1024, 5: 2**31 - 1, 6: 65535, 7: 65535, 8: 49152, 10: 32, 16: 108, 75: COMPUTE[0], 76: COMPUTE[1], 115: 1,
}  # fmt: skip
MEMORY = 40 << 30

_memory: dict[int, Any] = {}
_handles = itertools.count(1000)
_recorded: dict[int, float] = {}  # events, by the host's clock
_modules: dict[int, bytes] = {}
_functions: dict[int, tuple[bytes, str]] = {}
_captures: dict[int, list[Callable[[], Any]]] = {}  # what a stream was asked for since its capture began
_graphs: dict[int, list[Callable[[], Any]]] = {}

Run = Callable[[bytes, str, int, tuple[int, ...]], bool]
Keep = Callable[[bytes, str, int], int]


def _not_installed(*_: Any) -> Any:
    return False


run: Run = _not_installed  # kernels.py sets both
keep: Keep = _not_installed


def handle(*_: Any) -> int:
    """A number that stands for a stream, an event, a context …"""
    return next(_handles)


def nothing(*_: Any) -> None:
    """For what takes effect at once on a host, or has no effect."""


def done(*_: Any) -> int:
    """cudaSuccess: there is nothing that was asked for and is not done yet."""
    return 0


def malloc(size: int, *_: Any) -> int:
    buffer = ctypes.create_string_buffer(max(size, 1) + ALIGNMENT)
    address = -(-ctypes.addressof(buffer) // ALIGNMENT) * ALIGNMENT
    _memory[address] = buffer
    count["allocations"] += 1
    count["allocations while a stream is captured"] += bool(_captures)
    return address


def free(address: int, *_: Any) -> None:
    _memory.pop(address, None)


def memcpy(to: int, source: int, size: int, kind: int, stream: int | None = None) -> None:
    def work() -> None:
        ctypes.memmove(to, source, size)
        count[COPIES[kind]] += 1

    ask(stream, "copy", work)


def memset(address: int, value: int, size: int, stream: int | None = None) -> None:
    def work() -> None:
        ctypes.memset(address, value, size)
        count["memsets"] += 1

    ask(stream, "memset", work)


def synchronize(*_: Any) -> None:
    def work() -> None:
        count["synchronizations"] += 1

    ask(None, "synchronization", work)


def ask(stream: int | None, what: str, work: Callable[[], Any]) -> None:
    """Do the work, or keep it if the stream is captured. No stream: it cannot be kept."""
    if stream is None and _captures:
        count[f"failed: a {what} while a stream is captured"] += 1
    elif not keeps(stream, work):
        work()


def keeps(stream: int | None, work: Callable[[], Any]) -> bool:
    """Keep the work if the stream is captured, and say whether it is."""
    if stream is None or stream not in _captures:
        return False
    _captures[stream].append(work)
    return True


def begin_capture(stream: int, *_: Any) -> None:
    if stream in (0, *_captures):
        raise ValueError("the default stream cannot be captured, nor can one twice at a time")
    _captures[stream] = []


def end_capture(stream: int) -> int:
    graph = handle()
    _graphs[graph] = _captures.pop(stream)
    return graph


def launch_graph(graph: int, stream: int) -> None:
    count["graphs launched"] += 1
    for work in _graphs[graph]:
        work()


def record(event: int, *_: Any) -> None:
    _recorded[event] = time.perf_counter()


def elapsed(start: int, end: int) -> float:
    """Milliseconds of the host, which say nothing of a GPU."""
    return (_recorded[end] - _recorded[start]) * 1e3


def properties(device: int = 0) -> dict[str, Any]:
    return {
        "name": b"emulated", "major": COMPUTE[0], "minor": COMPUTE[1], "warpSize": 32, "multiProcessorCount": 108,
        "maxThreadsPerBlock": 1024, "sharedMemPerBlock": 49152, "totalGlobalMem": MEMORY,
        "maxGridSize": (2**31 - 1, 65535, 65535),
    }  # fmt: skip


def load_module(binary: bytes) -> int:
    module = handle()
    _modules[module] = bytes(binary)
    return module


def get_function(module: int, name: str) -> int:
    function = handle()
    _functions[function] = _modules[module], name
    return function


def launch(function: int, *rest: int) -> None:
    """rest: grid x y z, block x y z, bytes of dynamic shared memory, stream, the arguments' addresses, extra."""
    key, name = _functions[function]
    size, stream, arguments = rest[:6], rest[7], rest[8]
    if stream in _captures:
        arguments = keep(key, name, arguments)

    def work() -> None:
        count["launches"] += 1
        if not run(key, name, arguments, size):
            count[f"not executed {name}"] += 1

    ask(stream, "launch", work)


RUNTIME: dict[str, Any] = {
    "_ensure_context": nothing, "deviceSynchronize": synchronize, "driverGetVersion": lambda: 12090,
    "runtimeGetVersion": lambda: 12090, "getDevice": lambda: 0, "getDeviceCount": lambda: 1, "setDevice": nothing,
    "pointerGetMemoryType": lambda address: 0,  # memory of the host, not registered with CUDA
    "deviceGetAttribute": lambda attribute, device: ATTRIBUTES.get(attribute, 0), "getDeviceProperties": properties,
    "malloc": malloc, "mallocAsync": malloc, "mallocManaged": malloc, "hostAlloc": malloc,
    "free": free, "freeAsync": free, "freeHost": free, "memGetInfo": lambda: (MEMORY, MEMORY),
    "memcpy": memcpy, "memcpyAsync": memcpy, "memset": memset, "memsetAsync": memset,
    "streamCreate": handle, "streamCreateWithFlags": handle, "streamCreateWithPriority": handle, "streamDestroy": nothing,
    "streamSynchronize": synchronize, "streamQuery": done, "streamWaitEvent": nothing,
    "streamBeginCapture": begin_capture, "streamEndCapture": end_capture,
    "streamIsCapturing": lambda stream: int(stream in _captures),
    "graphInstantiate": lambda graph: graph, "graphLaunch": launch_graph, "graphUpload": nothing,
    "graphDestroy": nothing, "graphExecDestroy": lambda graph: nothing(_graphs.pop(graph, None)),
    "eventCreate": handle, "eventCreateWithFlags": handle, "eventDestroy": nothing, "eventRecord": record,
    "eventQuery": done, "eventSynchronize": synchronize, "eventElapsedTime": elapsed,
}  # fmt: skip

DRIVER: dict[str, Any] = {
    "ctxGetCurrent": handle, "ctxGetDevice": lambda: 0, "ctxSetCurrent": nothing,
    "moduleLoadData": load_module, "moduleUnload": nothing, "moduleGetFunction": get_function, "launchKernel": launch,
    "funcGetAttribute": lambda attribute, function: 1024, "funcSetAttribute": nothing,
    "occupancyMaxActiveBlocksPerMultiprocessor": lambda *_: 2, "occupancyMaxPotentialBlockSize": lambda *_: (108, 256),
}  # fmt: skip
