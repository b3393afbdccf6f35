#!/usr/bin/env bash
# The GPU path without a GPU: what the programs of tests/cuda print.
# Some minutes, the first time more; needs .venv-gpu and g++ (docs/proof.md).
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv-gpu/bin/python}

for program in primitives mistakes barriers training half tf32; do
    "$python" "tests/cuda/$program.py" --emulated
done
