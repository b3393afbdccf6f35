"""Ranks that are threads of one process: what ranks compute can be tested without mpiexec, and in any number."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from tinytensor.distributed.ranks import Ranks

Result = TypeVar("Result")


class Room:
    """Where `size` ranks meet. It counts their exchanges."""

    def __init__(self, size: int) -> None:
        self.size, self.barrier, self.slots = size, threading.Barrier(size, timeout=60), [None] * size
        self.calls: list[str] = []  # of rank 0


class ThreadRanks(Ranks):
    """One of them. Sums are added up in the order of the ranks."""

    def __init__(self, room: Room, rank: int) -> None:
        self.room, self.rank, self.size, self.sharing = room, rank, room.size, room.size
        self.hosts = [f"host{i}" for i in range(room.size)]

    def collect(self, value: Any) -> list[Any]:
        return self._all("collect", value)

    def share(self, value: Any, source: int = 0) -> Any:
        return self._all("share", value)[source]

    def barrier(self) -> None:
        self._all("barrier", None)

    def all_reduce(self, x: Any, op: str = "sum") -> None:
        assert x.flags.c_contiguous
        found = {"sum": np.add, "prod": np.multiply, "min": np.minimum, "max": np.maximum}[op]
        x[...] = folded(found, self._all("all_reduce", x.copy()))

    def broadcast(self, x: Any, source: int = 0) -> None:
        x[...] = self._all("broadcast", x.copy())[source]

    def reduce_scatter(self, whole: Any, part: Any) -> None:
        assert whole.size == self.size * part.size
        total = folded(np.add, self._all("reduce_scatter", whole.copy()))
        part[...] = total.reshape(self.size, -1)[self.rank].reshape(part.shape)

    def all_gather(self, part: Any, whole: Any) -> None:
        whole[...] = np.stack(self._all("all_gather", part.copy())).reshape(whole.shape)

    def gather(self, part: Any, whole: Any, to: int = 0) -> None:
        parts = self._all("gather", part.copy())
        if self.rank == to:
            whole[...] = np.concatenate([each.reshape(-1) for each in parts]).reshape(whole.shape)

    def _all(self, call: str, value: Any) -> list[Any]:
        """The values of all ranks. An error in one of them breaks the barrier, so that the others do not wait."""
        if self.rank == 0:
            self.room.calls.append(call)
        self.room.slots[self.rank] = value
        self.room.barrier.wait()
        found = list(self.room.slots)
        self.room.barrier.wait()
        return found


def folded(function: Any, values: list[Any]) -> Any:
    total = values[0].copy()
    for value in values[1:]:
        total = function(total, value)
    return total


def on_ranks(size: int, work: Callable[[ThreadRanks], Result], room: Room | None = None) -> list[Result]:
    """[work(ranks) of every rank]. Raises the first error of one."""
    room = room or Room(size)
    results: list[Any] = [None] * size
    errors: list[BaseException] = []

    def run(rank: int) -> None:
        try:
            results[rank] = work(ThreadRanks(room, rank))
        except threading.BrokenBarrierError:
            pass  # another rank has failed
        except BaseException as error:
            errors.append(error)
            room.barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results
