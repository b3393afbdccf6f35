"""Heartbeat: a rank that stops answering is named, and all ranks end, where they would wait for it for ever.

The ranks stand in a ring. A thread of each sends a beat to the next rank twice a second, and listens to the one before.
mpiexec notices a process that ended; it does not notice one that is stopped, swapped out, or on a host that hangs.

The thread has a communicator of its own, so its messages never meet those of the training. It waits outside of MPI, so an
all-reduce shares MPI's lock with it for a moment twice a second (tests/ranks/heartbeat_cost.py measures what that costs).
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

import numpy as np

from tinytensor.distributed.ranks import MPIRanks, Ranks
from tinytensor.terminal import fail

PERIOD = 0.5  # seconds between two beats
SECONDS = 15.0  # of silence until a rank counts as lost
OPENING = 120.0  # the same while texts are read: single calls on a large one hold Python's lock for long
LEAVING = 0.02  # seconds between two looks for the last beat of the rank before
SPOKEN = 0.5  # seconds for mpiexec to pass on what a rank has printed: MPICH's drops it where the ranks end at once
HARD = 5.0  # seconds that MPI has to end all ranks; then this one ends without it
LOST = 75  # exit status: EX_TEMPFAIL of sysexits.h, another try may succeed
BEAT, GOODBYE = 1, 2


class Heartbeat:
    """A context of all ranks. While it is open, a rank that is silent for `seconds` ends all of them with status LOST.

    `leave(status)` ends the ranks (default: ranks.abort). `advice` ends the line that says which rank is lost.

    Silence is counted in ticks of the thread that listens, and a tick counts for two periods at most: a process that was
    stopped or starved itself does not take that time for silence of another. The ranks may close the context at
    different times: each waits until the one before has said goodbye, and watches it until then.
    """

    def __init__(
        self,
        ranks: Ranks,
        seconds: float = SECONDS,
        leave: Callable[[int], object] | None = None,
        advice: str = "",
        name: str = "gpt.train",
    ) -> None:
        self._ranks, self._seconds, self._leave = ranks, seconds, leave or ranks.abort
        self._advice, self._name = advice, name
        self._leaving = threading.Event()
        self._thread: threading.Thread | None = None

    def adjust(self, seconds: float, advice: str) -> None:
        """Change both, at any time."""
        self._seconds, self._advice = seconds, advice

    def __enter__(self) -> Heartbeat:
        ranks = self._ranks
        if not isinstance(ranks, MPIRanks) or ranks.size == 1:
            return self
        self._mpi = ranks.mpi
        if not all(ranks.collect(self._mpi.Query_thread() == self._mpi.THREAD_MULTIPLE)):
            if ranks.rank == 0:
                fail(
                    self._name,
                    "no heartbeat: this MPI lets one thread alone call it; who is lost may stay unnoticed",
                    0,
                )
            return self
        self._processes = ranks.collect(os.getpid())
        self._communicator = ranks.communicator.Dup()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if self._thread is None:
            return
        self._leaving.set()
        if kind is None:
            self._thread.join()
            self._communicator.Free()
        else:  # the others may be in an exchange; failing.py finds out. If all end alike, MPI ends after this thread
            atexit.register(self._thread.join, HARD)

    def _run(self) -> None:
        try:
            lost = self._watch()
        except self._mpi.Exception as error:
            lost = f"cannot be reached: {error}"
        if lost:
            before = (self._ranks.rank - 1) % self._ranks.size
            who = f"{self._ranks.named(before)} (process {self._processes[before]})"
            fail(self._name, f"{who} {lost}; all ranks end{self._advice and '; '}{self._advice}", 0)
            time.sleep(SPOKEN)
            hard = threading.Timer(HARD, os._exit, [LOST])
            hard.daemon = True
            hard.start()
            self._leave(LOST)

    def _watch(self) -> str:
        """Send and listen until both sides have said goodbye: return "". Or return what is wrong with the rank before."""
        rank, size, communicator = self._ranks.rank, self._ranks.size, self._communicator
        before, after = (rank - 1) % size, (rank + 1) % size
        sent, heard = np.zeros(1, np.uint8), np.zeros(1, np.uint8)
        send, receive = self._mpi.REQUEST_NULL, communicator.Irecv(heard, before)
        silence, then, listens, said = 0.0, time.monotonic(), True, False
        while listens or not (said and send.Test()):
            time.sleep(LEAVING) if said else self._leaving.wait(PERIOD)
            now = time.monotonic()
            silence, then = silence + min(now - then, 2 * PERIOD), now
            while listens and receive.Test():
                silence, listens = 0.0, heard[0] != GOODBYE
                if listens:
                    receive = communicator.Irecv(heard, before)
            if listens and silence >= self._seconds:
                return f"has not answered for {self._seconds:g} s"
            if not said and send.Test():  # else the last beat still waits: the other is slow, and will hear that one
                said = self._leaving.is_set()
                sent[0] = GOODBYE if said else BEAT
                send = communicator.Isend(sent, after)
        return ""


_open: list[Heartbeat] = []  # that of this process


@contextmanager
def beating(ranks: Ranks, name: str) -> Iterator[None]:
    """A context with a Heartbeat, which waits OPENING seconds until `adjust` says otherwise."""
    with Heartbeat(ranks, OPENING, name=name) as heartbeat:
        _open.append(heartbeat)
        try:
            yield
        finally:
            _open.remove(heartbeat)


def adjust(seconds: float, advice: str) -> None:
    """Let the heartbeat of this process wait so long, and say that advice; nothing where there is none."""
    for heartbeat in _open:
        heartbeat.adjust(seconds, advice)
