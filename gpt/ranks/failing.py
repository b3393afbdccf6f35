"""What a rank does with an error: all ranks that fail alike say so once; one that fails alone says so and ends the others.

A wrong flag is wrong on every rank: rank 0 prints the line, and all end with its status, as one process does. A full disk
may be that of one rank: the others wait for it in an exchange, for ever. So a rank that fails tells the others, and waits
a moment for theirs to come. If one does not, that rank has not failed, and MPI ends it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gpt.errors import UserError
from gpt.ranks import processes
from gpt.ranks.heartbeat import LOST, SPOKEN, beating
from gpt.run import failure as kept
from tinytensor.distributed.ranks import MPIRanks, found
from tinytensor.terminal import fail, silence

WAIT = 2.0  # seconds that the others have to fail as well
INTERRUPTED = 130  # exit status after Ctrl-C
LONGEST = 300  # characters of what MPI says
NUMBERS = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK", "PMIX_RANK")  # the rank, as mpiexec calls it

Told = Callable[[BaseException], "tuple[str, int] | None"]


class Failure(NamedTuple):
    """What is said of an error, and the exit status. `trace` is the traceback of what no user can put right."""

    message: str
    status: int
    trace: str = ""

    def digest(self) -> Any:
        """32 bytes that are the same for the same failure on another rank."""
        return np.frombuffer(hashlib.sha256(f"{self.status} {self.message}".encode()).digest(), np.uint8).copy()


def together(name: str, body: Callable[[list[str]], int], argv: list[str], told: Told) -> int:
    """Return the exit status of body(argv), which all ranks run. Rank 0 alone prints on stdout.

    `told` returns the line and the exit status of the errors that a user can put right, and None for others.
    Raises UserError where mpiexec has started processes that cannot find each other.
    """
    try:
        ranks = found()
    except RuntimeError as error:
        if next((os.environ[each] for each in NUMBERS if each in os.environ), "0") != "0":
            return 2  # process 0 says it
        raise UserError(str(error)) from None
    if not isinstance(ranks, MPIRanks):
        return body(argv)
    if ranks.rank:
        silence()
    processes.announce(ranks)
    communicator = ranks.communicator.Dup()  # what ranks say of their errors meets no other message
    try:
        with beating(ranks, name):
            return body(argv)
    except BaseException as error:
        return end(name, ranks, communicator, failure_of(error, ranks.mpi.Exception, told))


def failure_of(error: BaseException, mpi_error: type[Exception], told: Told) -> Failure:
    """What to say of the error."""
    known = told(error)
    if known is not None:
        return Failure(*known)
    if isinstance(error, SystemExit):
        number = error.code if isinstance(error.code, int) else int(error.code is not None)
        return Failure(error.code if isinstance(error.code, str) else "", number)
    if isinstance(error, KeyboardInterrupt):
        return Failure("interrupted", INTERRUPTED)
    if isinstance(error, BrokenPipeError):  # the reader of the output left
        silence()
        return Failure("", 141)
    if isinstance(error, OSError):
        return Failure(": ".join(str(part) for part in (error.filename, error.strerror or error) if part), 2)
    if isinstance(error, mpi_error):
        what = " ".join(str(error).split())
        what = what if len(what) <= LONGEST else f"{what[:LONGEST]}…"
        return Failure(f"an exchange with the other ranks failed, one of them may be lost: {what}", LOST)
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return Failure(f"{type(error).__name__}: {error}", 1, trace)


def end(name: str, ranks: MPIRanks, communicator: Any, failure: Failure) -> int:
    """Return the exit status if all ranks have failed; else end all of them. Print what failed, once for all who fail alike."""
    digests = None
    with contextlib.suppress(ranks.mpi.Exception, KeyboardInterrupt):  # another Ctrl-C ends the wait
        digests = exchanged(ranks, communicator, failure.digest())
    if digests is None:
        # Ctrl-C is for all: a rank that hears of it first, while the others are in a call of MPI, does not name itself.
        tell(name, failure, "" if failure.status == INTERRUPTED else ranks.named(ranks.rank))
        if kept.stopped is not None:  # on a host without that folder it is said alone
            kept.keep(kept.stopped, f"{ranks.named(ranks.rank)}: {failure.message}")
        time.sleep(SPOKEN)
        ranks.abort(failure.status or 1)
    elif ranks.rank == 0:
        tell(name, failure)
    elif (digests[ranks.rank] != digests[0]).any():
        tell(name, failure, ranks.named(ranks.rank))
    return failure.status


def exchanged(ranks: MPIRanks, communicator: Any, own: Any) -> Any:
    """The digests of the failures of all ranks (ranks, 32); None if one has not failed within WAIT seconds."""
    digests = np.empty((ranks.size, own.size), np.uint8)
    request = communicator.Iallgather(own, digests)
    until = time.monotonic() + WAIT
    while not request.Test():
        if time.monotonic() > until:
            return None
        time.sleep(0.002)
    return digests


def tell(name: str, failure: Failure, who: str = "") -> None:
    """Print the failure on stderr: in a line, or its traceback under a line."""
    named = f"{who}: " if who else ""
    if failure.trace:
        with contextlib.suppress(OSError):
            print(f"{name}: {named}an error of the program\n{failure.trace}", end="", file=sys.stderr, flush=True)
    elif failure.message:
        fail(name, named + failure.message, 0)
