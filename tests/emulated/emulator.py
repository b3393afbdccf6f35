"""The real CuPy on a machine without a GPU: `import emulator` before `import cupy`. The programs of tests/cuda do.

CuPy reaches CUDA in three places, and each is answered on the CPU:

    runtime and driver   C function pointers that cupy_backends exports to its other modules, which copy them when they are
                         imported. pointers.py puts Python functions in their place, device.py has these functions:
                         device memory is host memory, a launch runs a library, everything is counted.
    kernels              CuPy writes them as it always does. kernels.py compiles the source with the real NVRTC for every
                         architecture of ARCHITECTURES, then as C++ with g++ (kernel.h), and that is what a launch runs.
    cuBLAS               a small library with its name and the products that CuPy asks for (cublas.cpp).

Real are therefore: shapes, strides, dtypes, broadcasting, the errors of wrong arguments, the kernels' sources, the values
(to rounding), and the number of launches, products, copies, synchronizations and allocations: `count`. Not real, and to be
shown by a GPU alone: time, races between threads or streams, rounding in tensor cores, exhausted memory.

Limits. It patches CuPy's internals, so one version of CuPy is supported, and a program that imports it ends with `finish`,
without CuPy's clean-up. What has no stand-in is counted under "unanswered", a kernel that g++ cannot build under
"not executed", and an exception inside CuPy's calls under "failed": all three have to be 0 (`troubles`).
CUB, cuRAND and cuSOLVER have no stand-in. Built kernels are kept in the folder CACHE.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

if "cupy" in sys.modules:
    raise ImportError("import emulator before cupy: CuPy's modules copy their pointers to CUDA when they are imported")

SUPPORTED = "14.2.0"
ARCHITECTURES = ("75", "80", "90")
CACHE = Path(os.environ.get("EMULATED_CACHE", Path(__file__).parent / ".cache"))
CACHE.mkdir(parents=True, exist_ok=True)
os.environ["CUPY_ACCELERATORS"] = ""  # CUB's kernels call a CUDA runtime of their own
os.environ["CUPY_CACHE_IN_MEMORY"] = "1"  # every kernel comes through kernels.py

import cublas  # noqa: E402
import cupy_backends.cuda.api.driver as driver  # noqa: E402
import cupy_backends.cuda.api.runtime as runtime  # noqa: E402
import device  # noqa: E402
from device import count  # noqa: E402
from pointers import replace_pointers  # noqa: E402

replace_pointers(runtime, device.RUNTIME, count)
replace_pointers(driver, device.DRIVER, count)
products = cublas.load(CACHE)

import cupy  # noqa: E402
import kernels  # noqa: E402

if cupy.__version__ != SUPPORTED:
    raise ImportError(f"the emulator is for CuPy {SUPPORTED}, not {cupy.__version__}: pip install -e '.[gpu-test]'")
kernels.install(CACHE, ARCHITECTURES)


def troubles() -> dict[str, int]:
    """What was asked of the device and not done; {} when all numbers can be trusted."""
    return {name: n for name, n in count.items() if n and name.startswith(("unanswered", "not executed", "failed"))}


def finish(status: int) -> NoReturn:
    """End the program: CuPy's own clean-up would call CUDA past the pointers."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
