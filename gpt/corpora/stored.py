"""A finished corpus: gpt.train draws windows from its files without loading them.

    ids = open_corpus(folder).train
    len(ids), ids[5:105], ids[places]           # as of an array: places (B, T) gives tokens (B, T)

It reads the bytes that a window needs, with `pread`. A memory map would be a little shorter, and worse: the system counts its
pages as memory of the process, and kills the process if another one cuts off the file.
"""

from __future__ import annotations

import os
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from gpt.corpora import manifest
from gpt.corpora.manifest import BLOCK, MANIFEST, STATE, Manifest, Shard, Stamp, blocks_of, damaged, stamp
from gpt.errors import UserError, reading
from gpt.run import files
from gpt.tokenizers import Tokenizer

OPEN = 64  # files that are open at once
SLICES = 64  # pieces of a sample


class StoredIds:
    """The tokens (N,) of a split. Indexing reads them: an int, a slice without step, or an array of places of any shape.

    Each block is checked when it is first read. Raises UserError if it was altered.
    """

    def __init__(
        self, shards: list[Shard], stamps: dict[str, Stamp], blocks: NDArray[np.uint32], vocab_size: int
    ) -> None:
        self._shards, self._stamps, self._blocks, self._vocab_size = shards, stamps, blocks, vocab_size
        self.dtype: np.dtype[Any] = shards[0].dtype.newbyteorder("=") if shards else np.dtype(np.uint8)
        self._starts = [0, *accumulate(shard.tokens for shard in shards)]  # where each file begins
        self._first_block = [0, *accumulate(blocks_of(shard.nbytes) for shard in shards)]
        self._checked = np.zeros(len(blocks), np.bool_)
        self._open: dict[int, int] = {}  # descriptors

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, places: Any) -> Any:
        if isinstance(places, slice):
            start, stop, step = places.indices(len(self))
            if step != 1:
                raise IndexError("a slice of stored tokens has no step")
            return self.read(start, max(start, stop))
        where = np.asarray(places)
        if where.dtype.kind not in "iu":
            raise IndexError("places of stored tokens are whole numbers")
        flat = where.reshape(-1).astype(np.int64)
        if flat.size and not -len(self) <= flat.min() <= flat.max() < len(self):
            raise IndexError(
                f"{len(self):,} tokens have no place {flat.max() if flat.max() >= len(self) else flat.min()}"
            )
        flat = np.where(flat < 0, flat + len(self), flat)
        found = np.empty(flat.size, self.dtype)
        runs = [0, *(np.flatnonzero(np.diff(flat) != 1) + 1).tolist(), flat.size]  # neighbours are read together
        for i, j in pairwise(runs):
            if i < j:
                found[i:j] = self.read(int(flat[i]), int(flat[j - 1]) + 1)
        return found.reshape(where.shape)[()]

    def read(self, start: int, stop: int) -> NDArray[np.integer]:
        """Return the tokens at the places from start to stop, which may be in several files."""
        found = np.empty(stop - start, self.dtype)
        at = start
        while at < stop:
            number = bisect_right(self._starts, at) - 1
            end = min(stop, self._starts[number + 1])
            first = self._starts[number]
            found[at - start : end - start] = self._read(number, at - first, end - first)
            at = end
        return found

    def _read(self, number: int, start: int, stop: int) -> NDArray[np.integer]:
        """Return tokens of one file. Checks the blocks that they are in, unless it has done so."""
        shard = self._shards[number]
        width = shard.dtype.itemsize
        begin, end = start * width, stop * width
        blocks = slice(self._first_block[number] + begin // BLOCK, self._first_block[number] + blocks_of(end))
        if self._checked[blocks].all():
            return np.frombuffer(self._bytes(number, begin, end), shard.dtype)
        parts = []
        for block in range(begin // BLOCK, blocks_of(end)):  # one at a time, whatever was asked for
            at = block * BLOCK
            content = self._bytes(number, at, min(at + BLOCK, shard.nbytes))
            self._check(number, block, content)
            parts.append(content[max(0, begin - at) : end - at])
        return np.frombuffer(b"".join(parts), shard.dtype)

    def _check(self, number: int, block: int, content: bytes) -> None:
        """Raise UserError unless the content of a block is what was written."""
        shard, index = self._shards[number], self._first_block[number] + block
        if zlib.crc32(content) != self._blocks[index]:
            raise damaged(shard.path, f"the {len(content):,} bytes at {block * BLOCK:,} have another checksum")
        if int(np.frombuffer(content, shard.dtype).max()) >= self._vocab_size:
            raise damaged(shard.path, f"a token in the {len(content):,} bytes at {block * BLOCK:,} is none")
        self._checked[index] = True

    def _bytes(self, number: int, begin: int, end: int) -> bytes:
        """Return bytes of one file."""
        descriptor, content = self._descriptor(number), b""
        while len(content) < end - begin:
            part = read_at(descriptor, end - begin - len(content), begin + len(content))
            if not part:
                raise damaged(self._shards[number].path, f"it ends before {end:,} bytes")
            content = content + part if content else part
        return content

    def _descriptor(self, number: int) -> int:
        """Return a descriptor of the file. Raises UserError if it is another than the one that was verified."""
        if number not in self._open:
            if len(self._open) >= OPEN:
                os.close(self._open.pop(next(iter(self._open))))
            path = self._shards[number].path
            with reading(path):
                descriptor = os.open(path, os.O_RDONLY | files.SAFELY)
            self._open[number] = descriptor
            if stamp(os.fstat(descriptor)) != self._stamps[path.name]:
                raise damaged(path, "it has changed since it was verified")
        return self._open[number]

    def close(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])

    def __del__(self) -> None:
        self.close()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        raise TypeError("stored tokens may not fit into memory: take a slice of them")

    def __iter__(self) -> Iterator[Any]:
        raise TypeError("stored tokens are read by slices, not one by one")


def sample(ids: NDArray[np.integer] | StoredIds, count: int) -> NDArray[np.integer]:
    """Return about `count` tokens: SLICES pieces, evenly spaced; all of them if they are no more."""
    if len(ids) <= count:
        return cast("NDArray[np.integer]", ids[:])
    size = count // SLICES
    starts = [int(i * (len(ids) - size) // (SLICES - 1)) for i in range(SLICES)]
    return np.concatenate([ids[start : start + size] for start in starts])


def read_at(descriptor: int, count: int, offset: int) -> bytes:
    """Return at most `count` bytes from an offset on."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, count, offset)
    os.lseek(descriptor, offset, os.SEEK_SET)  # Windows
    return os.read(descriptor, count)


class Stored:
    """A corpus that gpt.prepare made, open for reading. Its name finds it again; its checksum is that of corpus.json."""

    def __init__(self, found: Manifest, stamps: dict[str, Stamp], name: str | None = None) -> None:
        self.name, self.sha256, self.tokenizer = name or str(found.folder), found.checksum, found.tokenizer
        self._found, self._stamps = found, stamps

    def _ids(self, split: str) -> StoredIds:
        found = self._found
        return StoredIds(found.shards[split], self._stamps, found.blocks[split], self.tokenizer.vocab_size)

    @cached_property
    def train(self) -> StoredIds:
        return self._ids("train")

    @cached_property
    def validation(self) -> StoredIds:
        return self._ids("validation")

    def split(self, tokenizer: Tokenizer, context: int, fixed: bool = False) -> tuple[StoredIds, StoredIds]:
        """Return the tokens to train on and those to validate on. Raises UserError if there are too few, or others.

        `tokenizer` is that of the model which reads them. If the context is `fixed`, the error does not advise another one.
        """
        if tokenizer.to_json() != self.tokenizer.to_json():
            raise UserError(
                f"{self.name} was prepared with other tokens ({self.tokenizer.name}) than the model has ({tokenizer.name}); "
                f"prepare the text with --tokenizer run:RUN, or train a new model"
            )
        if len(self.train) <= context or len(self.validation) < 2:
            raise UserError(
                f"{self.name} has {len(self.train):,} tokens to train on and {len(self.validation):,} to validate on, and a "
                f"window of {'' if fixed else '--'}context {context} takes {context + 1:,} and 2; prepare more text"
                + ("" if fixed else ", or lower --context")
            )
        return self.train, self.validation


def is_corpus(folder: Path) -> bool:
    """Return whether gpt.prepare has made a corpus in the folder."""
    return files.exists(folder / MANIFEST)


def is_unfinished(folder: Path) -> bool:
    """Return whether gpt.prepare has begun a corpus in the folder, and not finished it."""
    return files.exists(folder / STATE)


def open_corpus(folder: Path, threads: int, name: str | None = None) -> Stored:
    """Open the corpus in a folder, whose path is its name if it has no other. Raises UserError if it is not whole: see
    gpt/corpora/manifest.py."""
    found = manifest.read_manifest(folder)
    return Stored(found, manifest.verify(found, threads), name)
