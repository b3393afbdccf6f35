"""python -m reference_torch: which commands there are."""

from __future__ import annotations

import sys

from gpt.cli import command, overview

COMMANDS = {
    "reference_torch.train": "train with PyTorch as gpt.train does",
    "reference_torch.lockstep": "train with both engines at once, and compare every tensor",
}


@command("reference_torch")
def main(argv: list[str]) -> int:
    return overview("reference_torch", COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main())
