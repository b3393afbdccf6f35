#!/usr/bin/env bash
# Time and memory against width, depth, context and batch, with the fitted exponents.
# Some 10 minutes on one core.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}

"$python" -m benchmarks.scaling  --json benchmarks/results/scaling.jsonl --plot benchmarks/results/scaling.png
