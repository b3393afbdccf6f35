#!/usr/bin/env bash
# What a step should take on five GPUs, by its bytes and operations, as a table in Markdown.
# A minute; no GPU.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}

"$python" -m benchmarks.roofline --markdown --plot benchmarks/results/roofline.png
