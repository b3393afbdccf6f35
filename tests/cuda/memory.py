"""torch.cuda's memory, streams and events on the real CuPy: python tests/cuda/memory.py [--emulated]

The exit status is 1 where a number is not what was allocated, exhausted memory is not told in one line, memory of a pool is
given to others, or a stream does not do its work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import gpu  # first: before cupy is imported
import numpy as np

import tinytensor as tt
from tinytensor import accelerator, cuda

MIB = 2**20


def numbers() -> Iterator[tuple[str, bool]]:
    """What is in use, at most, and reserved."""
    before = cuda.memory_allocated()
    cuda.reset_peak_memory_stats()
    x = tt.zeros(MIB // 4, device="cuda")
    y = x + 1
    yield "in use", cuda.memory_allocated() - before == 2 * MIB
    del y
    yield "in use after one was freed", cuda.memory_allocated() - before == MIB
    yield "the peak", cuda.max_memory_allocated("cuda") - before == 2 * MIB
    cuda.reset_peak_memory_stats()
    yield "the peak from here on", cuda.max_memory_allocated(0) - before == MIB
    kept = cuda.memory_reserved()
    cuda.empty_cache()
    yield "given back", kept - cuda.memory_reserved() >= MIB and cuda.memory_reserved() >= cuda.memory_allocated()
    yield "the same by torch.accelerator's names", accelerator.memory_allocated() == cuda.memory_allocated()


def the_device() -> Iterator[tuple[str, bool]]:
    """What CUDA says of it."""
    found, (free, total) = cuda.get_device_properties(), cuda.mem_get_info()
    print(f"{found.name}: {total / 2**30:.1f} GiB, compute capability {found.major}.{found.minor}")
    yield "its name", found.name == cuda.get_device_name("cuda:0") == gpu.name()
    yield "its memory", 0 < free <= total == found.total_memory
    yield "its capability", cuda.get_device_capability() == (found.major, found.minor)
    cuda.set_device(0)
    yield "its number", cuda.current_device() == accelerator.current_device_index() == 0


def refused(work: Callable[[], object], *parts: str) -> bool:
    """Whether the work ends in OutOfMemoryError, in one line with these parts."""
    try:
        work()
    except tt.OutOfMemoryError as error:
        print(f"refused: {error}")
        return "\n" not in str(error) and all(part in str(error) for part in parts)
    return False


def exhausted() -> Iterator[tuple[str, bool]]:
    """More than there is, or than was allowed."""
    if not gpu.EMULATED:  # which would take it from the host
        yield (
            "more than the card has",
            refused(lambda: tt.zeros(cuda.mem_get_info()[1], device="cuda"), "Tried to allocate"),
        )
    cuda.empty_cache()
    cuda.set_per_process_memory_fraction(64 * MIB / cuda.mem_get_info()[1])
    allowed = refused(lambda: tt.zeros(32 * MIB, device="cuda"), "Tried to allocate 128.00 MiB", "limited to 64.00 MiB")
    yield "more than was allowed", allowed
    yield "and less is not", bool(tt.ones(MIB, device="cuda").sum() == MIB)
    gpu.cupy.get_default_memory_pool().set_limit(size=0)


def a_pool() -> Iterator[tuple[str, bool]]:
    """Memory apart: what is freed there is used again there alone."""
    pool, size = cuda.MemPool(), (1000,)
    with cuda.use_mem_pool(pool):
        inside = tt.ones(size, device="cuda")
        address = inside.array.data.ptr
        before = cuda.memory_allocated()
        del inside
        yield "it is counted", before - cuda.memory_allocated() == 4096
    others = [tt.ones(size, device="cuda") for _ in range(20)]
    yield "nobody else is given it", address not in {other.array.data.ptr for other in others}
    with cuda.use_mem_pool(pool):
        yield "it is used again", tt.ones(size, device="cuda").array.data.ptr == address


def streams() -> Iterator[tuple[str, bool]]:
    """Work on a stream of its own, between two events."""
    stream, start, end = cuda.Stream(priority=-1), cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
    x = tt.ones(100, 100, device="cuda")
    yield "the default one is current", cuda.current_stream() == cuda.default_stream() != stream
    stream.wait_stream(cuda.current_stream())
    with cuda.stream(stream):
        yield "another is", cuda.current_stream() == stream
        start.record()
        y = x @ x
        stream.record_event(end)
    cuda.current_stream().wait_event(end)
    yield "its work is waited for", bool(np.all(y.cpu().numpy() == 100))
    end.synchronize()
    stream.synchronize()
    cuda.synchronize()
    yield "nothing is left to do", end.query() and stream.query()
    yield "the time between events", start.elapsed_time(end) >= 0
    try:
        cuda.Event().elapsed_time(end)
        yield "an event without time is refused", False
    except ValueError:
        yield "an event without time is refused", True


def main() -> int:
    """Run all; 0 if all is right."""
    parts = (numbers, the_device, exhausted, a_pool, streams)
    results = [(what, right) for part in parts for what, right in part()]
    wrong = [f"{what}: WRONG" for what, right in results if not right]
    wrong += [f"emulator: {what}: {n}" for what, n in gpu.troubles().items()]
    print(*wrong, "", f"{len(results)} questions of memory and streams; {len(wrong)} problems", sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    gpu.finish(main())
