"""What the laboratory imports, it imports with NumPy alone: the browser has none of the project's other dependencies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What laboratory.py imports of the project, and what the cells of the chapters do; `gpt.museum` and `gpt.learn` if there.
NEEDED = (
    "tinytensor", "tinytensor.gradcheck.table", "tinytensor.gradcheck.samples", "tinytensor.serialization", "gpt.train",
    "gpt.sampling", "gpt.completion", "gpt.tokenizers", "gpt.rotary_samples", "gpt.inspection.collect",
    "gpt.inspection.write", "gpt.inspection.subject", "gpt.lens", "gpt.evaluate",
)  # fmt: skip
ABSENT = (
    "safetensors",
    "tqdm",
    "pooch",
    "matplotlib",
    "threadpoolctl",
    "fcntl",
    "cupy",
    "mpi4py",
    "tokenizers",
    "torch",
)
SCRIPT = f"""
import importlib, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
for name in sys.argv[1:]:
    importlib.import_module(name)
optional = [name for name in ("gpt.museum", "gpt.learn") if importlib.util.find_spec(name)]
for name in optional:
    importlib.import_module(name)
assert not set({ABSENT!r}) & set(sys.modules)
"""


def test_what_the_laboratory_imports_needs_numpy_alone() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, *NEEDED], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
