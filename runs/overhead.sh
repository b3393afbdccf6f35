#!/usr/bin/env bash
# What one operation on one element costs, forward and backward.
# A minute on one core.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}

"$python" -m benchmarks.overhead --repeats 5 --json benchmarks/results/overhead.jsonl --plot benchmarks/results/overhead.png
