#!/usr/bin/env bash
# Every primitive against central differences, PyTorch, its composed form and itself in float64.
# Half a minute.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}

"$python" -m tinytensor.gradcheck
"$python" -m tinytensor.gradcheck --samples gpt.rotary_samples
