"""failure.txt: the error that stopped a training, in a line, for who looks at the run later."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from gpt.errors import UserError
from gpt.run import files

NAME = "failure.txt"
LONGEST = 4096  # bytes


@contextlib.contextmanager
def kept(run: Path) -> Iterator[None]:
    """A context that keeps a UserError in RUN/failure.txt while it passes on. An older one goes first."""
    with contextlib.suppress(OSError):
        files.remove(run / NAME)
    try:
        yield
    except UserError as error:
        with contextlib.suppress(OSError):  # the disk may be what is wrong
            files.write(run / NAME, str(error)[: LONGEST // 4] + "\n")
        raise


def read(run: Path) -> str:
    """Return the error that stopped the run last; "" if none did."""
    if not files.exists(run / NAME):
        return ""
    return " ".join(files.read(run / NAME, LONGEST).decode(errors="replace").split())
