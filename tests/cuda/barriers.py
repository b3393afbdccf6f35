"""Warps and barriers: python tests/cuda/barriers.py [--emulated]

Shuffles hand over what CUDA's programming guide says, to each width of neighbours. And under the emulator, whose threads
run upwards and downwards in turn: attention without any one of its barriers gives numbers that are wrong.
The exit status is 1 where a shuffle differs or a missing barrier goes unnoticed.
"""

from __future__ import annotations

import re
from collections import Counter
from unittest import mock

import gpu  # first: before cupy is imported
import numpy as np
import primitives

from tinytensor.cuda.fused import attention, replacement
from tinytensor.gradcheck.sample import normal
from tinytensor.gradcheck.table import Sample
from tinytensor.primitive import PRIMITIVES

THREADS, LIMIT = 64, 1e-5
SOURCE = """
extern "C" __global__ void shuffles(int* y, int width) {
  int t = threadIdx.x, count = blockDim.x;
  y[t] = __shfl_sync(0xffffffff, t, 5, width);
  y[count + t] = __shfl_up_sync(0xffffffff, t, 3, width);
  y[2 * count + t] = __shfl_down_sync(0xffffffff, t, 3, width);
  y[3 * count + t] = __shfl_xor_sync(0xffffffff, t, 6, width);
}
"""


def shuffles(width: int) -> np.ndarray:
    """What the kernel has to find: whose value each thread gets; its own where that is not one of `width` neighbours."""
    t = np.arange(THREADS)
    first = t // width * width
    up, down = np.where(t - 3 < first, t, t - 3), np.where(t + 3 >= first + width, t, t + 3)
    return np.stack([first + 5, up, down, t ^ 6])


def wrong_shuffles() -> list[int]:
    """The widths at which a shuffle hands over another value."""
    kernel, wrong = gpu.cupy.RawKernel(SOURCE, "shuffles"), []
    for width in (8, 16, 32):
        y = gpu.cupy.zeros((4, THREADS), np.int32)
        kernel((1,), (THREADS,), (y, np.int32(width)))
        if not np.array_equal(y.get(), shuffles(width)):
            wrong.append(width)
    return wrong


def unnoticed_barriers() -> tuple[int, list[int]]:
    """How many barriers attention's kernels have, and which of them are not missed."""
    arrays = (*(normal(70, 5, seed=i).astype(np.float32) for i in range(3)), None)
    sample = Sample(arrays, torch=print, static={"scale": 0.5, "causal": False})
    pair = replacement(PRIMITIVES["attention"], sample.arrays, sample.static)
    source, own = attention.kernel_for(5, 4)
    barriers = list(re.finditer(r"__sync(threads|warp)\(\);", source))
    unnoticed = []
    for i, barrier in enumerate(barriers):
        broken = source[: barrier.start()] + source[barrier.end() :]
        with mock.patch.object(attention, "kernel_for", lambda *_, broken=broken: (broken, own)):
            if primitives.compare(pair, sample, Counter())[0] <= LIMIT:
                unnoticed.append(i)
    return len(barriers), unnoticed


def main() -> int:
    """Compare; 0 if all is as it should be."""
    wrong, unnoticed = wrong_shuffles(), []
    print(f"shuffles: {f'wrong at width {wrong}' if wrong else 'as they should be'}")
    if gpu.EMULATED:  # on a GPU a race may be won
        count, unnoticed = unnoticed_barriers()
        print(f"attention: {count} barriers, each left out in turn; not noticed: {unnoticed or 'none'}")
    troubles = gpu.troubles()
    print("".join(f"emulator: {what}: {n}\n" for what, n in troubles.items()), end="")
    return int(bool(wrong or unnoticed or troubles))


if __name__ == "__main__":
    gpu.finish(main())
