"""Tokenizers by their names.

base         what each of them does
characters   a token for each character of the training text
utf8         a token for each value of a byte
bpe          a token for each byte and for each piece of text that is frequent: byte-pair encoding
foreign      tokenizers from elsewhere: GPT-2's, files of the tokenizers library
"""

from __future__ import annotations

from gpt.errors import UserError
from gpt.tokenizers.base import Tokenizer
from gpt.tokenizers.bpe import BPETokenizer
from gpt.tokenizers.characters import CharTokenizer
from gpt.tokenizers.foreign import from_library
from gpt.tokenizers.utf8 import ByteTokenizer

__all__ = ["BPETokenizer", "ByteTokenizer", "CharTokenizer", "Tokenizer", "from_json", "from_library", "make"]


def make(name: str, text: str) -> Tokenizer:
    """Return the tokenizer that --tokenizer names, for a training text."""
    return CharTokenizer.from_text(text) if name == "chars" else ByteTokenizer()


def from_json(value: object) -> Tokenizer:
    """Invert `to_json`. Raises UserError for anything else."""
    kind = value.get("type") if isinstance(value, dict) else None
    if value == {"type": "bytes"}:
        return ByteTokenizer()
    if kind == "characters":
        return CharTokenizer.from_json(value)
    if kind == "bpe":
        return BPETokenizer.from_json(value)
    raise UserError('a tokenizer is stored as {"type": "characters", …}, {"type": "bytes"} or {"type": "bpe", …}')
