"""Tokenizers by their names.

base         what each of them does
characters   a token for each character of the training text
utf8         a token for each value of a byte
bpe          a token for each byte and for each piece of text that is frequent: byte-pair encoding
foreign      tokenizers from elsewhere: GPT-2's, files of the tokenizers library
folders      the reader of a folder that has such files
"""

from __future__ import annotations

from gpt.errors import UserError
from gpt.tokenizers.base import Tokenizer
from gpt.tokenizers.bpe import BPETokenizer, learn
from gpt.tokenizers.characters import CharTokenizer
from gpt.tokenizers.folders import named
from gpt.tokenizers.foreign import from_library
from gpt.tokenizers.utf8 import ByteTokenizer

__all__ = ["BPETokenizer", "ByteTokenizer", "CharTokenizer", "Tokenizer", "from_json", "from_library", "make", "named"]


def make(name: str, text: str, cut: int | None = None) -> Tokenizer:
    """Return the tokenizer that --tokenizer names (TOKENIZER in gpt/config.py), for a text.

    It has all characters of the text. It learns byte pairs from the first `cut` ones alone, those to train on.
    """
    kind, _, which = name.partition(":")
    if kind == "bpe":
        tokenizer = BPETokenizer(learn(text[:cut], int(which)))
        if (found := tokenizer.vocab_size) < int(which):
            advice = f"take bpe:{found} at most, or a longer text" if found > 256 else "take a longer text, or bytes"
            raise UserError(f"--tokenizer {name}: only {found - 256} pairs of the training text occur twice; {advice}")
        return tokenizer
    return CharTokenizer.from_text(text) if name == "chars" else named(name)


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
