"""Bytes as tokens: the 256 values that a byte of UTF-8 may have. Every text has them, so none is unknown."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpt.errors import UserError
from gpt.tokenizers import library
from gpt.tokenizers.base import Tokenizer, half_of_a_pair
from gpt.tokenizers.words import SHOWN


class ByteTokenizer(Tokenizer):
    """Token i is the byte i.

    >>> ByteTokenizer().encode("é\\n").tolist(), ByteTokenizer().decode([195, 169])
    ([195, 169, 10], 'é')
    """

    name = "bytes"
    unit = "bytes"
    vocab_size = 256

    def encode(self, text: str, what: str = "the text", small: bool = False) -> NDArray[np.integer]:
        try:
            ids = np.frombuffer(text.encode(), np.uint8)
        except UnicodeEncodeError as error:
            raise UserError(half_of_a_pair(text, what)) from error
        return ids if small else ids.astype(np.int64)

    def encode_bytes(self, data: bytes) -> list[int]:
        """Return the ids of bytes that may be no UTF-8; `decode_bytes` inverts it."""
        return list(data)

    def bytes_of(self, token: int) -> bytes:
        return bytes([token])

    def to_json(self) -> dict[str, Any]:
        return {"type": "bytes"}

    def to_library(self) -> dict[str, Any]:
        return library.byte_level({SHOWN[byte]: byte for byte in range(256)}, [], {}, cut=False)
