"""DistributedDataParallel trains as PyTorch's does, and what only tinytensor's says or does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mpi import BOTH, MPI, MPICH

pytest.importorskip("mpi4py", reason="pip install -e '.[mpi-test]'")
from gloo import SCRIPTS, differences, ours, pytorchs

pytestmark = pytest.mark.mpi


@pytest.mark.parametrize("ranks, dtype", [(2, "float64"), (3, "float64"), (2, "float32")])
def test_training_is_pytorchs(ranks: int, dtype: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """20 steps: losses, weights, gradients. float64 to 1e-10; float32 to 64 roundings."""
    pytest.importorskip("torch")
    expected = pytorchs(ranks, "training.py", tmp_path_factory.mktemp("gloo"), dtype)
    slack = 1e-10 / np.finfo(np.float64).eps if dtype == "float64" else 64
    losses = expected[0]["gpt losses"]
    assert losses[-3:].mean() < 0.8 * losses[:3].mean()
    for mpi in BOTH if ranks == 2 else (MPICH,):
        if mpi.is_there():
            found = ours(mpi, ranks, "training.py", tmp_path_factory.mktemp(mpi.name), dtype)
            assert not differences(expected, found, slack), mpi.name


OWN = ("overlap", "buckets", "halves", "unused", "forwards", "broken", "models", "written", "steps", "group")


@pytest.mark.parametrize("check", OWN)
def test_own(check: str) -> None:
    printed = MPICH.run(2, "-W", "error", SCRIPTS / "own.py", check)
    assert sorted("".join(printed.split())) == sorted("passed0passed1")  # lines of two ranks may be mixed


@pytest.mark.parametrize("mpi", BOTH, ids=lambda mpi: mpi.name)
def test_three_ranks(mpi: MPI) -> None:
    """The checks in which the number of ranks counts."""
    if not mpi.is_there():
        pytest.skip(f"no {mpi.name} beside the tests")
    for check in ("unused", "steps", "group"):
        assert mpi.run(3, "-W", "error", SCRIPTS / "own.py", check).count("passed") == 3


@pytest.mark.parametrize("mpi", BOTH, ids=lambda mpi: mpi.name)
def test_an_exception_on_one_rank_ends_all(mpi: MPI) -> None:
    if not mpi.is_there():
        pytest.skip(f"no {mpi.name} beside the tests")
    said = mpi.run(2, SCRIPTS / "own.py", "fails", status=1)
    assert "LookupError: rank 1 has found nothing" in said and "passed" not in said


def test_without_mpiexec_it_is_one_rank(tmp_path: Path) -> None:
    """The same scripts, as a world of one, without an import of MPI."""
    for script, *arguments in (("training.py", "float64"), ("collectives.py",)):
        code = f"import runpy, sys; sys.argv = {[str(SCRIPTS / script), str(tmp_path), *arguments]!r}"
        code += "; sys.argv.insert(0, 'tinytensor'); runpy.run_module('tinytensor', run_name='__main__')"
        code += "; assert not any(name.startswith('mpi4py') for name in sys.modules)"
        done = subprocess.run(
            [sys.executable, "-c", code], env=MPICH.environment(), capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, done.stderr
        assert len(np.load(tmp_path / "0.npz").files) > 50
