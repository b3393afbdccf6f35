"""Ctrl-C while a program of ours is still imported: `python -m` shows no traceback for it.

`tinytensor/__init__.py` imports this file before all others, and it needs what is built into Python alone.
"""

import _signal  # type: ignore[import-not-found]  # what `signal` is made of: that imports more files, and each is time for a traceback
import sys

PACKAGES = ("tinytensor", "gpt", "reference_torch", "benchmarks")  # that have programs


def started(line: list[str]) -> str:
    """Return the module that this command line of Python runs with -m, or ""."""
    for word, following in zip(line[1:], [*line[2:], ""]):
        if word.startswith("-") and "m" in word and not word.startswith(("--", "-W", "-X")):
            return word.partition("m")[2] or following
    return ""


# While Python imports the package of the module that -m names, the first argument is still "-m".
begins = sys.argv[:1] == ["-m"] and started(sys.orig_argv).partition(".")[0] in PACKAGES
if begins and _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:  # a background job ignores Ctrl-C
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # the system ends the process: 130 for a shell
