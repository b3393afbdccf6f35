#!/usr/bin/env bash
# Seconds until validation loss 1.86 on tiny Shakespeare, beside nanoGPT's CPU recipe in PyTorch.
# Some minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}

"$python" -m benchmarks.time_to_loss --data shakespeare --json benchmarks/results/time_to_loss.jsonl --plot benchmarks/results/time_to_loss.png
