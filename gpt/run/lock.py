"""One process at a time works in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gpt.errors import UserError
from gpt.run import files

LOCK = ".lock"


@contextmanager
def locked(run: Path, doing: str = "training") -> Iterator[None]:
    """Hold RUN/.lock in this context. The system frees it when the process ends, even by a crash.

    Raises UserError if another process holds it. Does nothing where the system has no such locks.
    """
    descriptor = files.opened(run / LOCK)
    try:
        if os.name == "posix":
            from fcntl import LOCK_EX, LOCK_NB, flock

            try:
                flock(descriptor, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"another process is {doing} in {run}; wait until it ends, or take another folder"
                ) from None
            except OSError:  # a file system without locks
                pass
        yield
    finally:
        os.close(descriptor)
