"""Bytes as tokens: the 256 values that a byte of UTF-8 may have. Every text has them, so none is unknown."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpt.tokenizers.base import Tokenizer


class ByteTokenizer(Tokenizer):
    """Token i is the byte i.

    >>> ByteTokenizer().encode("é\\n").tolist(), ByteTokenizer().decode([195, 169])
    ([195, 169, 10], 'é')
    """

    name = "bytes"
    vocab_size = 256

    def encode(self, text: str, what: str = "the text", small: bool = False) -> NDArray[np.integer]:
        ids = np.frombuffer(text.encode(), np.uint8)
        return ids if small else ids.astype(np.int64)

    def bytes_of(self, token: int) -> bytes:
        return bytes([token])

    def to_json(self) -> dict[str, Any]:
        return {"type": "bytes"}
