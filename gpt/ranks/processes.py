"""Which process is which rank: what gpt.launch knows of the ranks that it has started.

MPICH says of a process that died its number and host, and not its rank. So rank 0 writes a table of them, where gpt.launch
asks for it by an environment variable.
"""

from __future__ import annotations

import contextlib
import json
import os
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
