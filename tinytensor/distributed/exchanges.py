"""Exchanges of arrays that do not wait: each returns MPI's request, or None where nothing is left to wait for.

Arrays are flat and contiguous, with a dtype that MPI knows (wire.py). Those on a GPU go by NCCL, on the current stream:
the host need not wait for them.
Source: MPI Forum, "MPI: A Message-Passing Interface Standard", version 4.1, 2023, section 6.12, Nonblocking Collective
Operations.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.backend import Array
from tinytensor.distributed.ranks import Ranks


class Exchanges:
    """The exchanges of one rank alone: it gets what it gives."""

    any_source = -1

    def all_reduce(self, x: Array, op: str) -> Any:
        """x ← the x of all ranks, put together by op."""

    def reduce(self, x: Array, op: str, target: int) -> Any:
        """On the rank `target`: x ← the x of all ranks, put together by op."""

    def broadcast(self, x: Array, source: int) -> Any:
        """x ← the x of the rank `source`."""

    def all_gather(self, part: Array, whole: Array) -> Any:
        """whole ← the parts of all ranks, one after another."""
        whole[...] = part

    def gather(self, part: Array, whole: Array | None, target: int) -> Any:
        """On the rank `target`: whole ← the parts of all ranks."""
        if whole is not None:
            whole[...] = part

    def reduce_scatter(self, whole: Array, part: Array, op: str) -> Any:
        """part ← the piece of this rank of all `whole`, put together by op."""
        part[...] = whole

    def scatter(self, whole: Array | None, part: Array, source: int) -> Any:
        """part ← the piece of this rank of the `whole` of the rank `source`."""
        part[...] = whole

    def barrier(self) -> Any:
        """Wait until all ranks are here."""

    def send(self, x: Array, target: int, tag: int) -> Any:
        """Send x to the rank `target`."""
        raise ValueError(f"Invalid destination rank: there is no rank {target}, this one is alone")

    def receive(self, x: Array, source: int, tag: int) -> Any:
        """x ← what the rank `source` sends."""
        raise ValueError("Invalid source rank: this rank is alone, so nobody sends")

    def status(self) -> Any:
        """What learns who has sent."""


class MPIExchanges(Exchanges):
    """The exchanges of the ranks of MPI."""

    def __init__(self, ranks: Any) -> None:
        self.ranks, self.communicator, self.mpi = ranks, ranks.communicator, ranks.mpi
        self.any_source = self.mpi.ANY_SOURCE
        names = {"sum": "SUM", "prod": "PROD", "min": "MIN", "max": "MAX", "band": "BAND", "bor": "BOR", "bxor": "BXOR"}
        self.operations = {name: getattr(self.mpi, theirs) for name, theirs in names.items()}

    def all_reduce(self, x: Array, op: str) -> Any:
        if not isinstance(x, np.ndarray):
            return self.ranks.all_reduce(x, op)
        return self.communicator.Iallreduce(self.mpi.IN_PLACE, x, self.operations[op])

    def reduce(self, x: Array, op: str, target: int) -> Any:
        here = target == self.ranks.rank
        given, taken = (self.mpi.IN_PLACE, x) if here else (x, None)
        return self.communicator.Ireduce(given, taken, self.operations[op], target)

    def broadcast(self, x: Array, source: int) -> Any:
        if not isinstance(x, np.ndarray):
            return self.ranks.broadcast(x, source)
        return self.communicator.Ibcast(x, source)

    def all_gather(self, part: Array, whole: Array) -> Any:
        if not isinstance(part, np.ndarray):
            return self.ranks.all_gather(part, whole)
        return self.communicator.Iallgather(part, whole)

    def gather(self, part: Array, whole: Array | None, target: int) -> Any:
        return self.communicator.Igather(part, whole, target)

    def reduce_scatter(self, whole: Array, part: Array, op: str) -> Any:
        if not isinstance(part, np.ndarray):
            if op == "sum":
                return self.ranks.reduce_scatter(whole, part)
            pieces = whole.copy()  # sums alone are in ranks.py
            self.ranks.all_reduce(pieces, op)
            part[...] = pieces.reshape(self.ranks.size, -1)[self.ranks.rank]
            return None
        return self.communicator.Ireduce_scatter_block(whole, part, self.operations[op])

    def scatter(self, whole: Array | None, part: Array, source: int) -> Any:
        return self.communicator.Iscatter(whole, part, source)

    def barrier(self) -> Any:
        return self.communicator.Ibarrier()

    def send(self, x: Array, target: int, tag: int) -> Any:
        return self.communicator.Isend(x, target, tag)

    def receive(self, x: Array, source: int, tag: int) -> Any:
        return self.communicator.Irecv(x, source, tag)

    def status(self) -> Any:
        return self.mpi.Status()


def exchanges_of(ranks: Ranks) -> Exchanges:
    """The exchanges between these ranks."""
    return Exchanges() if ranks.size == 1 else MPIExchanges(ranks)
