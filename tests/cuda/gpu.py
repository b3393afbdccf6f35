"""Where the programs of this folder run: `import gpu` before `import cupy`.

    python tests/cuda/training.py               on the GPU of this machine
    python tests/cuda/training.py --emulated    on its CPU: the real CuPy and no GPU, as tests/emulated/emulator.py says

The program is the same, and so are its limits. What was asked of the device is counted by the emulator alone (`count`,
`products`); on a GPU these are 0, no limit on them can fail, and `finish` says that they were left out.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import NoReturn

TESTS = Path(__file__).parent.parent
sys.path[1:1] = [str(TESTS), str(TESTS / "emulated")]

EMULATED = "--emulated" in sys.argv
if EMULATED:
    sys.argv.remove("--emulated")
    import emulator

from tinytensor import devices  # noqa: E402

try:
    cupy = devices.cupy()
except RuntimeError as error:
    sys.exit(f"{error}; --emulated does without a GPU")

ARCHITECTURES = emulator.ARCHITECTURES if EMULATED else ()
count: Counter[str] = emulator.count if EMULATED else Counter()


def products() -> int:
    """How many products of matrices were asked of cuBLAS until now."""
    return emulator.products() if EMULATED else 0


def troubles() -> dict[str, int]:
    """What was asked of the device and not done; on a GPU that would have been an error."""
    return emulator.troubles() if EMULATED else {}


def name() -> str:
    """The device's, as CUDA calls it."""
    return str(cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"].decode())


def finish(status: int) -> NoReturn:
    """End the program; under the emulator without CuPy's clean-up, which would call CUDA."""
    if EMULATED:
        emulator.finish(status)
    print(f"on {name()}: launches, copies, synchronizations and allocations were not counted; only the emulator counts")
    sys.exit(status)
