"""The real CuPy, on the CPU: tests/emulated/emulator.py says how. Each program runs alone, since it patches CuPy.

python -m pytest -m emulated tests/test_emulated.py
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "emulated"

pytestmark = [
    pytest.mark.emulated,
    pytest.mark.skipif(
        importlib.util.find_spec("cupy") is None,
        reason="CuPy is not installed: pip install -c constraints.txt -e '.[gpu-test]'",
    ),
]


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, FOLDER / program], capture_output=True, text=True)


@pytest.mark.parametrize("program, lines", [("primitives.py", 1), ("training.py", 8)])
def test_cupy_computes_what_numpy_does(program: str, lines: int, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(program)
    with capsys.disabled():
        print("", *done.stdout.splitlines()[-lines:], sep="\n")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_comparison_notices_what_numpy_forgives() -> None:
    done = run("mistakes.py")
    assert done.returncode == 0, done.stdout + done.stderr
    host_array, hidden_float, repeated_index = done.stdout.splitlines()
    assert "Unsupported type <class 'numpy.ndarray'>" in host_array
    assert "copies from the device to the host" in hidden_float
    assert "an error of" in repeated_index
