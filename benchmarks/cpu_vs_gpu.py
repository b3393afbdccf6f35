"""The training step on the CPU beside the GPU: what is missing for it, where something is.

python -m benchmarks.cpu_vs_gpu
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from gpt.errors import UserError


def _main(argv: list[str]) -> int:
    from gpt.cli import Parser
    from tinytensor import backend

    Parser("benchmarks.cpu_vs_gpu", __doc__ or "").parse_args(argv)
    try:
        backend.cupy()
    except RuntimeError as error:
        raise UserError(str(error)) from None
    print("benchmarks.cpu_vs_gpu: there is a GPU and CuPy, and nothing that is measured on them yet")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command: 2, with one line that says what is missing, where there is no GPU."""
    from gpt.cli import command

    return command("benchmarks.cpu_vs_gpu")(_main)(argv)


if __name__ == "__main__":
    sys.exit(main())
