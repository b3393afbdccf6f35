#!/usr/bin/env bash
# A training step of processes under mpiexec beside threads of one process and PyTorch; AdamW's state shared out; buckets.
# Some 15 minutes on two cores, with MPI.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
json=benchmarks/results/ranks.jsonl

"$python" -m benchmarks.ranks --engines threads ranks shared-out torch --threads 2 --repeats 5 --json $json
"$python" -m benchmarks.ranks --engines ranks buckets one-bucket --threads 2 --sizes 4,4,128,64,12 6,6,384,256,4 --repeats 5 --json $json
"$python" -m benchmarks.ranks --engines ranks shared-out --threads 1 2 4 --sizes 4,8,512,64,4 --repeats 1 --json $json
