"""The programs of tests/cuda on a GPU, unchanged: same calls, same limits, which stand in the programs.

python -m pytest -m gpu

What is wrong on a GPU and cannot be seen in the emulator, where blocks and threads run one after the other on the host:

    races           two blocks that write to one place, a stream that is not waited for
    rounding        float32 sums in cuBLAS's order; TF32 and float16 in tensor cores (tf32.py, half.py)
    memory          exhausted for real; what the allocator gives back, and when (program.py, memory.py)
    graphs          a captured step that the driver replays, not the emulator's record of it (graphs.py)
    several GPUs    NCCL, which nothing here uses
    time            python -m benchmarks.cpu_vs_gpu

The limits stand in the programs and hold on both: a float32 result within 1e-5 of the largest element, and so on.
"""

from __future__ import annotations

import pytest
from programs import PROGRAMS, passes

from tinytensor import devices

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module", autouse=True)
def _on_a_gpu() -> None:
    try:
        devices.cupy()
    except RuntimeError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("program", PROGRAMS)
def test_on_a_gpu(program: str) -> None:
    passes(program)
