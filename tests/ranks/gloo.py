"""One script on PyTorch's gloo and on tinytensor's MPI: runs it, reads what its ranks have saved, and compares."""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np
from mpi import MPI, MPICH

SCRIPTS = Path(__file__).with_name("scripts")
Saved = list[dict[str, np.ndarray]]  # of each rank


def free_port() -> str:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return str(s.getsockname()[1])


def read(folder: Path, ranks: int) -> Saved:
    return [dict(np.load(folder / f"{rank}.npz")) for rank in range(ranks)]


def pytorchs(ranks: int, script: str, folder: Path, *arguments: str) -> Saved:
    """What the script's ranks save with PyTorch. MPICH's mpiexec starts them, and gloo connects them."""
    MPICH.run(ranks, SCRIPTS / script, folder, *arguments, FREE_PORT=free_port())
    return read(folder, ranks)


def ours(mpi: MPI, ranks: int, script: str, folder: Path, *arguments: str) -> Saved:
    """What they save on tinytensor, as `python -m tinytensor script.py` runs it."""
    mpi.run(ranks, "-W", "error", "-m", "tinytensor", SCRIPTS / script, folder, *arguments)
    return read(folder, ranks)


def differences(expected: Saved, found: Saved, slack: float = 0) -> list[str]:
    """What differs: names, dtypes, shapes, and values by more than slack, or roundings, times the dtype's precision."""
    wrong = []
    for rank, (theirs, own) in enumerate(zip(expected, found, strict=True)):
        wrong += [f"rank {rank}: only one has {name!r}" for name in theirs.keys() ^ own.keys()]
        for name in theirs.keys() & own.keys():
            a, b = theirs[name], own[name]
            if a.dtype.kind == "U" and b.dtype.kind == "U":
                same = str(a) == str(b)
            elif (a.dtype, a.shape) != (b.dtype, b.shape):
                same = False
            elif a.dtype.kind == "f":
                limit = slack * np.finfo(a.dtype).eps
                same = bool(np.allclose(a, b, rtol=limit, atol=limit, equal_nan=True))
            else:
                same = bool(np.array_equal(a, b))
            if not same:
                wrong.append(f"rank {rank}: {name}: {a.dtype}{a.shape} {a} != {b.dtype}{b.shape} {b}")
    return wrong
