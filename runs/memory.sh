#!/usr/bin/env bash
# The peak memory of whole trainings, imports, evaluation and checkpoint included, beside PyTorch's.
# Some minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}

"$python" -m benchmarks.memory  --json benchmarks/results/memory.jsonl --plot benchmarks/results/memory.png
