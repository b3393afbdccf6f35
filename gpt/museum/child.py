"""The program of a process that has a bug: it switches the bug on, and then runs a program of gpt as `python -m` would.

    python -c "from gpt.museum.child import main; main()" NAME gpt.train --steps 100

NAME is that of a bug, or "" for none. This file, and what it imports, imports nothing that may have a bug.
"""

from __future__ import annotations

import signal
import sys
from importlib import import_module

from gpt.museum import BUGS
from gpt.museum.hook import switch_on


def main() -> None:
    """Run the program that the command line names, and exit with its status."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a traceback
    _, name, program, *arguments = sys.argv
    if name:
        switch_on(BUGS[name])
    sys.argv = [program, *arguments]
    sys.exit(import_module(program).main())
