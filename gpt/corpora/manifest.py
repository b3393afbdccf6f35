"""What a finished corpus says about itself, and how its files are checked.

    DIR/corpus.json             tokenizer, splits, the SHA-256 of each file of tokens; sealed by a checksum, the corpus's identity
    DIR/train-00000.bin, …      the tokens to train on
    DIR/validation-00000.bin, … those to validate on
    DIR/blocks.bin              the CRC-32 of each 64 KiB of those files
    DIR/verified.json           which files were found right, as they were then: a note that may be missing

Three checks: `verify` reads every file whose size, times and place on the disk are not those that `verified.json` has; a
block is checked when a window first needs it (gpt/corpora/stored.py); corpus.json and blocks.bin are checked at every start.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpt import tokenizers
from gpt.corpora.writing import SHARD, name_of, sizes_of, type_of
from gpt.errors import UserError, shown
from gpt.run import arrays, files
from gpt.run.arrays import checksum
from gpt.run.files import File, Folder
from gpt.run.sealed import is_sealed, seal
from gpt.tokenizers import Tokenizer

FORMAT = 1
MANIFEST, BLOCKS, VERIFIED = "corpus.json", "blocks.bin", "verified.json"
STATE = "preparing.json"  # while it is made
SPLITS = ("train", "validation")
BLOCK = 1 << 16  # bytes that a checksum of blocks.bin covers
AT_ONCE = 1 << 20  # bytes that are read at once
LONGEST = 64 << 20  # bytes of a manifest: a tokenizer and the checksums of many files
LATE = 2.0  # seconds: a file that changed so shortly before it was verified may change again without another time
Stamp = list[int]


@dataclass(frozen=True)
class Shard:
    """A file of tokens."""

    path: Path
    tokens: int
    sha256: str
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        return self.tokens * self.dtype.itemsize


@dataclass(frozen=True)
class Manifest:
    """A corpus: its checksum, its tokenizer, and the files of each split with the checksums of their blocks."""

    folder: Path
    checksum: str
    tokenizer: Tokenizer
    shards: dict[str, list[Shard]]
    blocks: dict[str, NDArray[np.uint32]]  # of the files of a split, one after the other
    said: dict[str, Any]


def blocks_of(nbytes: int) -> int:
    """Return how many blocks a file has."""
    return -(-nbytes // BLOCK)


def sums(file: File, read: Callable[[int], object] = id) -> tuple[str, NDArray[np.uint32]]:
    """Return the SHA-256 of a file and the CRC-32 of each block. Calls read(n) after each n bytes."""
    digest, found = hashlib.sha256(), []
    for start in range(0, file.size, AT_ONCE):
        content = memoryview(file.read(min(AT_ONCE, file.size - start)))
        digest.update(content)
        found += [zlib.crc32(content[at : at + BLOCK]) for at in range(0, len(content), BLOCK)]
        read(len(content))
    return digest.hexdigest(), np.array(found, np.uint32)


def finish(folder: Path, said: dict[str, Any], tokenizer: Tokenizer, read: Callable[[int], object]) -> str:
    """Write blocks.bin and corpus.json for the files of tokens in the folder; return the checksum of the corpus.

    `said` has, for each split under "splits", how many tokens it has.
    """
    dtype, blocks, began, stamps = type_of(tokenizer.vocab_size), [], time.time(), {}
    splits: dict[str, Any] = {}
    with Folder(folder, follow=True) as opened:
        for split in SPLITS:
            shards = []
            for number, tokens in enumerate(sizes_of(said["splits"][split]["tokens"], dtype)):
                name = name_of(split, number)
                with opened.open(name) as file:
                    if file.size != tokens * dtype.itemsize:
                        raise damaged(file.path, f"{file.size:,} bytes, not {tokens * dtype.itemsize:,}")
                    sha256, found = sums(file, read)
                    stamps[name] = stamp(os.fstat(file.descriptor))
                shards.append({"name": name, "tokens": tokens, "sha256": sha256})
                blocks.append(found)
            splits[split] = {**said["splits"][split], "shards": shards}
    content = np.concatenate([np.zeros(0, np.uint32), *blocks]).astype("<u4").tobytes()
    files.write(folder / BLOCKS, content)
    manifest = seal(
        {
            "format": FORMAT, "dtype": dtype.name, "shard_bytes": SHARD, "tokenizer": tokenizer.to_json(), **said,
            "splits": splits, "blocks": {"bytes": BLOCK, "crc32": BLOCKS, "sha256": checksum(content)},
        }
    )  # fmt: skip
    files.write(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    files.sync_folder(folder)
    note(folder, manifest["checksum"], stamps, began)
    return str(manifest["checksum"])


def read_manifest(folder: Path) -> Manifest:
    """Read corpus.json and blocks.bin. Raises UserError unless both are whole."""
    path = folder / MANIFEST
    said = files.parse(files.read(path, LONGEST), path)
    if not is_sealed(said):
        raise UserError(
            f"{path} was altered: its checksum is another; restore it from a copy, or prepare the text again"
        )
    if said.get("format") != FORMAT:
        raise UserError(f"{path} has format {shown(said.get('format'))}, and this version reads {FORMAT}")
    try:
        tokenizer = tokenizers.from_json(said["tokenizer"])
        dtype = type_of(tokenizer.vocab_size)
        if said["dtype"] != dtype.name or said["blocks"]["bytes"] != BLOCK:
            raise ValueError(f"{shown(said['dtype'])} in blocks of {shown(said['blocks']['bytes'])}")
        shards = {split: list(described(folder, split, said["splits"][split]["shards"], dtype)) for split in SPLITS}
        expected = str(said["blocks"]["sha256"])
    except (KeyError, TypeError, ValueError) as error:  # UserError is a ValueError
        raise UserError(f"{path} is damaged: {shown(error)}") from None
    counts = {split: sum(blocks_of(shard.nbytes) for shard in shards[split]) for split in SPLITS}
    content = files.read(folder / BLOCKS, 4 * sum(counts.values()))
    if checksum(content) != expected:
        raise damaged(folder / BLOCKS, "its checksum is another")
    if len(content) != 4 * sum(counts.values()):
        raise damaged(folder / BLOCKS, f"it has {len(content):,} bytes, not {4 * sum(counts.values()):,}")
    every = np.frombuffer(content, "<u4")
    blocks = {"train": every[: counts["train"]], "validation": every[counts["train"] :]}
    return Manifest(folder, said["checksum"], tokenizer, shards, blocks, said)


def described(folder: Path, split: str, listed: list[dict[str, Any]], dtype: np.dtype[Any]) -> Iterator[Shard]:
    """Yield the files of a split. Raises ValueError for a name of another folder, or a number that is none."""
    for number, each in enumerate(listed):
        name, tokens, sha256 = each["name"], each["tokens"], each["sha256"]
        if name != name_of(split, number) or type(tokens) is not int or tokens < 1 or not isinstance(sha256, str):
            raise ValueError(f"no file of tokens: {shown(each)}")
        yield Shard(folder / name, tokens, sha256, dtype)


def stamp(found: os.stat_result) -> Stamp:
    """Return what changes when a file does: a program may set its time back, but not the time of that (ctime)."""
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def verify(manifest: Manifest, threads: int, read: Callable[[int], object] = id) -> dict[str, Stamp]:
    """Return the stamp of each file of tokens. Raises UserError if one is missing, or is another than it was.

    A file that verified.json knows by its stamp is not read. Then the next start knows the others as well.
    """
    every = [shard for split in SPLITS for shard in manifest.shards[split]]
    known, began, stamps, unknown = noted(manifest), time.time(), {}, []
    try:
        with Folder(manifest.folder, follow=True) as folder:
            for shard in every:
                with folder.open(shard.path.name) as file:
                    if file.size != shard.nbytes:
                        raise damaged(shard.path, f"it has {file.size:,} bytes, and was written with {shard.nbytes:,}")
                    stamps[shard.path.name] = found = stamp(os.fstat(file.descriptor))
                    if known.get(shard.path.name) != found:
                        unknown.append(shard)

            def check(shard: Shard) -> None:
                with folder.open(shard.path.name) as file:
                    digest = hashed(file, read)
                    if digest != shard.sha256 or stamp(os.fstat(file.descriptor)) != stamps[shard.path.name]:
                        raise damaged(shard.path, f"sha256 {digest[:12]}, written with {shard.sha256[:12]}")

            if unknown:
                with ThreadPoolExecutor(threads) as pool:  # hashing leaves Python's lock to others
                    for done in [pool.submit(check, shard) for shard in unknown]:
                        done.result()
    except OSError as error:
        raise UserError(f"cannot read {error.filename or manifest.folder}: {error.strerror}") from None
    if unknown:
        with contextlib.suppress(OSError):  # a folder that nobody may write to: the next start reads them again
            note(manifest.folder, manifest.checksum, stamps, began)
    return stamps


def hashed(file: File, read: Callable[[int], object]) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    while content := os.read(file.descriptor, AT_ONCE):
        digest.update(content)
        read(len(content))
    return digest.hexdigest()


def note(folder: Path, checksum: str, stamps: dict[str, Stamp], began: float) -> None:
    """Write verified.json: the files that were found right, but for those that changed LATE."""
    old = {name: each for name, each in stamps.items() if max(each[1:3]) < (began - LATE) * 1e9}
    files.write(folder / VERIFIED, json.dumps(seal({"corpus": checksum, "stamps": old})))


def noted(manifest: Manifest) -> dict[str, Stamp]:
    """Return the stamps in verified.json; {} if it is missing, damaged or of another corpus."""
    path = manifest.folder / VERIFIED
    try:
        said = files.parse(files.read(path, LONGEST), path)
    except UserError:
        return {}
    if not is_sealed(said) or said.get("corpus") != manifest.checksum or not isinstance(said.get("stamps"), dict):
        return {}
    return dict(said["stamps"])


def damaged(path: Path, how: str) -> UserError:
    return arrays.damaged(path, how, "restore it from a copy, or prepare the text again")
