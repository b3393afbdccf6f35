"""A check in a process of its own: it ends after a time, whatever the reader's file does, and with it ends no other."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator

from gpt.learn.exercise import Report

MEMORY = 4 << 30  # bytes that a check may ask for
GRACE = 30.0  # seconds more, in which a process ends by itself: it starts, and it says where it was


def check_apart(name: str, text: str, seed: int, seconds: float) -> Report:
    """Check the text in a new process, for so many seconds at most."""
    flags = ["--in-process", "--json", f"--seed={seed}", f"--seconds={seconds}"]
    line = [sys.executable, "-m", "gpt.learn", "check", name, "-", *flags]
    limited = limit_memory if os.name == "posix" else None
    try:
        done = subprocess.run(line, input=text.encode("utf-8", "surrogatepass"), capture_output=True, timeout=seconds + GRACE,
                              env={**os.environ, "OPENBLAS_NUM_THREADS": "1"}, preexec_fn=limited)  # fmt: skip
    except subprocess.TimeoutExpired:
        return Report(name, False, [f"{name}: not yet", f"  stopped after {seconds:g} seconds"])
    with contextlib.suppress(ValueError, KeyError, TypeError, IndexError):
        found = json.loads(done.stdout.decode("utf-8", "replace").splitlines()[-1])
        return Report(
            found["name"], found["passed"] is True and done.returncode == 0, [str(line) for line in found["lines"]]
        )
    said = done.stderr.decode("utf-8", "replace")
    return Report(
        name, False, [f"{name}: not yet", *(f"  {line}" for line in ended(name, text, said, done.returncode, seconds))]
    )


def ended(name: str, text: str, said: str, status: int, seconds: float) -> list[str]:
    """What became of a process that ended without a report."""
    if "Timeout (" not in said:
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        last = said.strip().splitlines()[-1:]
        return [f"the file ended its process {how}, without a result", *(f"    {line}" for line in last)]
    found = re.search(rf'File "{re.escape(name)}\.py", line (\d+)', said)
    if found is None:
        return [f"stopped after {seconds:g} seconds; --seconds gives it more"]
    line = int(found[1])
    source = text.splitlines()[line - 1].strip() if line <= len(text.splitlines()) else ""
    where = f"stopped after {seconds:g} seconds, in line {line}: does a loop never end? (--seconds gives it more)"
    return [where, f"    {source}"]


@contextlib.contextmanager
def ending_after(seconds: float) -> Iterator[None]:
    """End this process if what is inside takes longer, with a traceback on stderr that says where it was."""
    if sys.__stderr__ is None:
        yield
        return
    faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def limit_memory() -> None:
    """Let this process ask for no more than MEMORY: a list that grows for ever ends in a MemoryError."""
    import resource

    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
