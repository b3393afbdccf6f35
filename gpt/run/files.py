"""The files of a run folder. It may come from anybody, so any name in it may be a link, a FIFO, or a file of 3 TB.

Folder   an open folder: its files are those of one folder, even if another process renames it meanwhile
read     returns the content of a regular file of at most so many bytes
write    replaces a file in one move, so that at every instant it is the old one or the new one
appender opens a file to write at its end
parse    reads JSON

No link is followed below the run folder, so nothing outside of it is read or written. A hard link is another name of a
file that may be outside: `write` replaces the name, `appender` makes a file of its own first.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import stat
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gpt.errors import UserError, reading

MIB = 1 << 20
NEW = ".new"  # what `write` adds to the name of the file that it fills
HANDLES = hasattr(os, "O_DIRECTORY") and {os.open, os.stat} <= os.supports_dir_fd  # else (Windows): paths
KINDS = (
    (stat.S_ISREG, "a file"), (stat.S_ISDIR, "a folder"), (stat.S_ISLNK, "a link"), (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
)  # fmt: skip


def flags(*names: str) -> int:
    """Return the flags of os.open with these names; a system may lack some."""
    return sum(getattr(os, name, 0) for name in names)


SAFELY = flags("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")  # O_NONBLOCK: a FIFO makes nobody wait


def kind(mode: int) -> str:
    """Name what the mode of os.stat belongs to."""
    return next((name for test, name in KINDS if test(mode)), "a device")


def why(error: OSError) -> str:
    """Say what stopped an operation: what is in the way of a folder, or the words of the system."""
    path = Path(error.filename or ".")
    blocked = next((each for each in (path, *path.parents) if os.path.lexists(each) and not os.path.isdir(each)), None)
    if isinstance(error, (FileExistsError, NotADirectoryError)) and blocked is not None:
        return f"{blocked} is {kind(os.lstat(blocked).st_mode)}, and must be a folder"
    return str(error.strerror)


def wanted(path: Path, what: str, found: os.stat_result) -> None:
    """Raise UserError unless that is what was found at the path."""
    if kind(found.st_mode) != what:
        raise UserError(
            f"{path} is {kind(found.st_mode)}, and must be {what}: the folder of a run or a model holds no links; "
            f"put a copy of what was saved in its place"
        )


class File:
    """An open regular file. It stays readable when another process deletes it."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self.descriptor = path, descriptor
        self.size = os.fstat(descriptor).st_size

    def read(self, count: int) -> bytes:
        """Return the next `count` bytes. Raises UserError if the file ends before."""
        content = bytearray()
        while len(content) < count:
            part = os.read(self.descriptor, min(count - len(content), 64 * MIB))
            if not part:
                raise UserError(f"{self.path} is cut off: it ends {count - len(content):,} bytes early")
            content += part
        return bytes(content)

    def fill(self, buffer: memoryview, start: int) -> None:
        """Read into the whole buffer what begins at the byte `start`. Raises UserError if the file ends before."""
        os.lseek(self.descriptor, start, os.SEEK_SET)
        with io.FileIO(self.descriptor, closefd=False) as stream:
            while buffer:
                count = stream.readinto(buffer)
                if not count:
                    raise UserError(f"{self.path} is cut off: it ends {len(buffer):,} bytes early")
                buffer = buffer[count:]

    def sha256(self) -> str:
        """Return the checksum of the content, read from the beginning in pieces. Goes back to the beginning."""
        digest = hashlib.sha256()
        for start in range(0, self.size, MIB):
            digest.update(self.read(min(MIB, self.size - start)))
        self.rewind()
        return digest.hexdigest()

    def rewind(self) -> None:
        os.lseek(self.descriptor, 0, os.SEEK_SET)

    def __enter__(self) -> File:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)


class Folder:
    """A folder that is open. Raises FileNotFoundError if it is not there, UserError if it is something else.

    `follow` allows the path to be a link, as the run folder's may be: the user names it. The folders in it may not.
    """

    def __init__(self, path: Path, follow: bool = False) -> None:
        self.path, self._handle = path, None
        self._found = os.stat(path, follow_symlinks=follow)
        wanted(path, "a folder", self._found)
        if HANDLES:
            how = SAFELY & ~flags("O_NOFOLLOW") if follow else SAFELY
            self._handle = os.open(path, os.O_RDONLY | flags("O_DIRECTORY") | how)
            self._found = os.fstat(self._handle)

    def open(self, name: str) -> File:
        """Open a file for reading. Raises UserError if it is no regular file, FileNotFoundError if it is not there."""
        path, place = self.path / name, name if HANDLES else self.path / name
        try:
            before = os.stat(place, dir_fd=self._handle, follow_symlinks=False)  # opening a device may do something
            wanted(path, "a file", before)
            descriptor = os.open(place, os.O_RDONLY | SAFELY, dir_fd=self._handle)
        except OSError as error:
            error.filename = str(path)
            raise
        try:
            wanted(path, "a file", os.fstat(descriptor))
        except UserError:
            os.close(descriptor)
            raise
        return File(path, descriptor)

    def is_in_place(self) -> bool:
        """Return whether the path still leads to this folder."""
        try:
            return os.path.samestat(self._found, os.stat(self.path, follow_symlinks=False))
        except OSError:
            return False

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            os.close(self._handle)


def is_folder(path: Path) -> bool:
    """Return whether there is a folder of this name. Raises UserError for a link, a file or anything else."""
    try:
        found = os.stat(path, follow_symlinks=False)  # one look: another process may rename it before a second
    except (FileNotFoundError, NotADirectoryError):
        return False
    wanted(path, "a folder", found)
    return True


def make_folder(path: Path) -> None:
    """Make the folder unless it is there. Raises UserError for a link, a file or anything else of its name."""
    if not is_folder(path):
        os.mkdir(path)


def exists(path: Path) -> bool:
    """Return whether something has this name, be it a link to nowhere."""
    return os.path.lexists(path)


def limited(file: File, limit: int) -> bytes:
    """Return the whole content. Raises UserError if it is longer than `limit` bytes."""
    if file.size > limit:
        raise UserError(f"{file.path} is damaged: {file.size:,} bytes, and at most {limit:,} can be right")
    return file.read(file.size)


def read(path: Path, limit: int) -> bytes:
    """Return the content of the file. Raises UserError if it is missing, no regular file or longer than `limit` bytes."""
    with reading(path), Folder(path.parent, follow=True) as folder, folder.open(path.name) as file:
        return limited(file, limit)


def write(path: Path, content: bytes | str) -> None:
    """Replace the file by one with this content, in one move."""
    draft = path.with_name(path.name + NEW)
    try:
        remove(draft)
        create(draft, content.encode() if isinstance(content, str) else content)
        os.replace(draft, path)
    except OSError:
        with contextlib.suppress(OSError):
            remove(draft)
        raise


def create(path: Path, *contents: Iterable[Any]) -> None:
    """Write a file that is not there yet, and wait until it is on the disk. `contents` are bytes or several of them."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | SAFELY, 0o666)
    try:
        for content in contents:
            for part in [content] if isinstance(content, bytes) else content:
                write_all(descriptor, part)
        os.fsync(descriptor)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        os.close(descriptor)


def write_all(descriptor: int, content: Any) -> None:
    """Write bytes, or an array."""
    rest = memoryview(content).cast("B")
    while rest:
        rest = rest[os.write(descriptor, rest[: 64 * MIB]) :]


def appender(path: Path, size: int) -> int:
    """Return the descriptor of the file, open to write at its end, after its first `size` bytes. Cuts off the rest."""
    if exists(path) and os.stat(path, follow_symlinks=False).st_nlink > 1:
        with Folder(path.parent, follow=True) as folder, folder.open(path.name) as file:
            content = file.read(size)
        write(path, content)
    return opened(path, size)


def opened(path: Path, size: int | None = None) -> int:
    """Return the descriptor of a regular file, made if it is missing, open to write at its end. Cuts it to `size` bytes."""
    if exists(path):
        wanted(path, "a file", os.stat(path, follow_symlinks=False))
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | SAFELY, 0o666)
    try:
        wanted(path, "a file", os.fstat(descriptor))
        if size is not None:
            os.ftruncate(descriptor, size)
    except (OSError, UserError):
        os.close(descriptor)
        raise
    return descriptor


def remove(path: Path) -> None:
    """Remove what has this name: a link itself, a folder with all that is in it. Does nothing if there is none."""
    if exists(path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            os.unlink(path)


def sync_folder(folder: Path) -> None:
    """Wait until the names in the folder are on the disk, where the system can wait for that."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def parse(content: bytes, path: Path) -> Any:
    """Read JSON. Raises UserError, with the path, for anything else.

    That is also nan and infinity, a key that is given twice, and a string with half of a pair of surrogates.
    """
    try:
        value = json.loads(content.decode(), object_pairs_hook=once, parse_constant=no_number)
        json.dumps(value, ensure_ascii=False).encode()
        return value
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged, not JSON: {error}") from None


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dict of the pairs. Raises ValueError for a key that is there twice: readers would differ in which one counts."""
    made = dict(pairs)
    if len(made) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise ValueError(f"the key {next(name for name, count in counts.items() if count > 1)!r} is there twice")
    return made


def no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")
