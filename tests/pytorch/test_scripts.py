"""Scripts written for PyTorch run unchanged on tinytensor, and print the same numbers.

Each script in `scripts/` is in the manner of a well-known lesson, sets its weights and batches by formula, and prints a
number per line. It runs in two processes, one with PyTorch and one under `python -m tinytensor`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

pytestmark = pytest.mark.programs
HERE = Path(__file__).parent
SCRIPTS = sorted((HERE / "scripts").glob("*.py"))
# Both compute in float32 (rounding 6e-8) in a different order of summation, and 30 steps of an optimizer carry the
# difference on. TOLERANCE is five times the 4e-5 that was seen; a wrong factor anywhere moves a loss by far more than 1e-3.
TOLERANCE = 2e-4


def start(arguments: list[str], folder: Path) -> subprocess.Popen[str]:
    folder.mkdir()
    paths = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH", "")]))
    env = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *arguments], cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def numbers(process: subprocess.Popen[str]) -> list[float]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return [float(line) for line in out.split("\n") if line]


def test_there_are_scripts() -> None:
    names = ["guide", "lecture", "mini", "modern", "more", "nano", "recurrent", "translation"]
    assert [s.stem for s in SCRIPTS] == names


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: s.stem)
def test_script_prints_pytorchs_numbers(script: Path, tmp_path: Path) -> None:
    assert "tinytensor" not in script.read_text(encoding="utf-8")
    theirs = start([str(script)], tmp_path / "theirs")
    ours = start(["-W", "error", "-m", "tinytensor", str(script)], tmp_path / "ours")
    expected, found = numbers(theirs), numbers(ours)
    assert len(expected) > 25
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=1e-6)
    losses = [x for x in expected if 0 < x < 10]
    assert max(losses) > min(losses) + 0.1, "the numbers should move, or they prove little"
