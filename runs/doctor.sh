#!/usr/bin/env bash
# What gpt.doctor finds in runs that were spoilt on purpose, and in healthy ones; and the ranges of its numbers.
# Some 8 minutes on one core.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}

PYTHONPATH=. "$python" tests/programs/spoilt.py
PYTHONPATH=. "$python" tests/programs/spoilt.py --seeds 1 11 12 13
