#!/usr/bin/env bash
# A training step beside PyTorch's and beside its matrix products alone: two sizes, 1 and 2 threads, five rounds.
# Some 10 minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}

"$python" -m benchmarks.train_step --repeats 5 --json benchmarks/results/train_step.jsonl --plot benchmarks/results/train_step.png
