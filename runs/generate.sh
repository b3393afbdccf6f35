#!/usr/bin/env bash
# Characters in a second, with and without a key-value cache, beside PyTorch's and nanoGPT's generate.
# Some minutes on one core.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}

"$python" -m benchmarks.generate --repeats 3 --json benchmarks/results/generate.jsonl --plot benchmarks/results/generate.png
