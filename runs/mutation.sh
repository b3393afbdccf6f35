#!/usr/bin/env bash
# Thousands of small mistakes in kernels, tape and optimizers, one at a time: which do the tests not notice?
# Some twenty minutes on two cores; needs the extra "mutation".
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}

"$python" -m pip install --quiet --constraint constraints.txt --editable '.[mutation]'
"$python" tests/mutation.py --write
