"""A trained model as a folder of Hugging Face's transformers.

    python -m gpt.export RUN DIR [--last]

AutoModelForCausalLM.from_pretrained("DIR") then loads the model, AutoTokenizer.from_pretrained("DIR") its tokenizer, and
`hf:DIR` names it here: it comes back bit for bit.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from gpt import cli
from gpt.cli import Parser, command, note, say
from gpt.hf import config, export
from gpt.trained import find


@command("gpt.export")
def main(argv: list[str]) -> int:
    parser = Parser("gpt.export", "Write a trained model as a folder that Hugging Face's transformers loads.")
    parser.add_argument(
        "run", metavar="RUN", type=cli.trained, help="a folder that gpt.train made, or hf:FOLDER, hf:NAME"
    )
    parser.add_argument(
        "folder", metavar="DIR", type=cli.path, help="the folder to write; it must not be there, or be empty"
    )
    parser.add_argument("--last", action="store_true",
                        help="take the last weights (default: the best, with the lowest validation loss)")  # fmt: skip
    options = parser.parse_args(argv)
    folder: Path = options.folder

    found = find(options.run, options.last, "gpt.export")
    kind = config.kind_of(found.config)
    export.check_target(folder)
    export.write(folder, found.model("cpu"), replace(found.config, device="cpu"), found.tokenizer)
    say(f"{folder}: {found.said}, as {kind}")
    if found.refusal is not None:
        note("gpt.export", f"without the tokenizer: {found.refusal}")
    words = "" if found.tokenizer is None else f', AutoTokenizer.from_pretrained("{folder}")'
    say(f'load it with    AutoModelForCausalLM.from_pretrained("{folder}"){words}')
    say(f"or here         python -m gpt.generate {cli.word(f'hf:{folder}')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
