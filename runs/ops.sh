#!/usr/bin/env bash
# Every primitive: time, bytes, operations, PyTorch's time.
# Some minutes on one core.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}

"$python" -m benchmarks.ops  --json benchmarks/results/ops.jsonl --plot benchmarks/results/ops.png
