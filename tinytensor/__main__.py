"""Run a script written for PyTorch on tinytensor: python -m tinytensor script.py [its arguments]"""

from __future__ import annotations

import os
import runpy
import signal
import sys

from tinytensor.compat.as_torch import install
from tinytensor.terminal import fail, program, set_ctrl_c

USAGE = "Run a script written for PyTorch on tinytensor: python -m tinytensor script.py [its arguments]"


@program("tinytensor")
def check(argv: list[str]) -> int:
    """Return 0 if argv names a script. Else say what is wrong, or print the help, and exit."""
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE)
        raise SystemExit(0 if argv else 2)
    if not os.path.isfile(argv[0]):
        return fail("tinytensor", f"there is no script {argv[0]!r}", 2)
    return 0


def main() -> None:
    """Let `import torch` return tinytensor, and run the script as __main__: as Python would, with its own errors."""
    if status := check():
        raise SystemExit(status)
    install()
    script = sys.argv[1]
    sys.argv = sys.argv[1:]
    sys.path[0] = os.path.dirname(os.path.abspath(script))
    set_ctrl_c(signal.SIG_DFL, signal.default_int_handler)
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
