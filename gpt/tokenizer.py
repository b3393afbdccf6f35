"""Characters as tokens: token i is the i-th character of the corpus in code point order."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from gpt.errors import UserError

SHOWN = 8  # characters that an error names
PLAIN = str.maketrans("“”„«»‘’‚—–−…", '"' * 5 + "'" * 3 + "---.")  # quotes, dashes and dots


def code_points(text: str) -> NDArray[np.uint32]:
    """Return the numbers of the characters, (N,), as an array: NumPy works on it without a Python loop."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def relatives(character: str) -> str:
    """Return the characters that a reader may take in its place: plainer, without accents, in the other case."""
    plain = unicodedata.normalize("NFKD", character.translate(PLAIN))
    return plain + plain.swapcase() + character.swapcase()


class CharTokenizer:
    """`encode` maps text to ids (N,) int64, `decode` maps them back.

    >>> tokenizer = CharTokenizer.from_text("hello")
    >>> tokenizer.characters, tokenizer.encode("hole").tolist(), tokenizer.decode([1, 0, 2, 2, 3])
    ('ehlo', [1, 3, 2, 0], 'hello')
    """

    def __init__(self, characters: str) -> None:
        points = code_points(characters)
        if not len(points) or not np.all(points[:-1] < points[1:]):
            raise UserError("a vocabulary is a text of different characters in code point order")
        self.characters = characters
        self._points = points

    @classmethod
    def from_text(cls, text: str) -> CharTokenizer:
        """Make a tokenizer of all characters that occur in the text."""
        return cls("".join(map(chr, np.unique(code_points(text)))))

    @property
    def vocab_size(self) -> int:
        return len(self.characters)

    def encode(self, text: str, what: str = "the text") -> NDArray[np.int64]:
        """Return the ids (N,) of the text. Raises UserError, which names them, for characters outside the vocabulary.

        An é may be one character or two, e and an accent. Where the vocabulary lacks one form, this takes the other.
        """
        ids, unknown = self._find(text)
        if unknown.any():
            text = self._respelt(text)
            ids, unknown = self._find(text)
        if unknown.any():
            raise UserError(self._refusal(what, [chr(point) for point in np.unique(code_points(text)[unknown])]))
        return ids.astype(np.int64)

    def _find(self, text: str) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Return the ids of the characters, and which of them are wrong, since the vocabulary lacks the character."""
        points = code_points(text)
        ids = np.searchsorted(self._points, points).clip(max=self.vocab_size - 1)
        return ids, self._points[ids] != points

    def _respelt(self, text: str) -> str:
        """Return the text with letter and accent in one character, or in two where the vocabulary has only these."""
        known, composed = set(self.characters), unicodedata.normalize("NFC", text)
        parts = {c: unicodedata.normalize("NFD", c) for c in set(composed) - known}
        return composed.translate({ord(c): two for c, two in parts.items() if known.issuperset(two)})

    def _refusal(self, what: str, unknown: list[str]) -> str:
        names = ", ".join(map(repr, unknown[:SHOWN])) + (f" and {len(unknown) - SHOWN} more" if unknown[SHOWN:] else "")
        near = dict.fromkeys(c for u in unknown[:SHOWN] for c in relatives(u) if c in self.characters)
        advice = f"near it has {', '.join(map(repr, near))}" if near else f"leave {'them' if unknown[1:] else 'it'} out"
        return (
            f"{what} has the character{'s' * (len(unknown) > 1)} {names}, which the model's vocabulary of "
            f"{self.vocab_size} characters does not have; {advice}"
        )

    def decode(self, ids: Iterable[int]) -> str:
        return "".join(self.characters[i] for i in ids)

    def to_json(self) -> dict[str, str]:
        return {"type": "characters", "characters": self.characters}

    @classmethod
    def from_json(cls, value: object) -> CharTokenizer:
        """Invert `to_json`. Raises UserError for anything else."""
        if isinstance(value, dict) and value.get("type") == "characters":
            characters = value.get("characters")
            if isinstance(characters, str):
                return cls(characters)
        raise UserError('a tokenizer is stored as {"type": "characters", "characters": "..."}')
