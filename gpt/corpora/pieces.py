"""A text of any length in pieces that can be encoded one by one, and a sample of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from gpt.corpora.documents import Document
from gpt.tokenizers.words import SPACE

PIECE = 1 << 18  # characters of a piece, or a few more
LONGEST_WORD = 1 << 16  # characters in which a piece must find an end: a word that is longer may be cut
UNIT = 1 << 16  # characters that a sample has of one place
# A space after another character always begins a word of byte pairs (gpt/tokenizers/words.py): no merge crosses it.
PLACE = re.compile(f"(?<=[^{SPACE}])[{SPACE}]")


def pieces(texts: Iterable[str], size: int = PIECE) -> Iterator[str]:
    """Yield the text in pieces. Where they end depends on the whole text alone, not on how it comes in parts."""
    text = ""
    for part in texts:
        text, start = text + part, 0
        while len(text) - start > size + LONGEST_WORD:
            end = end_of(text, start, size)
            yield text[start:end]
            start = end
        text = text[start:]
    start = 0
    while start < len(text):
        end = end_of(text, start, size)
        yield text[start:end]
        start = end


def end_of(text: str, start: int, size: int) -> int:
    """Return where the piece that begins at `start` ends."""
    last = start + size + LONGEST_WORD
    found = PLACE.search(text, start + size, last)
    return found.start() if found else min(last, len(text))


class Section(Document):
    """The characters of a document from `start` to `stop`, None for its end."""

    def __init__(self, document: Document, start: int, stop: int | None) -> None:
        self.name, self._document, self._start, self._stop = document.name, document, start, stop

    def texts(self) -> Iterator[str]:
        at = 0
        for text in self._document.texts():
            stop = len(text) if self._stop is None else self._stop - at
            if part := text[max(0, self._start - at) : max(0, stop)]:
                yield part
            at += len(text)
            if self._stop is not None and at >= self._stop:
                break


class Beginning(Document):
    """The first `limit` bytes of a document in UTF-8, cut between characters. `size` is what it had when it was last read."""

    def __init__(self, document: Document, limit: int) -> None:
        self.name, self.size, self._document, self._limit = document.name, 0, document, limit

    def texts(self) -> Iterator[str]:
        size = 0
        for text in self._document.texts():
            length = len(text) if text.isascii() else len(text.encode())
            if size + length >= self._limit:
                self.size = self._limit
                if part := text.encode()[: self._limit - size].decode(errors="ignore"):
                    yield part
                return
            size += length
            yield text
        self.size = size


class Limit:
    """How many bytes of text are still taken; None: all."""

    def __init__(self, left: int | None) -> None:
        self.left = left

    @property
    def is_reached(self) -> bool:
        return self.left is not None and self.left <= 0

    def of(self, documents: Iterable[tuple[int, Document]]) -> Iterator[tuple[int, Document]]:
        """Yield the numbered documents until the limit, the last one cut there; ask for none after it. Each must be read before
        the next is asked for."""
        every = iter(documents)
        while not self.is_reached and (found := next(every, None)) is not None:
            if self.left is None:
                yield found
            else:
                part = Beginning(found[1], self.left)
                yield found[0], part
                self.left -= part.size


def bundled(texts: Iterable[str], size: int) -> Iterator[str]:
    """Yield texts that have at least `size` characters, each made of the next ones: the last one may have fewer."""
    waiting, length = [], 0
    for text in texts:
        waiting.append(text)
        length += len(text)
        if length >= size:
            yield "".join(waiting)
            waiting, length = [], 0
    if waiting:
        yield "".join(waiting)


class Sample:
    """At most `limit` characters of a text of any length: units from evenly spaced places, all of it if it is short.

    Whenever there are too many units, every second one is dropped, and of those that come as many are left out.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._every, self._number, self._size = limit, 1, 0, 0
        self._kept: dict[int, tuple[int, str]] = {}  # number of the unit -> its place in the text, and the unit

    def add(self, place: int, unit: str) -> None:
        """Take the next unit of the text, which begins at that character."""
        if self._number % self._every == 0:
            self._kept[self._number] = place, unit
            self._size += len(unit)
        self._number += 1
        while self._size > self._limit and len(self._kept) > 1:
            self._every *= 2
            self._kept = {number: each for number, each in self._kept.items() if number % self._every == 0}
            self._size = sum(len(unit) for _, unit in self._kept.values())

    def text(self, stop: int | None = None) -> str:
        """Return the units; with `stop` only what is before that character of the text."""
        return "".join(unit if stop is None else unit[: max(0, stop - place)] for place, unit in self._kept.values())
