"""The tokens of a split while they are written: files of plain little-endian numbers, SHARD bytes each but for the last."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpt.errors import UserError
from gpt.run import files

SHARD = 256 << 20  # bytes of a file
NAME = re.compile(r"(train|validation)-\d{5,}\.bin")


def name_of(split: str, number: int) -> str:
    return f"{split}-{number:05}.bin"


def type_of(vocab_size: int) -> np.dtype[Any]:
    """Return the smallest unsigned type that has all tokens, little-endian on every machine."""
    return np.dtype("u1" if vocab_size <= 1 << 8 else "<u2" if vocab_size <= 1 << 16 else "<u4")


def sizes_of(tokens: int, dtype: np.dtype[Any]) -> list[int]:
    """Return how many tokens each file of a split has."""
    full, rest = divmod(tokens, SHARD // dtype.itemsize)
    return [SHARD // dtype.itemsize] * full + [rest] * (rest > 0)


class Writer:
    """Appends tokens to the files of a split, after the first `tokens` of them; what was written beyond is cut off."""

    def __init__(self, folder: Path, split: str, dtype: np.dtype[Any], tokens: int = 0) -> None:
        self.tokens = tokens
        self._folder, self._split, self._dtype = folder, split, dtype
        self._descriptor: int | None = None
        sizes = [n * dtype.itemsize for n in sizes_of(tokens, dtype)]
        for number, size in enumerate(sizes):
            path = self._path(number)
            if not path.is_file() or path.stat().st_size < size:
                raise UserError(f"{path} is cut off or missing; begin again in an empty --out")
        self._room = 0  # bytes that the open file still takes
        if sizes:
            self._descriptor = files.opened(self._path(len(sizes) - 1), sizes[-1])
            self._room = SHARD - sizes[-1]

    def _path(self, number: int) -> Path:
        return self._folder / name_of(self._split, number)

    def write(self, ids: NDArray[np.integer]) -> None:
        """Append the tokens. Raises UserError if there is no room on the disk."""
        content = np.ascontiguousarray(ids, self._dtype).data.cast("B")
        while content:
            if not self._room:
                self._next()
            part, content = content[: self._room], content[self._room :]
            assert self._descriptor is not None
            try:
                files.write_all(self._descriptor, part)
            except OSError as error:
                error.filename = str(self._path(self.tokens * self._dtype.itemsize // SHARD))
                raise
            self._room -= len(part)
            self.tokens += len(part) // self._dtype.itemsize

    def _next(self) -> None:
        self.close()
        number = self.tokens * self._dtype.itemsize // SHARD
        files.remove(self._path(number))
        self._descriptor, self._room = files.opened(self._path(number)), SHARD

    def sync(self) -> None:
        """Wait until all tokens are on the disk."""
        if self._descriptor is not None:
            os.fsync(self._descriptor)

    def close(self) -> None:
        if self._descriptor is not None:
            self.sync()
            os.close(self._descriptor)
            self._descriptor = None
