#!/usr/bin/env bash
# The median time of `import tinytensor` and of `import torch`, over five fresh processes each.
# Half a minute.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}

measured='import statistics, subprocess, sys, time
def once(name):
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {name}"], check=True)
    return time.perf_counter() - began
for name in ("tinytensor", "torch"):
    alone = statistics.median(once("sys") for _ in range(5))
    print(f"import {name}: {statistics.median(once(name) for _ in range(5)) - alone:.2f} s")'
"$python" -c "$measured"
