"""Characters as tokens: token i is the i-th character of the corpus in code point order."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from gpt.errors import UserError


def code_points(text: str) -> NDArray[np.uint32]:
    """Return the numbers of the characters, (N,), as an array: NumPy works on it without a Python loop."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


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
        """Return the ids (N,) of the text. Raises UserError, which names them, for characters outside the vocabulary."""
        points = code_points(text)
        ids = np.searchsorted(self._points, points).clip(max=self.vocab_size - 1)
        unknown = self._points[ids] != points
        if unknown.any():
            names = [repr(chr(point)) for point in np.unique(points[unknown])]
            more = f" and {len(names) - 8} more" if len(names) > 8 else ""
            plural = "s" if len(names) > 1 else ""
            raise UserError(
                f"{what} has the character{plural} {', '.join(names[:8])}{more}, which the model's "
                f"vocabulary of {self.vocab_size} characters does not have: {self.characters!a}"
            )
        return ids.astype(np.int64)

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
