"""PyTorch's own databases of operations, modules and optimizers, run against tinytensor: -m databases, some minutes.

    python -m pytest -m databases -n auto tests/databases

The programs beside this file do the work, and print what differs for one entry: `python tests/databases/ops.py cumsum`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import re
from collections.abc import Callable
from pathlib import Path

import pytest

CHUNKS = 16  # tests on the operations, so that processes can share them
PINNED = Path(__file__).parents[2] / "constraints.txt"


def _missing() -> str:
    """Why the databases cannot be run; empty if they can."""
    for package in ("torch", "expecttest"):  # PyTorch's databases import expecttest
        wanted = re.search(rf"^{package}==(\S+)", PINNED.read_text(), re.MULTILINE)
        assert wanted
        try:
            found = importlib.metadata.version(package).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            return f"{package} is not installed: pip install -c constraints.txt -e '.[databases]'"
        if package == "torch" and found != wanted[1]:
            return f"the exceptions are those of PyTorch {wanted[1]}, and {found} is installed"
    return ""


pytestmark = [pytest.mark.databases, pytest.mark.skipif(bool(_missing()), reason=_missing())]


@pytest.mark.parametrize(
    "database, chunk, chunks",
    [*(("ops", i, CHUNKS) for i in range(CHUNKS)), *(("modules", i, 3) for i in range(3)), ("optimizers", 0, 1)],
)
@pytest.mark.filterwarnings("ignore")  # PyTorch's, about its own databases
@pytest.mark.usefixtures("one_torch_thread")
def test_agrees(database: str, chunk: int, chunks: int, record_property: Callable[[str, object], None]) -> None:
    program = importlib.import_module(database)
    exceptions, report = importlib.import_module("exceptions"), importlib.import_module("report")
    total, stale = report.Tally(), []
    for entry in program.entries()[chunk::chunks]:
        tally = program.run(entry)
        stale += exceptions.excuse(tally)
        total.update(tally)
    record_property("databases", [database, program.SIZE, total.counts()])  # conftest.py prints their sum
    assert not total.wrong and not stale, "\n".join(map(str, [*total.wrong.values(), *stale]))
