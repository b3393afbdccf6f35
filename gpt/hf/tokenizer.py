"""The tokenizer of a model folder."""

from __future__ import annotations

from gpt.hf.hub import ModelFolder
from gpt.tokenizers import Tokenizer


def read(folder: ModelFolder, vocab_size: int) -> Tokenizer | None:
    """Return the tokenizer of the folder; None if it has no files of one."""
    return None


def written(tokenizer: Tokenizer, context: int) -> dict[str, str]:
    """Return the files of the tokenizer, by their names."""
    return {}
