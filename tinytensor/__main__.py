"""Run a script written for PyTorch on tinytensor: python -m tinytensor script.py [its arguments]"""

from __future__ import annotations

import os
import runpy
import sys

from tinytensor.compat.as_torch import install


def main() -> None:
    """Let `import torch` return tinytensor, and run the script as __main__."""
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        raise SystemExit(0 if len(sys.argv) > 1 else 2)
    script = sys.argv[1]
    if not os.path.isfile(script):
        print(f"tinytensor: there is no script {script!r}", file=sys.stderr)
        raise SystemExit(2)
    install()
    sys.argv = sys.argv[1:]
    sys.path[0] = os.path.dirname(os.path.abspath(script))
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
