#!/usr/bin/env bash
# The default recipe with other numbers of steps, and nanoGPT's recipe with two seeds, each measured over the whole validation split.
# Some 15 minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}

for steps in 400 500 1400 1800 2000 3000; do
    "$python" -m gpt.train --data shakespeare --threads 2 --steps "$steps"
done
for seed in 1337 1; do
    "$python" -m gpt.train --data shakespeare --threads 2 --recipe nanogpt --seed "$seed"
done
