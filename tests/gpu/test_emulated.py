"""CuPy without a GPU: every program of tests/cuda under the emulator. tests/emulated/emulator.py says what is real there.

python -m pytest -m emulated -n auto tests/gpu/test_emulated.py
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import pytest
from programs import FOLDER, PROGRAMS, passes

BLANK = "\n\n"
LONGEST = "primitives.py"  # first, so that no other waits for it
FEW = {LONGEST: ("gelu", "layer_norm", "matmul", "getitem")}  # all of them were compared with counts already

pytestmark = [
    pytest.mark.emulated,
    pytest.mark.skipif(
        importlib.util.find_spec("cupy") is None,
        reason="CuPy is not installed: pip install -c constraints.txt -e '.[gpu-test]'",
    ),
]


@pytest.mark.parametrize("program", sorted(PROGRAMS, key=LONGEST.__ne__))
def test_without_a_gpu(program: str, record_property: Callable[[str, object], None]) -> None:
    printed = passes(program, "--emulated").strip()
    record_property("said", f"{program}\n{printed.rpartition(BLANK)[2]}")  # its summary, which conftest.py prints


@pytest.mark.parametrize("program", [p for p in PROGRAMS if p != "memory.py"])  # which takes all that there is
def test_as_on_a_gpu(program: str) -> None:
    passes("../emulated/as_on_a_gpu.py", str(FOLDER / program), *FEW.get(program, ()))
