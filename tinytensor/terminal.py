"""What all programs share on a terminal and in a pipe: Ctrl-C, a reader that left, characters that cannot be shown.

While a program is still imported, Ctrl-C is the subject of ctrl_c.py.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence

CLOSED = {"stdin": "r", "stdout": "w", "stderr": "w"}  # how to open os.devnull in the place of a closed stream


def set_ctrl_c(before: object, handler: Callable[..., object] | signal.Handlers) -> None:
    """Replace the action on Ctrl-C if it is `before`. It is not where a shell ignores the signal for a background job."""
    main_thread = threading.current_thread() is threading.main_thread()  # Python's rule for handlers
    if main_thread and signal.getsignal(signal.SIGINT) is before:
        signal.signal(signal.SIGINT, handler)


def program(name: str) -> Callable[[Callable[[list[str]], int]], Callable[..., int]]:
    """Make main(argv) a program that never shows a traceback for what happens around it.

    Without an argument it reads the command line. It returns the exit status: 130 after Ctrl-C, 141 where the reader
    of its output left, as `head` does, and 2 with the name of the file where the system refuses to read or write.
    """

    def decorate(body: Callable[[list[str]], int]) -> Callable[..., int]:
        @functools.wraps(body)
        def main(argv: Sequence[str] | None = None) -> int:
            if argv is not None:
                return guarded(name, body, list(argv))
            open_closed_streams()
            set_ctrl_c(signal.SIG_DFL, signal.default_int_handler)
            try:
                return guarded(name, body, sys.argv[1:])
            finally:
                set_ctrl_c(signal.default_int_handler, signal.SIG_DFL)  # Python's own end prints tracebacks, too

        return main

    return decorate


def guarded(name: str, body: Callable[[list[str]], int], argv: list[str]) -> int:
    """Return the exit status of body(argv), or of the error that stopped it."""
    try:
        try:  # at once: a Ctrl-C before it would show a traceback
            if hasattr(sys.stdout, "reconfigure"):  # a terminal may lack a text's characters
                sys.stdout.reconfigure(errors="backslashreplace")
            return body(argv)
        finally:  # after argparse's SystemExit as well: Python would flush later, and show a traceback
            if sys.stdout is not None:
                sys.stdout.flush()
    except KeyboardInterrupt:
        return fail(name, "interrupted", 130)
    except BrokenPipeError:
        silence()
        return 141
    except OSError as error:
        where = error.filename or ("" if writes() else "standard output")
        return fail(name, f"{where}: {error.strerror or error}" if where else f"{error.strerror or error}", 2)


def open_closed_streams() -> None:
    """Put os.devnull in the place of closed streams: else the next file that is opened gets the number of one."""
    for name, mode in CLOSED.items():
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  # for as long as the program runs


def writes() -> bool:
    """Return whether stdout takes what is printed. If not, e.g. on a full disk, throw away all that comes."""
    try:
        print(end="", flush=True)
    except OSError:
        silence()
        return False
    return True


def fail(name: str, message: str, status: int) -> int:
    """Print the message as one line on stderr, and return the status."""
    if sys.stderr is not None:  # else print would take stdout
        with contextlib.suppress(OSError):  # a terminal that was closed
            print(f"{name}: {' '.join(message.split())}", file=sys.stderr, flush=True)
    return status


def say(text: str) -> None:
    """Print at once. If the reader left, as `head` does, the program goes on without printing."""
    try:
        print(text, flush=True)
    except OSError:
        silence()


def silence() -> None:
    """Throw away everything that is printed from now on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
