"""gpt.train on ranks, which counts its calls of MPI: rank 0 prints them as JSON in the last line."""

from __future__ import annotations

import functools
import json
import sys
from collections import Counter
from typing import Any

import gpt.job
from gpt.train import main
from tinytensor.distributed.ranks import found

CALLS = ("Allreduce", "Reduce_scatter_block", "Allgather", "Bcast", "Gather", "Barrier", "allgather", "bcast")


class Counting:
    """A communicator that counts what is called; `large` are calls of Allreduce in place on more than 1,000 numbers."""

    def __init__(self, communicator: Any) -> None:
        self.communicator, self.counts = communicator, Counter[str]()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.communicator, name)
        return functools.partial(self.call, name, method) if name in CALLS else method

    def call(self, name: str, method: Any, *args: Any) -> Any:
        self.counts[name] += 1
        in_place = name == "Allreduce" and args[0] == found().mpi.IN_PLACE  # type: ignore[attr-defined]
        self.counts["large"] += in_place and args[1].size > 1000
        return method(*args)


ranks: Any = found()
counting = ranks.communicator = Counting(ranks.communicator)
kept: list[bool] = []
keep = gpt.job.keep_freed_memory
gpt.job.keep_freed_memory = lambda: kept.append(True) or keep()  # type: ignore[func-returns-value]
status = main(sys.argv[1:])
all_kept = counting.communicator.allgather(bool(kept))
if ranks.rank == 0:
    print(json.dumps({**counting.counts, "kept on ranks": all_kept}))
sys.exit(status)
