#!/usr/bin/env bash
# 200 training steps of both engines at once, every tensor compared at every step.
# Some four minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}

"$python" -m reference_torch.lockstep --steps 200 --dtype float64
"$python" -m reference_torch.lockstep --steps 200 --dtype float32
