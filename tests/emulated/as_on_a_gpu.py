"""A program as it runs on a GPU: python tests/emulated/as_on_a_gpu.py tests/cuda/training.py

The emulator is there and the program is not told, so that it has no counts. It shows that `pytest -m gpu` asks for nothing
that only the emulator knows.
"""

from __future__ import annotations

import runpy
import sys
import traceback
from pathlib import Path

import emulator

if __name__ == "__main__":
    del sys.argv[0]
    sys.path.insert(0, str(Path(sys.argv[0]).parent))
    status: object = 0
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
        status = 1
    emulator.finish(int(status != 0))
