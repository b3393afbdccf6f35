"""Byte-pair encoding: a token is a frequent piece of text. `learn` finds the pieces, `encode` cuts a text into them.

Every text is a row of bytes, so the 256 bytes are tokens. `learn` looks for the pair of neighbouring tokens that occurs most
often in a text, makes it a token, and does so again and again. Such a step is a merge:

    low low lowest    l o w   _ l o w   _ l o w e s t    _ is a space: a word has the one before it
    merge l o         lo w    _ lo w    _ lo w e s t     (l, o) and (o, w) have 3 places each: the smaller comes first
    merge lo w        low     _ low     _ low e s t      (lo, w) has 3, (_, lo) has 2

`encode` makes the same merges in the same order, in any text. Merges stay within words (gpt/tokenizers/words.py), so no
token has the end of one word and the beginning of the next.

Sources: Sennrich et al., "Neural machine translation of rare words with subword units", 2016; Radford et al., 2019 (GPT-2).
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from heapq import heappop, heappush
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gpt.errors import UserError
from gpt.errors import shown as shortened
from gpt.tokenizers import library
from gpt.tokenizers.base import Tokenizer, half_of_a_pair, is_text
from gpt.tokenizers.words import SHOWN, bytes_shown, pattern, shown

Pair: TypeAlias = tuple[int, int]
Merges: TypeAlias = Sequence[tuple[bytes, bytes]]  # in the order in which they are made

BYTES = [bytes([byte]) for byte in SHOWN]  # the first 256 tokens; GPT-2's order has the visible ones first
NUMBER = {byte: i for i, byte in enumerate(SHOWN)}
FEWEST = 2  # places of a pair that is merged
# SHA-256 of GPT-2's merges, without the first line of their file
GPT2 = "04e3597d7996f292ca9b8b7285ca4d58a6ae171ac47d73fc7140ceb0c7a6bbc0"
MOST = 1_000_000  # tokens: bpe:SIZE allows no more
CACHED = 1 << 16  # words whose tokens are kept


class Row:
    """Words of tokens in which two neighbours become one, at place i, and no other token moves."""

    def __init__(self, words: Iterable[Sequence[int]]) -> None:
        self.tokens: list[int] = []
        self.before: list[int] = []  # the place of the token before; -1 at the beginning of a word
        self.after: list[int] = []  # the place of the token after; -1 at the end of a word, and where a token was taken
        for word in words:
            start, end = len(self.tokens), len(self.tokens) + len(word)
            self.tokens += word
            self.before += [-1, *range(start, end - 1)]
            self.after += [*range(start + 1, end), -1]

    def pair(self, i: int) -> Pair | None:
        """Return the token at place i and the one after it; None if there are no two."""
        j = self.after[i]
        return None if i < 0 or j < 0 else (self.tokens[i], self.tokens[j])

    def join(self, i: int, token: int) -> None:
        """Put a token in place of the one at i and the one after it."""
        j = self.after[i]
        following = self.after[j]
        self.tokens[i], self.after[i], self.after[j] = token, following, -1
        if following >= 0:
            self.before[following] = i

    def word(self) -> tuple[int, ...]:
        """Return the tokens of the first word."""
        found, i = [], 0
        while i >= 0:
            found.append(self.tokens[i])
            i = self.after[i]
        return tuple(found)


class Pairs:
    """How often each pair of neighbours occurs, and where; times[i] is how often the text has the word of place i."""

    def __init__(self, row: Row, times: Sequence[int]) -> None:
        self.row, self.times = row, times
        self.counts: Counter[Pair] = Counter()
        self.places: defaultdict[Pair, set[int]] = defaultdict(set)  # and places where another pair is by now
        self.heap: list[tuple[int, Pair]] = []  # (-count, pair): the smallest is on top
        self.grown: set[Pair] = set()  # those that the heap does not have with their count
        for i in range(len(times)):
            self.add(i)

    def add(self, i: int) -> None:
        """Count the pair at place i, if there is one."""
        if (pair := self.row.pair(i)) is not None:
            self.counts[pair] += self.times[i]
            self.places[pair].add(i)
            self.grown.add(pair)

    def remove(self, i: int) -> None:
        """Count the pair at place i no more."""
        if (pair := self.row.pair(i)) is not None:
            self.counts[pair] -= self.times[i]

    def most_frequent(self) -> Pair | None:
        """Return the pair with the highest count, of several the one with the smallest tokens; None below FEWEST."""
        for pair in self.grown:
            heappush(self.heap, (-self.counts[pair], pair))
        self.grown.clear()
        while self.heap:
            n, pair = heappop(self.heap)
            count = self.counts[pair]
            if count == -n:
                return pair if count >= FEWEST else None
            if 0 < count < -n:  # the entry is old; one with too low a count has a newer one beside it
                heappush(self.heap, (-count, pair))
        return None

    def take(self, pair: Pair) -> Iterator[int]:
        """Yield the places of a pair from the left. Who asks joins each; then the pair occurs no more."""
        for i in sorted(self.places.pop(pair)):
            if self.row.pair(i) == pair:  # else it was the second one in a a a, say, and the first took its token
                yield i
        del self.counts[pair]


def learn(text: str, size: int) -> list[tuple[bytes, bytes]]:
    """Return the merges that make a vocabulary of `size` tokens from the text; fewer if no pair has FEWEST places.

    Each merge takes the most frequent pair. It changes only the counts beside its places, so it need not read the text again.

    >>> learn("low low lowest", 258)
    [(b'l', b'o'), (b'lo', b'w')]
    """
    different = Counter(words(text))
    row = Row([NUMBER[byte] for byte in word] for word in different)
    pairs = Pairs(row, [n for word, n in different.items() for _ in word])
    tokens, numbers, merges = list(BYTES), {token: i for i, token in enumerate(BYTES)}, []
    while len(tokens) < size and (pair := pairs.most_frequent()) is not None:
        first, second = tokens[pair[0]], tokens[pair[1]]
        merges.append((first, second))
        made = numbers.setdefault(first + second, len(tokens))  # other merges may have made the same piece
        if made == len(tokens):
            tokens.append(first + second)
        for i in pairs.take(pair):
            pairs.remove(row.before[i])  # the pairs that overlap with this one
            pairs.remove(row.after[i])
            row.join(i, made)
            pairs.add(row.before[i])  # those of the new token
            pairs.add(i)
    return merges


class BPETokenizer(Tokenizer):
    """Token i is byte i (in GPT-2's order) if i < 256, else what the next merge makes.

    `special` has tokens that stand for something else than their text, and their numbers; the others have the rest in order.

    >>> tokenizer = BPETokenizer([(b"l", b"o"), (b"lo", b"w")])
    >>> [tokenizer.bytes_of(i) for i in tokenizer.encode("slow")], tokenizer.encode("slow").tolist()
    ([b's', b'low'], [82, 257])
    """

    def __init__(self, merges: Merges, special: Mapping[str, int] | None = None) -> None:
        self.merges, self.special = tuple(merges), dict(special or {})
        pieces = dict.fromkeys([*BYTES, *(first + second for first, second in self.merges)])  # each once, in order
        self._tokens, self.numbers = numbered(list(pieces), self.special)
        self._ranks: dict[Pair | None, int] = {}  # pair -> which merge it is
        self._made: list[int] = []  # the token of each merge
        known = set(BYTES)
        for rank, (first, second) in enumerate(self.merges):
            if first not in known or second not in known:
                raise UserError(f"{named(rank, first, second)} takes a token that no merge before it makes")
            if self._ranks.setdefault((self.numbers[first], self.numbers[second]), rank) != rank:
                raise UserError(f"{named(rank, first, second)} is there twice")
            self._made.append(self.numbers[first + second])
            known.add(first + second)
        self._kept = functools.lru_cache(CACHED)(self._word)
        self._fast = library.Encoder(self.to_library)
        written = self.to_json()["merges"]
        is_gpt2 = len(self.merges) == 50_000 and hashlib.sha256(written.encode()).hexdigest() == GPT2
        self.name = "gpt2" if is_gpt2 else f"bpe:{self.vocab_size}"

    @property
    def vocab_size(self) -> int:
        return len(self._tokens)

    def encode(
        self, text: str, what: str = "the text", small: bool = False, allowed: Collection[str] = ()
    ) -> NDArray[np.integer]:
        """Return the ids (N,) of the text: int64, or if `small` the smallest unsigned type that has them all.

        A special token in the text becomes its id if it is `allowed`. Else it is refused: a text from somebody else may
        not end a document, say, by spelling the token that does.
        """
        for token in self.special.keys() - set(allowed):
            if (at := text.find(token)) >= 0:
                why = "which stands for more than its letters; take it out"
                raise UserError(f"{what} has the special token {shortened(token)} at offset {at:,}, {why}")
        some = sorted(self.special.keys() & set(allowed), key=len, reverse=True)  # the longest first
        parts = re.split(f"({'|'.join(map(re.escape, some))})", text) if some else [text]
        try:
            ids = [self._special(part) if i % 2 else self._ordinary(part) for i, part in enumerate(parts)]
        except UnicodeEncodeError as error:
            raise UserError(half_of_a_pair(text, what)) from error
        return np.concatenate(ids) if small else np.concatenate(ids).astype(np.int64)

    def encode_all(self, texts: Sequence[str]) -> Iterator[NDArray[np.integer]]:
        """Yield encode(text, small=True) of each text: faster for many short ones."""
        found = self._fast.each(texts) if not any(token in text for token in self.special for text in texts) else None
        for i, text in enumerate(texts):
            yield self.encode(text, small=True) if found is None else np.array(found[i], self._type)

    def encode_bytes(self, data: bytes) -> list[int]:
        """Return the ids of bytes that may be no UTF-8; `decode_bytes` inverts it. Bytes outside of UTF-8 are no letters."""
        text = data.decode("utf-8", "surrogateescape")
        return list(chain.from_iterable(map(self._kept, words(text, "surrogateescape"))))

    def _special(self, text: str) -> NDArray[np.integer]:
        return np.array([self.special[text]], self._type)

    def _ordinary(self, text: str) -> NDArray[np.integer]:
        """Return the ids of a text without special tokens."""
        if (ids := self._fast(text)) is not None:
            return np.fromiter(ids, self._type)
        return np.fromiter(chain.from_iterable(map(self._kept, words(text))), self._type)

    @property
    def _type(self) -> np.dtype[Any]:
        return np.min_scalar_type(self.vocab_size)

    def _word(self, word: bytes) -> tuple[int, ...]:
        """Return the tokens of a word: of all pairs the one with the earliest merge is joined, the leftmost of several."""
        row = Row([[self.numbers[bytes([byte])] for byte in word]])
        heap: list[tuple[int, int]] = []  # the merge of each pair, and its place

        def offer(i: int) -> None:
            if (rank := self._ranks.get(row.pair(i))) is not None:
                heappush(heap, (rank, i))

        for i in range(len(word)):
            offer(i)
        while heap:
            rank, i = heappop(heap)
            if self._ranks.get(row.pair(i)) == rank:  # else a merge has taken one of the two
                row.join(i, self._made[rank])
                offer(row.before[i])
                offer(i)
        return row.word()

    def bytes_of(self, token: int) -> bytes:
        return self._tokens[token]

    def to_json(self) -> dict[str, Any]:
        """Return the merges as a file of GPT-2's has them: a line for each, "Ġ t"."""
        merges = "\n".join(f"{shown(first)} {shown(second)}" for first, second in self.merges)
        return {"type": "bpe", "merges": merges, "special": self.special}

    @classmethod
    def from_json(cls, value: object) -> BPETokenizer:
        """Invert `to_json`. Raises UserError for anything else."""
        if not isinstance(value, dict) or value.keys() != {"type", "merges", "special"} or value["type"] != "bpe":
            raise UserError('byte pairs are stored as {"type": "bpe", "merges": "Ġ t\\n…", "special": {…}}')
        merges, special = value["merges"], value["special"]
        if not isinstance(merges, str) or not isinstance(special, dict):
            raise UserError("merges must be a text, special tokens an object")
        if (count := merges.count("\n") + len(special)) > MOST:
            raise UserError(f"{count:,} tokens are more than the {MOST:,} that can be right")
        return cls(parse_merges(merges.split("\n") if merges else []), special)

    def to_library(self) -> dict[str, Any]:
        vocabulary = {shown(token): number for token, number in self.numbers.items()}
        merges = [f"{shown(first)} {shown(second)}" for first, second in self.merges]
        return library.byte_level(vocabulary, merges, self.special, cut=True)


def named(rank: int, first: bytes, second: bytes) -> str:
    """Name a merge in an error."""
    return f"merge {rank + 1:,}, {shortened(shown(first))} {shortened(shown(second))},"


def words(text: str, errors: str = "strict") -> Iterator[bytes]:
    """Yield the words of a text in UTF-8."""
    return (match[0].encode("utf-8", errors) for match in pattern().finditer(text))


def numbered(pieces: list[bytes], special: Mapping[str, int]) -> tuple[list[bytes], dict[bytes, int]]:
    """Return the bytes of each token, and the number of each piece: in order those that no special token has."""
    size, names = len(pieces) + len(special), {shown(piece) for piece in pieces} if special else set()
    taken: set[int] = set()
    for text, number in special.items():
        if not is_text(text) or text in names:  # in a file of the tokenizers library a special one would be that piece
            raise UserError(f"{shortened(repr(text))} is no special token: it is an ordinary one, or no text")
        if type(number) is not int or not 0 <= number < size or number in taken:
            raise UserError(
                f"the special token {shortened(text)} has the number {shortened(number)}, and needs its own below {size:,}"
            )
        taken.add(number)
    free = (number for number in range(size) if number not in taken)
    numbers = dict(zip(pieces, free))
    tokens = {**{number: piece for piece, number in numbers.items()}, **{i: t.encode() for t, i in special.items()}}
    return [tokens[number] for number in range(size)], numbers


def parse_merges(lines: Iterable[object]) -> list[tuple[bytes, bytes]]:
    """Return the merges that the lines show: two tokens each. Raises UserError for anything else."""
    merges = []
    for number, line in enumerate(lines, 1):
        parts = line.split(" ") if isinstance(line, str) else line if isinstance(line, (list, tuple)) else ()
        try:
            first, second = (bytes_shown(part) for part in parts)
            if not first or not second:
                raise ValueError
        except (ValueError, KeyError, TypeError):
            raise UserError(f"merge {number:,} must be two tokens, not {shortened(repr(line))}") from None
        merges.append((first, second))
    return merges
