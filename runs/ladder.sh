#!/usr/bin/env bash
# The plain engine, and each change on top of the ones before.
# Some 15 minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}

"$python" -m benchmarks.ladder --repeats 5 --json benchmarks/results/ladder.jsonl --plot benchmarks/results/ladder.png
