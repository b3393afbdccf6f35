"""Tokenizers by their names.

base         what each of them does
characters   a token for each character of the training text
utf8         a token for each value of a byte
"""

from __future__ import annotations

from gpt.errors import UserError
from gpt.tokenizers.base import Tokenizer
from gpt.tokenizers.characters import CharTokenizer
from gpt.tokenizers.utf8 import ByteTokenizer

__all__ = ["ByteTokenizer", "CharTokenizer", "Tokenizer", "from_json", "make"]


def make(name: str, text: str) -> Tokenizer:
    """Return the tokenizer that --tokenizer names, for a training text."""
    return CharTokenizer.from_text(text) if name == "chars" else ByteTokenizer()


def from_json(value: object) -> Tokenizer:
    """Invert `to_json`. Raises UserError for anything else."""
    if isinstance(value, dict) and value == {"type": "bytes"}:
        return ByteTokenizer()
    if isinstance(value, dict) and value.get("type") == "characters":
        return CharTokenizer.from_json(value)
    raise UserError('a tokenizer is stored as {"type": "characters", …} or {"type": "bytes"}')
