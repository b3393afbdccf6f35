"""torch.distributed on MPI: every rank has what PyTorch's gloo gives it, for all operations, dtypes and layouts."""

from __future__ import annotations

from pathlib import Path

import pytest
from mpi import BOTH, MPI

pytest.importorskip("torch")
pytest.importorskip("mpi4py", reason="pip install -e '.[mpi-test]'")
from gloo import Saved, differences, ours, pytorchs

pytestmark = pytest.mark.mpi


@pytest.fixture(scope="module", params=[2, 3])
def expected(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """What PyTorch's ranks have."""
    return pytorchs(request.param, "collectives.py", tmp_path_factory.mktemp("gloo"))


@pytest.mark.parametrize("mpi", BOTH, ids=lambda mpi: mpi.name)
def test_every_exchange_is_pytorchs(mpi: MPI, expected: Saved, tmp_path: Path) -> None:
    if not mpi.is_there():
        pytest.skip(f"no {mpi.name} beside the tests")
    assert len(expected[0]) > 500
    assert not differences(expected, ours(mpi, len(expected), "collectives.py", tmp_path), slack=4)
