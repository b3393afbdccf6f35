"""Starts programs with mpiexec: with the MPICH of this environment, and with the Open MPI of .venv-openmpi beside the tests.

Two MPIs do not fit into one environment, since both have an mpiexec and a libmpi. docs/distributed.md says how to make
the second one; where it is missing, its tests are skipped, and the summary says so.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 240  # a run that takes longer hangs


class MPI(NamedTuple):
    """An MPI: its mpiexec, the Python whose mpi4py finds its library, and the flags for more ranks than cores."""

    name: str
    folder: Path  # bin
    flags: tuple[str, ...]

    def is_there(self) -> bool:
        return (self.folder / "mpiexec").exists() and (self.folder / "python").exists()

    def command(self, ranks: int, arguments: Sequence[str]) -> list[str]:
        """The command line that runs Python with these arguments on so many ranks."""
        python = str(self.folder / "python")
        return [str(self.folder / "mpiexec"), *self.flags, "-n", str(ranks), python, *map(str, arguments)]

    def environment(self, **variables: str) -> dict[str, str]:
        """One BLAS thread each, our packages, the helpers of the tests; Open MPI may run as root, as in a container."""
        paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "helpers")])
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        short = {"TMPDIR": tempfile.gettempdir()}  # Open MPI's sockets have short names
        return {**os.environ, "PYTHONPATH": paths, **threads, **root, **short, **variables}

    def start(self, ranks: int, *arguments: object, cwd: Path | None = None, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(ranks, [str(a) for a in arguments]), cwd=cwd, env=self.environment(**variables), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def run(self, ranks: int, *arguments: object, cwd: Path | None = None, status: int = 0, **variables: str) -> str:
        """What the ranks print. AssertionError with all that they had to say if mpiexec's exit status is another one."""
        process = self.start(ranks, *arguments, cwd=cwd, **variables)
        try:
            out, err = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            out, err = process.communicate()
            raise AssertionError(f"no end within {SECONDS} s\n{out}\n{err}") from None
        assert process.returncode == status, f"exit status {process.returncode}\n{out}\n{err}"
        return out if status == 0 else out + err


MPICH = MPI("mpich", Path(sys.executable).parent, ())
OPENMPI = MPI("openmpi", ROOT / ".venv-openmpi" / "bin", ("--map-by", ":OVERSUBSCRIBE"))
BOTH = (MPICH, OPENMPI)
