"""python -m gpt: which commands there are."""

from __future__ import annotations

import sys

from gpt.cli import command, overview

COMMANDS = {
    "gpt.train": "train a model; leaves a run folder",
    "gpt.launch": "train on several processes, and start them again when one is lost",
    "gpt.prepare": "make a corpus of texts of any size, which gpt.train reads without loading it",
    "gpt.generate": "write text with the model of a run",
    "gpt.evaluate": "measure the loss of a run over the whole validation split",
    "gpt.doctor": "say what is odd about a training, and what to try",
    "gpt.figures": "draw attention, logit lens, gradient and losses of a text, and the film of a training",
    "gpt.inspect": "write a page that shows what a model does with a text, forward and backward",
    "gpt.learn": "exercises: write a derivative, or a test that notices mistakes, and have it checked",
    "gpt.museum": "classic mistakes, each one line: what they do to a training, and a quiz",
    "gpt.export": "write a run as a folder that Hugging Face's transformers loads",
}


@command("gpt")
def main(argv: list[str]) -> int:
    return overview("gpt", COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main())
