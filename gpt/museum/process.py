"""Processes that have a bug: their command line, and how the museum runs one and waits for it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence

START = "from gpt.museum.child import main; main()"
LOOK = 0.2  # seconds between two looks at how far a run is


def command(name: str, program: str, arguments: Sequence[str]) -> list[str]:
    """Return the command line of a process that runs the program with that bug, or with none for ""."""
    return [sys.executable, "-c", START, name, program, *arguments]


def run(line: Sequence[str], look: Callable[[], None] = lambda: None) -> tuple[int, str, str]:
    """Run a program to its end; call `look` now and then. Return its exit status, its output, and why it failed, or ""."""
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as output,
        tempfile.TemporaryFile("w+", encoding="utf-8") as errors,
        subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=output, stderr=errors) as process,
    ):
        try:
            while process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(LOOK)
                look()
        except BaseException:  # Ctrl-C reaches the program as well, unless it comes from elsewhere
            process.kill()
            raise
        output.seek(0)
        errors.seek(0)
        return process.returncode, output.read(), reason(errors.read(), process.returncode)


def reason(errors: str, status: int) -> str:
    """Return the last line of what a program wrote on stderr, without its name; "" if it succeeded."""
    if not status:
        return ""
    lines = errors.strip().splitlines() or [f"exit status {status}"]
    name, colon, rest = lines[-1].partition(": ")
    return rest if colon and name.startswith("gpt.") else lines[-1]


def become(line: Sequence[str]) -> int:
    """Run a program in the place of this process, which has its terminal, its signals and its exit status."""
    if os.name == "posix":
        sys.stdout.flush()
        os.execv(line[0], list(line))
    with subprocess.Popen(line) as process:  # elsewhere a shell would not wait for it
        while True:
            with contextlib.suppress(KeyboardInterrupt):  # for the program, which saves and stops
                return process.wait()
