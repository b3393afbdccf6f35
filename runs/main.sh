#!/usr/bin/env bash
# The main job: a character model of tiny Shakespeare. It leaves a run folder, with loss.png, under runs/.
# About a minute on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}

"$python" -m gpt.train --threads 2
