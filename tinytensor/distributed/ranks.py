"""Ranks: processes that run the same program, each on its part of the data, and exchange arrays. On MPI, through mpi4py.

    mpiexec -n 4 python program.py

starts four of them. They are numbered from 0 (`rank` of `size`) and may be on several hosts. `found()` returns the ranks
of this process. Without mpiexec these are ALONE, one rank: then every exchange leaves the arrays as they are, and mpi4py
is not imported.
Source: MPI Forum, "MPI: A Message-Passing Interface Standard", version 4.1, 2023, chapter 6.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytensor.backend import Array

# What tells a process that mpiexec or srun has started it, and with how many others: in Open MPI, in MPICH and its
# relatives (Intel MPI, MVAPICH, Cray), and by PMIx, which says no number.
SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")
STARTED = (*SIZES, "PMIX_RANK")


class Ranks:
    """One process alone. It is also what the ranks of MPI offer, and what it means for one of them.

    Every exchange takes arrays with contiguous memory, of one dtype and size on all ranks, and is made by all ranks in
    the same order.
    """

    rank = 0  # the number of this process
    size = 1  # how many there are
    hosts: Sequence[str] = ("localhost",)  # the host of each rank
    local_rank = 0  # the number of this one among those on its host
    sharing = 1  # how many there have the cores of this one: mpiexec may bind each to cores of its own

    def all_reduce(self, x: Array, op: str = "sum") -> None:
        """x ← the sum ("prod", "min", "max") of the x of all ranks, in place. All ranks get the same bits."""

    def broadcast(self, x: Array, source: int = 0) -> None:
        """x ← the x of the rank `source`, in place."""

    def reduce_scatter(self, whole: Array, part: Array) -> None:
        """part ← the piece of this rank of the sum of all `whole`, which has size · part.size elements."""
        part[...] = whole.reshape(part.shape)

    def all_gather(self, part: Array, whole: Array) -> None:
        """whole ← the parts of all ranks, one after another. `part` may be the piece of this rank in `whole`."""
        if not np.shares_memory(part, whole):
            whole[...] = part.reshape(whole.shape)

    def gather(self, part: Array, whole: Array, to: int = 0) -> None:
        """On the rank `to`, whole ← the parts of all ranks, one after another; on others `whole` is not read."""
        whole[...] = part.reshape(whole.shape)

    def barrier(self) -> None:
        """Wait until all ranks are here."""

    def collect(self, value: Any) -> list[Any]:
        """The values of all ranks, in their order, on every rank. A value is anything that pickle takes."""
        return [value]

    def share(self, value: Any, source: int = 0) -> Any:
        """The value of the rank `source`, on every rank."""
        return value

    def abort(self, status: int) -> None:
        """End all ranks with that exit status, also those that wait for this one."""
        raise SystemExit(status)

    def named(self, rank: int) -> str:
        """How messages call a rank."""
        return f"rank {rank} on {self.hosts[rank]}"


ALONE = Ranks()


class MPIRanks(Ranks):
    """The ranks of an MPI communicator. Arrays on a GPU go from one to another by NCCL (cuda/nccl.py).

    MPI adds up no float16 and no bool on the host: who has them makes other arrays of them first.
    """

    def __init__(self, communicator: Any = None) -> None:
        from mpi4py import MPI

        self.mpi, self.communicator = MPI, MPI.COMM_WORLD if communicator is None else communicator
        self.rank, self.size = self.communicator.Get_rank(), self.communicator.Get_size()
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        places = self.communicator.allgather((MPI.Get_processor_name(), cores))
        self.hosts = [host for host, _ in places]
        self.local_rank = self.hosts[: self.rank].count(self.hosts[self.rank])
        self.sharing = places.count(places[self.rank])
        self._operations = {"sum": MPI.SUM, "prod": MPI.PROD, "min": MPI.MIN, "max": MPI.MAX}

    @functools.cached_property
    def _nccl(self) -> Any:
        from tinytensor.cuda.nccl import NCCL

        return NCCL(self)

    def all_reduce(self, x: Array, op: str = "sum") -> None:
        if not isinstance(x, np.ndarray):
            return self._nccl.all_reduce(x, op)  # type: ignore[no-any-return]
        self.communicator.Allreduce(self.mpi.IN_PLACE, x, self._operations[op])

    def broadcast(self, x: Array, source: int = 0) -> None:
        if not isinstance(x, np.ndarray):
            return self._nccl.broadcast(x, source)  # type: ignore[no-any-return]
        self.communicator.Bcast(as_bytes(x), source)

    def reduce_scatter(self, whole: Array, part: Array) -> None:
        if not isinstance(whole, np.ndarray):
            return self._nccl.reduce_scatter(whole, part)  # type: ignore[no-any-return]
        self.communicator.Reduce_scatter_block(whole, part)

    def all_gather(self, part: Array, whole: Array) -> None:
        if not isinstance(whole, np.ndarray):
            return self._nccl.all_gather(part, whole)  # type: ignore[no-any-return]
        own = as_bytes(part)
        self.communicator.Allgather(self.mpi.IN_PLACE if np.shares_memory(part, whole) else own, as_bytes(whole))

    def gather(self, part: Array, whole: Array, to: int = 0) -> None:
        self.communicator.Gather(as_bytes(part), as_bytes(whole) if self.rank == to else None, to)

    def barrier(self) -> None:
        self.communicator.Barrier()

    def collect(self, value: Any) -> list[Any]:
        return list(self.communicator.allgather(value))

    def share(self, value: Any, source: int = 0) -> Any:
        return self.communicator.bcast(value, source)

    def abort(self, status: int) -> None:
        self.communicator.Abort(status)


def as_bytes(x: Any) -> Any:
    """The memory of x as bytes: what is only moved may have any dtype."""
    return x.reshape(-1).view(np.uint8)


def announced() -> int | None:
    """How many ranks mpiexec or srun says that it has started; None without them, and where they say no number."""
    names = (*SIZES, "SLURM_STEP_NUM_TASKS") if "PMIX_RANK" in os.environ else SIZES  # PMIx itself says none
    return next((int(os.environ[name]) for name in names if os.environ.get(name, "").isdecimal()), None)


@functools.cache
def found() -> Ranks:
    """The ranks of this process: those of MPI if mpiexec has started it, else ALONE.

    RuntimeError if mpi4py is missing, has no MPI, or has another MPI than mpiexec, whose ranks would not find each other.
    """
    if not any(os.environ.get(name) for name in STARTED) or announced() == 1:
        return ALONE
    started = f"mpiexec has started {announced() or 'several'} processes"
    try:
        ranks = MPIRanks()
        version = ranks.mpi.Get_library_version().strip("\0").split("\n")[0].split(",")[0].strip()
    except (ImportError, RuntimeError) as error:
        raise RuntimeError(
            f"{started}, and they cannot find each other ({error}); pip install mpi4py mpich, or leave mpiexec out"
        ) from None
    if ranks.size != (announced() or ranks.size):
        raise RuntimeError(
            f"{started}, and the MPI of mpi4py, {version}, sees {ranks.size}: take the mpiexec of the same MPI"
        )
    for name in STARTED:  # a program that this one starts is no rank
        os.environ.pop(name, None)
    return ranks


def known() -> Ranks:
    """The ranks that `found` has returned; ALONE if nobody has asked for them yet."""
    return found() if found.cache_info().currsize else ALONE
