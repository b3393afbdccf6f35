"""Which process is which rank: what gpt.launch knows of the ranks that it has started.

MPICH says of a process that died its number and host, and not its rank. So rank 0 writes a table of them, where gpt.launch
asks for it by an environment variable.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from tinytensor.distributed.ranks import Ranks

VARIABLE = "GPT_LAUNCH_PROCESSES"  # the path of the table


class Process(NamedTuple):
    """A process of the system, and the rank that it is."""

    rank: int
    host: str
    pid: int


def announce(ranks: Ranks) -> None:
    """Write the table, if the process that started the ranks asks for it. All ranks call this."""
    path = os.environ.get(VARIABLE)
    if not any(ranks.collect(path)):  # some MPIs pass no variables to other hosts
        return
    pids = ranks.collect(os.getpid())
    if ranks.rank == 0 and path:
        rows = [Process(rank, host, pid) for rank, (host, pid) in enumerate(zip(ranks.hosts, pids))]
        with contextlib.suppress(OSError):  # rank 0 is on a host that does not have the folder
            Path(path).write_text(json.dumps(rows), "utf-8")


def read(path: Path) -> list[Process]:
    """The processes of the table; none if there is no such file, or it is not complete yet."""
    try:
        return [Process(*row) for row in json.loads(path.read_text("utf-8"))]
    except (OSError, ValueError):
        return []


def is_alive(pid: int) -> bool:
    """Whether there is such a process on this host."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of somebody else, who has got the number since
        return False
    return True


def wait_for(pids: Iterable[int], seconds: float) -> None:
    """Wait until these processes of this host have ended. Kill those that are left after so many seconds."""
    left, until = list(pids), time.monotonic() + seconds
    while left := [pid for pid in left if is_alive(pid)]:
        if time.monotonic() > until:
            for pid in left:
                with contextlib.suppress(OSError):
                    os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))
            return
        time.sleep(0.02)


def first_to_end(pids: Iterable[int], over: Callable[[], bool]) -> set[int]:
    """Wait until one of these processes of this host has ended, or over() is true, and return those that have.

    An empty set where the system cannot tell (all but Linux), or one had ended before the call.
    """
    if not hasattr(os, "pidfd_open"):
        return set()
    with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
        poll, opened = select.poll(), {}
        for pid in pids:
            descriptor = os.pidfd_open(pid)
            stack.callback(os.close, descriptor)
            opened[descriptor] = pid
            poll.register(descriptor, select.POLLIN)
        while not over():
            if ended := poll.poll(200):
                return {opened[descriptor] for descriptor, _ in ended}
    return set()
