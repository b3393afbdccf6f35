"""The `tokenizers` library: the content of its files, and its speed for a long text where it is installed.

Source: huggingface.co/docs/tokenizers; a `tokenizer.json` has a part for each step, from the text to the ids and back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from gpt.tokenizers.words import SPACE, pattern

LONG = 1 << 16  # characters of a text for which the library is asked
PIECE, PIECES = 1 << 16, 64  # characters of a piece, more or less, and pieces that its threads share


def file(pre_tokenizer: Any, decoder: Any, model: Any, special: Mapping[str, int]) -> dict[str, Any]:
    """Return the content of a `tokenizer.json`."""
    as_it_is = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added = [{"id": i, "content": text, **as_it_is} for text, i in sorted(special.items(), key=lambda item: item[1])]
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
        "pre_tokenizer": pre_tokenizer, "post_processor": None, "decoder": decoder, "model": model,
    }  # fmt: skip


def byte_level(vocabulary: dict[str, int], merges: list[str], special: Mapping[str, int], cut: bool) -> dict[str, Any]:
    """Return the file of a tokenizer of bytes, shown as in gpt/tokenizers/words.py; `cut` as GPT-2 cuts into words."""
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": cut}
    model = {
        "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
        "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
        "vocab": {**vocabulary, **special}, "merges": merges,
    }  # fmt: skip
    return file(level, level, model, special)


def whole_tokens(vocabulary: dict[str, int]) -> dict[str, Any]:
    """Return the file of a tokenizer of characters: each is a word, and a word is a token. It refuses unknown ones."""
    each = {"type": "Split", "pattern": {"Regex": r"[\s\S]"}, "behavior": "Isolated", "invert": False}
    unknown = "a character that is none of these"  # the library wants a name for it; as no token has it, it refuses
    model = {"type": "WordLevel", "vocab": vocabulary, "unk_token": unknown}
    return file(each, {"type": "Fuse"}, model, {})


class Encoder:
    """encoder(text) -> the ids of a long text by the library, those of `made`; None for a short one, or without the library.

    Its threads take pieces of the text. Where its Unicode is of another year than Python's, a character of the text may be
    a letter for one of them alone: then the answer is None as well, so that the ids never depend on the library.
    """

    def __init__(self, made: Callable[[], dict[str, Any]]) -> None:
        self._made = made
        self._tokenizer: Any = None

    def __call__(self, text: str) -> Iterator[int] | None:
        return self._ids(text) if len(text) >= LONG and self._is_there() and self._agrees(text) else None

    def each(self, texts: Sequence[str]) -> list[list[int]] | None:
        """Return the ids of each text, if together they are long; else None, as encoder(text) does."""
        if sum(map(len, texts)) < LONG or not self._is_there() or not self._agrees("".join(texts)):
            return None
        parts = [list(cut(text)) for text in texts]
        encodings = iter(self._encoded([part for pieces in parts for part in pieces]))
        return [[i for _ in pieces for i in next(encodings).ids] for pieces in parts]

    def _encoded(self, pieces: list[str]) -> list[Any]:
        encode = getattr(
            self._tokenizer, "encode_batch_fast", self._tokenizer.encode_batch
        )  # older ones lack the first
        found: list[Any] = encode(pieces, add_special_tokens=False)
        return found

    def _is_there(self) -> bool:
        """Return whether the library is installed; then make its tokenizer."""
        try:
            import tokenizers
        except ImportError:
            return False
        if self._tokenizer is None:
            content = {**self._made(), "added_tokens": []}  # who calls this has looked for the special ones
            self._tokenizer = tokenizers.Tokenizer.from_str(json.dumps(content))
        return True

    def _agrees(self, text: str) -> bool:
        """Return whether every character is to the library what it is here: a letter, a number, a space or none of them."""
        probe = "".join(f"a{character}1!{character}" for character in sorted(set(text)))
        theirs = [part for _, part in self._tokenizer.pre_tokenizer.pre_tokenize_str(probe)]
        return theirs == [match.span() for match in pattern().finditer(probe)]

    def _ids(self, text: str) -> Iterator[int]:
        pieces = cut(text)
        while some := list(islice(pieces, PIECES)):
            for encoding in self._encoded(some):
                yield from encoding.ids


def cut(text: str) -> Iterator[str]:
    """Yield pieces of the text. A space after another character begins a piece, as it always begins a word."""
    place, start = re.compile(f"(?<=[^{SPACE}])[{SPACE}]"), 0
    while start < len(text):
        found = place.search(text, start + PIECE)
        end = found.start() if found else len(text)
        yield text[start:end]
        start = end
