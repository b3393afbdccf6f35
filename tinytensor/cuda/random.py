"""Random numbers drawn on the GPU: Philox-4x32-10, a function from a counter and a key to four numbers.

It is a block cipher of ten rounds: each multiplies two of the four words and mixes the halves of the products with the
other words and with the key, which grows by a constant. The counter is the only state. So every thread of a kernel
counts for itself, and numbers can be drawn again instead of being stored.
Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 3.3.

A generator has a stream on every GPU: the key is its seed, and seeding sets the counter to 0. A CUDA graph repeats the
same launches, so they read key and counter from the memory of the GPU.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinytensor.backend import Array
from tinytensor.cuda.kernel import FLOAT32, launch
from tinytensor.devices import cupy
from tinytensor.random import default_generator

PHILOX = """
__device__ void philox(unsigned word[4], unsigned low, unsigned high) {  // the key's two words
  for (int round = 0; round < 10; round++) {
    const unsigned long long p = 0xD2511F53ull * word[0], q = 0xCD9E8D57ull * word[2];
    word[0] = (unsigned)(q >> 32) ^ word[1] ^ low;
    word[1] = (unsigned)q;
    word[2] = (unsigned)(p >> 32) ^ word[3] ^ high;
    word[3] = (unsigned)p;
    low += 0x9E3779B9u, high += 0xBB67AE85u;
  }
}
// The four numbers of a counter. Where there is a state, it has the key, and what to add to the counter.
__device__ void draw(
    unsigned number[4], unsigned long long key, unsigned long long counter, const unsigned long long* state) {
  if (state) key = state[0], counter += state[1];
  number[0] = (unsigned)counter, number[1] = (unsigned)(counter >> 32), number[2] = number[3] = 0;
  philox(number, (unsigned)key, (unsigned)(key >> 32));
}
"""
SET = """
extern "C" __global__ void set_state(unsigned long long* state, unsigned long long key, unsigned long long counter) {
  state[0] = key, state[1] = counter;
}
"""


class Drawn(NamedTuple):
    """The arguments of `draw` in PHILOX, in the order in which kernels take them. counter: the first to use."""

    key: np.uint64
    counter: int
    state: Array | None


class Stream:
    """The numbers of one generator on one GPU: its key, the number of used counters, and the graph that records."""

    def __init__(self, seed: int) -> None:
        self.captured: Captured | None = None
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> None:
        """Restart from a seed. RuntimeError while a graph records, since a replay would not restart."""
        if self.captured is not None:
            raise RuntimeError("manual_seed inside the capture of a CUDA graph: call it before the capture or a replay")
        self.key, self.used = np.uint64(seed % 2**64), 0

    def take(self, count: int) -> Drawn:
        """Take the next `count` counters."""
        if self.captured is not None:
            self.captured.used += count
            return Drawn(self.key, self.captured.used - count, self.captured.state)
        self.used += count
        return Drawn(self.key, self.used - count, None)


def stream_on(device: int) -> Stream:
    """The stream of this thread's default generator on the GPU of that number."""
    generator = default_generator()
    if device not in generator.on_gpu:
        generator.on_gpu[device] = Stream(generator.initial_seed())
    stream: Stream = generator.on_gpu[device]
    return stream


class Captured:
    """The random numbers of a CUDA graph. Every replay draws new ones, the same as its launches without a graph.

    numbers = Captured(device)
    with numbers: …                  capture the graph, in this block and this thread
    numbers.before_replay()          on the stream of the replay, whenever it is replayed
    """

    def __init__(self, device: int) -> None:
        self.device, self.used = device, 0
        xp = cupy()
        with xp.cuda.Device(device):
            self.state = xp.zeros(2, np.uint64)

    def __enter__(self) -> Captured:
        stream_on(self.device).captured = self
        return self

    def __exit__(self, *_: Any) -> None:
        stream_on(self.device).captured = None

    def before_replay(self) -> None:
        """Start the graph at the position of this thread's stream, and move the stream behind the graph's numbers."""
        if self.used:
            start = stream_on(self.device).take(self.used)
            launch(SET, "set_state", FLOAT32, 1, (self.state, start.key, start.counter), threads=1)
