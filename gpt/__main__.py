"""python -m gpt: which commands there are."""

from __future__ import annotations

import sys

from gpt.cli import command
from gpt.errors import UserError

COMMANDS = {
    "gpt.train": "train a model; leaves a run folder",
    "gpt.generate": "write text with the model of a run",
    "gpt.evaluate": "measure the loss of a run over the whole validation split",
}


@command("gpt")
def main(argv: list[str]) -> int:
    if argv and argv[0] not in ("-h", "--help"):
        name = f"gpt.{argv[0]}" if f"gpt.{argv[0]}" in COMMANDS else "gpt.train"
        raise UserError(f"there is no command {argv[0]!r}: python -m {name} is one, python -m gpt lists them all")
    print("Commands; each explains its flags with --help:\n")
    for name, text in COMMANDS.items():
        print(f"  python -m {name:<14}{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
