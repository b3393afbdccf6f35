"""CuPy without a GPU: every program of tests/cuda under the emulator. tests/emulated/emulator.py says what is real there.

python -m pytest -m emulated tests/test_emulated.py
"""

from __future__ import annotations

import importlib.util

import pytest
from programs import FOLDER, PROGRAMS, passes

pytestmark = [
    pytest.mark.emulated,
    pytest.mark.skipif(
        importlib.util.find_spec("cupy") is None,
        reason="CuPy is not installed: pip install -c constraints.txt -e '.[gpu-test]'",
    ),
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_without_a_gpu(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    printed = passes(program, "--emulated").strip()
    with capsys.disabled():
        print("", f"{program}:", *printed.rpartition("\n\n")[2].splitlines(), sep="\n  ")  # its summary


@pytest.mark.parametrize("program", PROGRAMS)
def test_as_on_a_gpu(program: str) -> None:
    passes("../emulated/as_on_a_gpu.py", str(FOLDER / program))
