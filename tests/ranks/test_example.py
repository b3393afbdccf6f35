"""The script in docs/torch-distributed.md prints what stands beside it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mpi import BOTH, MPI, ROOT

pytest.importorskip("mpi4py", reason="pip install -e '.[mpi-test]'")
pytestmark = pytest.mark.mpi
PAGE = (ROOT / "docs" / "torch-distributed.md").read_text("utf-8")


@pytest.mark.parametrize("mpi", BOTH, ids=lambda mpi: mpi.name)
def test_the_script_prints_what_the_page_says(mpi: MPI, tmp_path: Path) -> None:
    if not mpi.is_there():
        pytest.skip(f"no {mpi.name} beside the tests")
    (script,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    ((ranks, printed),) = re.findall(r"mpiexec -n (\d) python -m tinytensor script.py +# (.*)", PAGE)
    (tmp_path / "script.py").write_text(script, "utf-8")
    assert mpi.run(int(ranks), "-W", "error", "-m", "tinytensor", tmp_path / "script.py").strip() == printed
