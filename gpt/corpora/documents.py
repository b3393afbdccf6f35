"""The documents in a file: the text of a file, a field of each JSON line, or of each row of a parquet table.

A file may be of any size: it is read in chunks, also through gzip (.gz) and zstandard (.zst). It must stay as it was when it
was listed, since a run that was killed reads it again. A byte-order mark is dropped, line ends of Windows become LF.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from gpt.corpora import hub
from gpt.corpora.sources import Source
from gpt.errors import UserError, reading, shown
from gpt.run import files
from gpt.utf8 import MARK, decoded_parts, decoded_value, with_lf

CHUNK = 1 << 17  # bytes that are read at once
PACKED = 1 << 12  # of zstandard: they may become 30,000 times as many
LONGEST = 64 << 20  # bytes of a JSON line or of a value: it is a document, and one is in memory
ROWS = 64  # of a parquet table, at once
HALF = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class How:
    """How texts are read: the name of the field that has a document, and whether bytes that are no UTF-8 become U+FFFD."""

    name: str = "text"
    replace: bool = False
    dataset: hub.Part = field(default_factory=hub.Part)


class Document(ABC):
    """A text with a name for errors. It may be longer than the memory: `texts` yields it in parts, as often as asked."""

    name: str

    @abstractmethod
    def texts(self) -> Iterator[str]: ...

    def digest(self) -> bytes:
        """Return the SHA-256 of the text in UTF-8."""
        found = hashlib.sha256()
        for text in self.texts():
            found.update(text.encode())
        return found.digest()


class Short(Document):
    """A document that is in memory."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.text = name, text

    def texts(self) -> Iterator[str]:
        yield self.text


class Whole(Document):
    """A file that is one text. If it is short, it is read once."""

    def __init__(self, source: Source, how: How, read: Callable[[int], object]) -> None:
        self.name, self._source, self._how, self._read = source.path, source, how, read
        self._kept: list[str] | None = None

    def texts(self) -> Iterator[str]:
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[str] | None = []
        with opened(self._source) as file:
            for text in decoded_parts(chunks(file, self._source, self._read), self._source.path, self._how.replace):
                kept = [*kept, text] if kept is not None and len(kept) < 2 else None
                yield text
        self._kept = kept


def documents(
    source: Source, how: How, read: Callable[[int], object] = id, first: int = 0
) -> Iterator[tuple[int, Document]]:
    """Yield the documents of a file from number `first` on, each with its number. Calls read(n) for n bytes of the file."""
    if source.kind == "text":
        if not first:
            yield 0, Whole(source, how, read)
    elif source.kind == "jsonl":
        yield from json_lines(source, how, read, first)
    elif source.kind == "parquet":
        yield from table_rows(source, how, read, first)
    else:
        yield from dataset_rows(source, how, read, first)


# ---------------------------------------------------------------------------------------- bytes


@contextmanager
def opened(source: Source) -> Iterator[Input]:
    """Open a file that is as it was listed. Raises UserError if it is not, also when it has been read."""
    vanished = f"{source.path} has vanished since it was listed; put it back and give the same command again"
    with reading(source.path, missing=vanished):
        descriptor = os.open(source.path, os.O_RDONLY | files.flags("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
    with Input(descriptor, source.path) as file:
        unchanged(file, source)
        yield file
        unchanged(file, source)


class Input(io.FileIO):
    """A file of text. Only a read of it says that it cannot be read: where its bytes are counted, a log may fail."""

    def __init__(self, descriptor: int, path: str) -> None:
        super().__init__(descriptor, "rb")
        self._path = path

    def read(self, size: int | None = -1, /) -> bytes:
        with reading(self._path):
            return super().read(-1 if size is None else size)

    def readinto(self, buffer: Any, /) -> int:
        with reading(self._path):
            return cast("int", super().readinto(buffer))

    def readall(self) -> bytes:
        with reading(self._path):
            return super().readall()


def unchanged(file: io.FileIO, source: Source) -> None:
    found = os.fstat(file.fileno())
    if (found.st_size, found.st_mtime_ns) != (source.size, source.changed):
        raise UserError(
            f"{source.path} changed while the corpus was made: it had {source.size:,} bytes and has {found.st_size:,}; "
            f"take a copy that nobody writes to, and begin again in an empty --out"
        )


def chunks(file: Input, source: Source, read: Callable[[int], object]) -> Iterator[bytes]:
    """Yield the bytes of the file, unpacked. Calls read(n) for each n bytes of the file itself."""
    name = source.path.lower()
    if name.endswith(".gz"):
        yield from ungzipped(file, source.path, read)
    elif name.endswith(".zst"):
        yield from unzstd(file, source.path, read)
    else:
        while chunk := file.read(CHUNK):
            read(len(chunk))
            yield chunk


def ungzipped(file: Input, path: str, read: Callable[[int], object]) -> Iterator[bytes]:
    at = 0
    try:
        with gzip.GzipFile(fileobj=file) as content:
            while chunk := content.read(CHUNK):
                before, at = at, file.tell()
                read(at - before)
                yield chunk
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path} is cut off or no gzip: {error}") from None


def unzstd(file: Input, path: str, read: Callable[[int], object]) -> Iterator[bytes]:
    try:
        import zstandard
    except ImportError:
        raise UserError(f"{path}: to read .zst takes a package: pip install zstandard") from None
    frame = None
    try:
        while chunk := file.read(PACKED):
            read(len(chunk))
            while chunk:
                frame = frame or zstandard.ZstdDecompressor().decompressobj()
                if text := frame.decompress(chunk):
                    yield text
                chunk = b""
                if frame.eof:  # another one may follow
                    chunk, frame = frame.unused_data, None
    except zstandard.ZstdError as error:
        raise UserError(f"{path} is no zstandard: {error}") from None
    if frame is not None:
        raise UserError(f"{path} is cut off: its last zstandard frame has no end")


# ---------------------------------------------------------------------------------------- values


def in_unicode(value: object, how: How, path: str, number: int, what: str = "row") -> str:
    """Return a document's text. Raises UserError if it is no text, or half a character of UTF-16 that nobody replaces."""
    if not isinstance(value, str):
        raise UserError(f"{path}, {what} {number + 1:,}: {how.name!r} is {kind(value)}, not a text")
    if HALF.search(value):
        if not how.replace:
            raise UserError(
                f"{path}, {what} {number + 1:,}: {how.name!r} has half of a character; --errors replace goes on"
            )
        value = HALF.sub("\ufffd", value)
    return with_lf(value.removeprefix(MARK))


def kind(value: object) -> str:
    names = {dict: "an object", list: "a list", type(None): "null", bool: "true or false"}
    return names.get(type(value), f"{shown(repr(value))}")


# --------------------------------------------------------------- datasets, JSON lines and tables


def dataset_rows(source: Source, how: How, read: Callable[[int], object], first: int) -> Iterator[tuple[int, Document]]:
    """Yield a document for each row of a dataset. Raises UserError if it is a folder that is not as it was listed."""
    same_folder(source)
    for number, value in hub.rows(source.path, how.name, how.dataset, first):
        text = in_unicode(value, how, source.path, number)
        read(len(text) if text.isascii() else len(text.encode()))  # no file whose bytes could be counted
        yield number, Short(f"{source.path}, row {number + 1:,}", text)
    same_folder(source)


def same_folder(source: Source) -> None:
    if source.changed and hub.stamp(source.path) != source.changed:
        raise UserError(
            f"{source.path} changed while the corpus was made; take a copy that nobody writes to, and begin again in an "
            f"empty --out"
        )


def json_lines(source: Source, how: How, read: Callable[[int], object], first: int) -> Iterator[tuple[int, Document]]:
    """Yield a document for each line that is not blank; a line's number is one more than the document's."""
    with opened(source) as file:
        for number, offset, line in split_lines(chunks(file, source, read), source.path):
            if number < first or not line.strip():
                continue
            name = f"{source.path}:{number + 1}"
            text = decoded_value(line, name, offset, how.replace)
            try:
                row = json.loads(text.removeprefix(MARK))
            except (ValueError, RecursionError) as error:
                raise UserError(f"{name} is no JSON: {error}; each line must be an object") from None
            if not isinstance(row, dict) or how.name not in row:
                has = f"it has {shown(', '.join(map(repr, row)) or 'none')}" if isinstance(row, dict) else kind(row)
                raise UserError(f"{name} has no field {how.name!r}: {has}; --field NAME takes another one")
            yield number, Short(name, in_unicode(row[how.name], how, source.path, number, "line"))


def split_lines(content: Iterator[bytes], path: str) -> Iterator[tuple[int, int, bytes]]:
    """Yield the lines, each with its number and its offset."""
    number = offset = 0
    rest = b""
    for chunk in content:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield number, offset, line
            number, offset = number + 1, offset + len(line) + 1
        if len(rest) > LONGEST:
            raise UserError(f"{path}:{number + 1} is longer than {LONGEST >> 20} MiB, and a document has to fit there")
    if rest:
        yield number, offset, rest


def table_rows(source: Source, how: How, read: Callable[[int], object], first: int) -> Iterator[tuple[int, Document]]:
    """Yield a document for each row of a parquet table."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise UserError(f"{source.path}: to read parquet takes a package: pip install pyarrow") from None
    with opened(source) as file:
        try:
            table = parquet.ParquetFile(file, buffer_size=CHUNK)
            names = table.schema_arrow.names
            if how.name not in names:
                has = shown(", ".join(map(repr, names)))
                raise UserError(
                    f"{source.path} has no column {how.name!r}: it has {has}; --field NAME takes another one"
                )
            number = 0
            for group in range(table.num_row_groups):
                rows = table.metadata.row_group(group).num_rows
                read(table.metadata.row_group(group).total_byte_size)  # unpacked, so the bar may be ahead
                if number + rows <= first:
                    number += rows
                    continue
                for batch in table.iter_batches(ROWS, [group], [how.name], use_threads=False):
                    column: Any = batch.column(0)
                    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
                        raise UserError(f"{source.path}: the column {how.name!r} has {column.type}, not text")
                    for value in column.cast(pa.large_binary()).to_pylist():
                        if number >= first:
                            yield number, Short(f"{source.path}, row {number + 1:,}", cell(value, how, source, number))
                        number += 1
        except pa.ArrowException as error:
            raise UserError(f"{source.path} is cut off or no parquet: {shown(str(error))}") from None


def cell(value: bytes | None, how: How, source: Source, number: int) -> str:
    """Return the text of a cell."""
    text = None if value is None else decoded_value(value, f"{source.path}, row {number + 1:,}", replace=how.replace)
    return in_unicode(text, how, source.path, number)
