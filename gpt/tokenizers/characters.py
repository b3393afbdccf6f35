"""Characters as tokens: token i is the i-th character of the corpus in code point order."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpt.errors import UserError
from gpt.tokenizers import library
from gpt.tokenizers.base import Tokenizer, pieces

SHOWN = 8  # characters that an error names
PLAIN = str.maketrans("“”„«»‘’‚—–−…", '"' * 5 + "'" * 3 + "---.")  # quotes, dashes and dots
KIRAT_RAI = "\U00016d67\U00016d68"  # letters that others end in, though they are no marks


def code_points(text: str) -> NDArray[np.uint32]:
    """Return the numbers of the characters, (N,), as an array: NumPy works on it without a Python loop."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def relatives(character: str) -> str:
    """Return the characters that a reader may take in its place: plainer, without accents, in the other case."""
    plain = unicodedata.normalize("NFKD", character.translate(PLAIN))
    return plain + plain.swapcase() + character.swapcase()


def continues(character: str) -> bool:
    """Return whether the character may be one with those before it: an accent, the rest of a syllable of Hangul, …

    Unicode normalizes no text across any other character, so the parts between may be normalized one by one.
    """
    return unicodedata.category(character)[0] == "M" or "\u1160" <= character <= "\u11ff" or character in KIRAT_RAI


def first_of(characters: list[str], text: str) -> int:
    """Return the offset of the first of the characters in the text, where it may stand as letter and accent."""
    apart = [form for c in characters if len(form := unicodedata.normalize("NFD", c)) > 1]
    found = re.search("|".join([f"[{re.escape(''.join(characters))}]", *map(re.escape, apart)]), text)
    return found.start() if found else 0


class CharTokenizer(Tokenizer):
    """`encode` maps text to ids (N,), `decode` maps them back.

    >>> tokenizer = CharTokenizer.from_text("hello")
    >>> tokenizer.characters, tokenizer.encode("hole").tolist(), tokenizer.decode([1, 0, 2, 2, 3])
    ('ehlo', [1, 3, 2, 0], 'hello')
    """

    name = "chars"
    unit = "characters"

    def __init__(self, characters: str) -> None:
        points = code_points(characters)
        if not len(points) or not np.all(points[:-1] < points[1:]):
            raise UserError("a vocabulary is a text of different characters in code point order")
        self.characters = characters
        self._points = points

    @classmethod
    def from_text(cls, text: str) -> CharTokenizer:
        """Make a tokenizer of all characters that occur in the text."""
        seen = np.zeros(sys.maxunicode + 1, np.bool_)
        for piece in pieces(len(text)):
            seen[code_points(text[piece])] = True
        return cls("".join(map(chr, np.flatnonzero(seen))))

    @property
    def vocab_size(self) -> int:
        return len(self.characters)

    def encode(self, text: str, what: str = "the text", small: bool = False) -> NDArray[np.integer]:
        """Return the ids (N,) of the text: int64, or if `small` the smallest unsigned type that has them all.

        An é may be one character or two, e and an accent. Where the vocabulary lacks one form, this takes the other.
        Raises UserError, which names them, for characters outside the vocabulary.
        """
        as_given, ids = text, self._find(text)
        if ids is None:
            text = self._respelt(text)
            ids = self._find(text)
        if ids is None:
            raise UserError(self._refusal(what, sorted(set(text) - set(self.characters)), as_given))
        return ids if small else ids.astype(np.int64)

    def encode_each(self, texts: list[str]) -> NDArray[np.integer]:
        """Return the ids of the texts, one after the other, in the smallest type. Each is spelt on its own."""
        ids = self._find("".join(texts))  # no spelling is in question: many short texts take one look-up
        return np.concatenate([self.encode(text, small=True) for text in texts]) if ids is None else ids

    @cached_property
    def _table(self) -> NDArray[np.int32]:
        """The id of each code point; -1 for those that have none, and for all that come after the last."""
        table = np.full(int(self._points[-1]) + 2, -1, np.int32)
        table[self._points] = np.arange(self.vocab_size)
        return table

    def _find(self, text: str) -> NDArray[np.integer] | None:
        """Return the ids of the characters; None if the vocabulary lacks one."""
        table, last = self._table, int(self._points[-1])
        ids = np.empty(len(text), np.min_scalar_type(self.vocab_size))
        for piece in pieces(len(text)):
            found = table[np.minimum(code_points(text[piece]), last + 1)]
            if found.min() < 0:
                return None
            ids[piece] = found
        return ids

    def _respelt(self, text: str) -> str:
        """Return the text with letter and accent in one character, or in two where the vocabulary has only these.

        Only an unknown character changes, with the letter and the accents beside it: the ids of what is known do not
        depend on what else is in the text.
        """
        known, at = set(self.characters), 0
        parts: list[str] = []
        for found in re.finditer(f"[{re.escape(''.join(set(text) - known))}]", text):
            start, end = found.span()
            if start < at:
                continue  # it was beside the one before
            while start > at and continues(text[start]):
                start -= 1
            while end < len(text) and continues(text[end]):
                end += 1
            composed = unicodedata.normalize("NFC", text[start:end])
            apart = {c: unicodedata.normalize("NFD", c) for c in set(composed) - known}
            respelt = composed.translate({ord(c): two for c, two in apart.items() if known.issuperset(two)})
            parts += text[at:start], respelt
            at = end
        return "".join([*parts, text[at:]])

    def _refusal(self, what: str, unknown: list[str], text: str) -> str:
        names = ", ".join(map(repr, unknown[:SHOWN])) + (f" and {len(unknown) - SHOWN} more" if unknown[SHOWN:] else "")
        near = dict.fromkeys(c for u in unknown[:SHOWN] for c in relatives(u) if c in self.characters)
        advice = f"near it has {', '.join(map(repr, near))}" if near else f"leave {'them' if unknown[1:] else 'it'} out"
        place = (
            f"{' (the first' if unknown[1:] else ''} at offset {first_of(unknown, text):,}{')' if unknown[1:] else ''}"
        )
        return (
            f"{what} has the character{'s' * (len(unknown) > 1)} {names}{place}, which the model's vocabulary of "
            f"{self.vocab_size} characters does not have; {advice}"
        )

    def bytes_of(self, token: int) -> bytes:
        return self.characters[token].encode("utf-8", "surrogatepass")

    def decode(self, ids: Iterable[int]) -> str:
        return "".join(self.characters[i] for i in ids)

    def to_json(self) -> dict[str, str]:
        return {"type": "characters", "characters": self.characters}

    def to_library(self) -> dict[str, Any]:
        return library.whole_tokens({character: i for i, character in enumerate(self.characters)})

    @classmethod
    def from_json(cls, value: object) -> CharTokenizer:
        """Invert `to_json`. Raises UserError for anything else."""
        if isinstance(value, dict) and value.get("type") == "characters":
            characters = value.get("characters")
            if isinstance(characters, str):
                return cls(characters)
        raise UserError('a tokenizer is stored as {"type": "characters", "characters": "..."}')
