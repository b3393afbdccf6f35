"""What the heartbeat costs: the time of an all-reduce with it and without, in turns.

mpiexec -n 2 python tests/ranks/heartbeat_cost.py
"""

from __future__ import annotations

import time
from contextlib import nullcontext

import numpy as np

from gpt.ranks.heartbeat import Heartbeat
from tinytensor.distributed.ranks import MPIRanks, found

SIZES = (1, 250_000)  # elements of float32
TURNS, SECONDS = 5, 1.0  # of each kind


def times(ranks: MPIRanks, size: int) -> list[float]:
    """The times of all-reduces, in µs, for SECONDS seconds."""
    x, goes = np.zeros(size, np.float32), np.ones(1, np.float32)
    found, until = [], time.perf_counter() + SECONDS
    while goes[0]:
        for _ in range(100 if size < 1000 else 10):
            began = time.perf_counter()
            ranks.all_reduce(x)
            found.append(1e6 * (time.perf_counter() - began))
        goes[0] = time.perf_counter() < until
        ranks.broadcast(goes)
    return found


def main() -> None:
    ranks = found()
    assert isinstance(ranks, MPIRanks), "start it with mpiexec"
    for size in SIZES:
        with_it: list[float] = []
        without: list[float] = []
        for _ in range(TURNS):
            for kept, context in ((without, nullcontext()), (with_it, Heartbeat(ranks))):
                with context:
                    kept += times(ranks, size)
        if ranks.rank == 0:
            for name, kept in (("without", without), ("with", with_it)):
                print(
                    f"{ranks.mpi.get_vendor()[0]}, {ranks.size} ranks, {4 * size:,} bytes, {name} heartbeat: "
                    f"median {np.median(kept):.1f} µs, mean {np.mean(kept):.1f} µs of {len(kept):,}"
                )


if __name__ == "__main__":
    main()
