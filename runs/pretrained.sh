#!/usr/bin/env bash
# A GPT-2 of random weights: loading it, and its text with and without a key-value cache, beside transformers.
# Some minutes on one core. It needs the extra hf-test.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}

"$python" -m benchmarks.pretrained --repeats 5 --json benchmarks/results/pretrained.jsonl
