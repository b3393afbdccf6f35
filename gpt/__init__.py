"""A GPT on tinytensor, of characters or larger tokens: `from gpt import GPT, GPTConfig, load`.

python -m gpt.train       trains a model and leaves a run folder
python -m gpt.prepare     makes a corpus of texts that are larger than memory
python -m gpt.generate    writes text with the model of a run
python -m gpt.evaluate    measures the loss of a run over the whole validation split
python -m gpt.figures     draws what a trained model does with a text
python -m gpt.learn       exercises: derivatives and tests to write, and a check of each
python -m gpt.museum      trains with a classic mistake, and shows what it does
python -m gpt.export      writes a run as a folder that Hugging Face's transformers loads

Each explains its flags with --help.

The files of this folder are the ones to read. gpt/run has what is around the training loop, gpt/fast the fast paths,
gpt/hf models of Hugging Face.
"""

import sys

if sys.argv[:1] == ["-m"]:  # python -m gpt.NAME: Ctrl-C ends it quietly, also while it still imports
    import tinytensor.ctrl_c  # noqa: F401

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpt.bigram import Bigram
    from gpt.completion import complete, stream
    from gpt.config import GPTConfig
    from gpt.model import GPT
    from gpt.trained import load

__all__ = ["GPT", "Bigram", "GPTConfig", "complete", "load", "stream"]

_HOMES = {
    "GPT": "model", "Bigram": "bigram", "GPTConfig": "config", "load": "trained", "complete": "completion",
    "stream": "completion",
}  # fmt: skip


def __getattr__(name: str) -> object:
    """Import a name when it is first used, so that --help does not wait for the engine."""
    if name not in _HOMES:
        raise AttributeError(f"module 'gpt' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"gpt.{_HOMES[name]}"), name)
