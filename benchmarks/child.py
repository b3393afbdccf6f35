"""The measurement of one engine, in its own process: python -m benchmarks.child '{"benchmark": "train_step", …}'.

It prints one JSON line. The parent sets the number of BLAS threads, before NumPy is imported.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from typing import Any

from benchmarks.environment import environment, peak_mib
from benchmarks.harness import Case


def answer(case: Case) -> dict[str, Any]:
    """What the module of the case measured in this process, the peak of memory, and the environment."""
    results = import_module(f"benchmarks.{case.benchmark}").measure(case)
    return {"results": results, "peak_mib": peak_mib(), "environment": environment()}


def main(argument: str) -> int:
    found = answer(Case(**json.loads(argument)))
    from tinytensor.distributed import ranks  # not before: the memory of PyTorch's engine is measured without it

    if not ranks.found().rank:  # of several processes one answers
        print(json.dumps(found), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
