#!/usr/bin/env bash
# Every bug of the museum with its right line and with its wrong one, seeds 1, 2, 3: curves, samples, gpt.doctor; figures and page.
# About 12 minutes of one core. Recipes and flags are in gpt/museum: SMALL in bug.py, and the flags of each bug.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}

"$python" -m gpt.museum all --seeds 1 2 3 --data python-docs --out docs/museum --curves gpt/museum/curves.json
PYTHONPATH=. "$python" docs/make_museum.py --figures
