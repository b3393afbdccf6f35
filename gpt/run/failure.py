"""failure.txt: the error that stopped a training, in a line, for who looks at the run later."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from gpt.errors import UserError
from gpt.run import files

NAME = "failure.txt"
LONGEST = 4096  # bytes
stopped: Path | None = None  # the run that an error has stopped in this process


@contextlib.contextmanager
def kept(run: Path, first: bool = True) -> Iterator[None]:
    """A context that keeps a UserError in RUN/failure.txt while it passes on. An older one goes first.

    Of several ranks the `first` does that. An error of one rank alone is kept where it is said (gpt/ranks/failing.py).
    """
    global stopped
    stopped = None
    if first:
        with contextlib.suppress(OSError):
            files.remove(run / NAME)
    try:
        yield
    except Exception as error:
        stopped = run
        if first and isinstance(error, UserError):
            keep(run, str(error))
        raise


def keep(run: Path, message: str) -> None:
    """Write the message into RUN/failure.txt, if the system allows it: disk or memory may be what is wrong."""
    with contextlib.suppress(OSError, MemoryError):
        files.write(run / NAME, message[: LONGEST // 4] + "\n")


def read(run: Path) -> str:
    """Return the error that stopped the run last; "" if none did."""
    if not files.exists(run / NAME):
        return ""
    return " ".join(files.read(run / NAME, LONGEST).decode(errors="replace").split())
