"""The programs of tests/cuda as tests: test_emulated.py and test_gpu.py run the same, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "cuda"
LONGEST = "primitives.py"  # it begins first, beside all others
PROGRAMS = [LONGEST, *sorted({p.name for p in FOLDER.glob("*.py") if "__main__" in p.read_text("utf-8")} - {LONGEST})]


def passes(program: str, *flags: str) -> str:
    """What the program prints; AssertionError with all that it had to say if its exit status is not 0."""
    done = subprocess.run([sys.executable, FOLDER / program, *flags], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
