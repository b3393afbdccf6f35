"""What every tokenizer does: text to numbers and back.

A token is a piece of text or some bytes of UTF-8. `sizes` says how many bytes each has, so that losses of runs with different
tokenizers compare: bits per byte = loss in nats · tokens / (ln 2 · bytes).
"""

from __future__ import annotations

import codecs
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpt.errors import UserError

PADDING = 1024  # rows without a token that a model may have: many are padded to a multiple of 8, 128 or 1,024
AT_ONCE = 1 << 20  # characters of a long text that are looked at together: a few bytes for each would be gigabytes


def pieces(length: int) -> Iterator[slice]:
    """Yield the parts of a text of that length, AT_ONCE characters each."""
    yield from (slice(start, min(start + AT_ONCE, length)) for start in range(0, length, AT_ONCE))


def half_of_a_pair(text: str, what: str) -> str:
    """Say where a text has a surrogate, half of a character in UTF-16, which UTF-8 cannot have."""
    found = re.search("[\ud800-\udfff]", text)
    return (
        f"{what} has {found[0]!r} at offset {found.start():,}, which is no character" if found else f"{what} is no text"
    )


def is_text(value: object) -> bool:
    """Return whether it is a text that has characters, and no half ones."""
    return isinstance(value, str) and bool(value) and not re.search("[\ud800-\udfff]", value)


class Tokenizer(ABC):
    """`encode` maps text to ids (N,), `decode` maps them back."""

    name: str  # as --tokenizer has it
    unit = "tokens"  # what the tokens are, in a line for the user

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """The number of different tokens."""

    @abstractmethod
    def encode(self, text: str, what: str = "the text", small: bool = False) -> NDArray[np.integer]:
        """Return the ids (N,) of the text: int64, or if `small` the smallest unsigned type that has them all.

        Raises UserError, which begins with `what`, for text that the vocabulary does not have.
        """

    @abstractmethod
    def bytes_of(self, token: int) -> bytes:
        """Return the UTF-8 bytes of a token: whole characters, or a part of one."""

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of the tokens. Bytes that are no UTF-8 become U+FFFD."""
        return self.decode_bytes(ids).decode(errors="replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Return the bytes of the tokens."""
        return b"".join(self.bytes_of(int(i)) for i in ids)

    def pieces_of(self, ids: Iterable[int]) -> Iterator[str]:
        """Yield the text of each token as it comes; a token that ends within a character waits for the next ones."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for i in ids:
            yield decoder.decode(self.bytes_of(int(i)))
        yield decoder.decode(b"", final=True)

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """How many bytes each token has, (V,)."""
        return np.array([len(self.bytes_of(i)) for i in range(self.vocab_size)], np.int64)

    @property
    def start(self) -> int:
        """The token after which a text begins where no prompt is given: a line end, if there is one."""
        return next((i for i in range(self.vocab_size) if self.bytes_of(i) == b"\n"), 0)

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return what `gpt.tokenizers.from_json` makes this tokenizer of, with its "type"."""

    @abstractmethod
    def to_library(self) -> dict[str, Any]:
        """Return the content of a `tokenizer.json` of the `tokenizers` library: it gives every text the same ids.

        `gpt.tokenizers.from_library` inverts it.
        """


def check_rows(tokenizer: Tokenizer, rows: int | None) -> None:
    """Raise UserError unless the model has a row for each token, and at most PADDING rows more. None: there is no model."""
    tokens = tokenizer.vocab_size
    if rows is not None and not tokens <= rows <= tokens + PADDING:
        raise UserError(
            f"the tokenizer's {tokens:,} tokens do not fit the model's {rows:,} rows: a model has a row for each token, and at "
            f"most {PADDING:,} more"
        )
