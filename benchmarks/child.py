"""One engine's measurement in a process of its own: python -m benchmarks.child '{"benchmark": "train_step", …}'.

Prints one JSON line. The parent has set the number of BLAS threads, before NumPy is imported.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module

from benchmarks.environment import environment, peak_mib
from benchmarks.harness import Case


def main(argument: str) -> int:
    case = Case(**json.loads(argument))
    results = import_module(f"benchmarks.{case.benchmark}").measure(case)
    peak = peak_mib()
    print(json.dumps({"results": results, "peak_mib": peak, "environment": environment()}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
