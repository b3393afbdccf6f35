"""gpt.train on ranks, one of which is lost: it ends in a line, and goes on from its checkpoint to the same curve."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("mpi4py", reason="pip install -e '.[mpi-test]'")

import lost
from lost import Case
from mpi import MPICH, OPENMPI

pytestmark = pytest.mark.mpi

CASES = [
    Case(MPICH, False, 2, True, "kill", 0, 33, 0.01, 3, True),
    Case(OPENMPI, True, 2, False, "kill", 1, 47, 0.02, 1, False),
    Case(MPICH, True, 2, True, "stop", 1, 25, 0.0, 1, False),
    Case(OPENMPI, False, 2, False, "memory", 1, 5, 0.0, 3, True),
    Case(OPENMPI, False, 2, True, "save", 0, 31, 0.0, 1, False),
    Case(MPICH, False, 2, False, "term", 1, 38, 0.0, 1, False),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lost.undisturbed(tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.mpi.name}-{case.fault}")
def test_a_rank_is_lost_and_the_run_goes_on(case: Case, whole: Path, tmp_path: Path) -> None:
    if not case.mpi.is_there():
        pytest.skip(f"no mpiexec of {case.mpi.name}")
    outcome = lost.carry_out(case, tmp_path, whole)
    assert not outcome.wrong, outcome
