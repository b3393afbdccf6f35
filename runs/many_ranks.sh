#!/usr/bin/env bash
# A step of data-parallel training on 1, 2 and 4 ranks, and what a model of it says about up to 4,096, on named networks.
# Some 10 minutes on two cores, with MPI; the first argument is the text of tiny Shakespeare.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}

"$python" -m benchmarks.many_ranks measure
if [ $# -gt 0 ]; then "$python" -m benchmarks.many_ranks noise --data "$1"; fi
"$python" -m benchmarks.many_ranks check
"$python" -m benchmarks.many_ranks plan
