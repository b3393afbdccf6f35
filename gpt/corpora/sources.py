"""Which files a corpus is made of, in which order: a list on the disk, so that ten million files need no memory.

The order is that of the command line; within a folder, by path, as bytes. The list is sorted in parts, which are merged.
"""

from __future__ import annotations

import contextlib
import fnmatch
import heapq
import json
import os
import re
import stat
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple

from gpt.config import HUB
from gpt.corpora import hub
from gpt.errors import UserError, reading
from gpt.run import files

PART = 100_000  # files that are sorted together
DEEP = 50  # folders that are open at once
PLAIN = ("*.txt", "*.text", "*.md", "*.jsonl", "*.ndjson", "*.parquet")
GLOBS = (*PLAIN, *(f"{pattern}{packed}" for pattern in PLAIN[:-1] for packed in (".gz", ".zst")))


class Source(NamedTuple):
    """A file, with the size and time of change that it had when it was listed; a dataset has no size, and a stamp as time."""

    path: str
    size: int = 0
    changed: int = 0  # nanoseconds

    @property
    def is_dataset(self) -> bool:
        return self.path.startswith(HUB)

    @property
    def kind(self) -> str:
        """What it holds, by its name: text, jsonl or parquet."""
        if self.is_dataset:
            return "dataset"
        name = self.path.lower().removesuffix(".gz").removesuffix(".zst")
        return "jsonl" if name.endswith((".jsonl", ".ndjson")) else "parquet" if name.endswith(".parquet") else "text"


@dataclass(frozen=True)
class Found:
    """What a list has."""

    files: int
    size: int  # bytes of all together
    texts: int  # files that are a text each
    left_out: str  # the links, FIFOs, … in folders; "" if there are none

    @property
    def is_one_text(self) -> bool:
        return self.files == self.texts == 1


def write_list(inputs: Sequence[str], globs: Sequence[str], out: Path, path: Path) -> Found:
    """Write the list of the files that the inputs name, without `out`. Raises UserError if there is no text among them."""
    count = size = texts = 0
    left_out: Counter[str] = Counter()
    draft = path.with_name(path.name + files.NEW)
    with open(draft, "w", encoding="ascii", newline="\n") as lines:  # places in it are counted with LF, on Windows too
        for given in inputs:
            before = count
            for source in listed(given, globs, out, left_out):
                lines.write(json.dumps(source) + "\n")
                count, size = count + 1, size + source.size
                texts += source.kind == "text"
            if count == before:
                raise UserError(nothing(given, globs, left_out))
        lines.flush()
        os.fsync(lines.fileno())
    os.replace(draft, path)
    return Found(count, size, texts, counted(left_out))


def nothing(given: str, globs: Sequence[str], left_out: Counter[str]) -> str:
    """Say that there is no text in a folder, or in a file."""
    if not os.path.isdir(given):
        return f"{given} is empty; give a file with text"
    others = f" (it has {counted(left_out)}, which are not read)" if left_out else ""
    default = tuple(globs) == GLOBS
    kinds = ", ".join(PLAIN) + ", also with .gz or .zst" if default else ", ".join(globs)
    return f"{given} has no text: no file in it that is not empty is called {kinds}{others}; --glob '*.py' takes others"


def counted(left_out: Counter[str]) -> str:
    return ", ".join(f"{n:,} {what}" for what, n in sorted(left_out.items()))


def read_list(path: Path, offset: int = 0) -> Iterator[tuple[int, Source]]:
    """Yield each file of the list from a place in it on, and where the next one is."""
    with open(path, encoding="ascii", newline="\n") as lines:
        lines.seek(offset)
        while line := lines.readline():
            offset += len(line)
            yield offset, Source(*json.loads(line))


def absolute(path: str) -> str:
    """Return the path that names the same from any working folder."""
    return os.path.abspath(os.path.expanduser(path))


def named(given: str) -> str:
    """Return what names an input from any working folder."""
    return hub.named(given) if given.startswith(HUB) else absolute(given)


def listed(given: str, globs: Sequence[str], out: Path, left_out: Counter[str]) -> Iterator[Source]:
    """Yield the files that an argument names, in order: those of a folder whose name is like one of `globs`."""
    if given.startswith(HUB):
        path = named(given).removeprefix(HUB)
        if hub.is_folder(path) and Path(path) in (out.absolute(), *out.absolute().parents):
            raise UserError(f"--out {out} is in {given}, whose files are all read; take a folder elsewhere")
        yield Source(named(given), changed=hub.stamp(given))
        return
    path = absolute(given)
    with reading(given):
        found = os.stat(path)  # a link that the user names is followed
    if stat.S_ISDIR(found.st_mode):
        yield from in_order(walk(given, path, globs, out, left_out), out)
        return
    if not stat.S_ISREG(found.st_mode):
        raise UserError(
            f"{given} is {files.kind(found.st_mode)}: a corpus is read more than once, so write it to a file first"
        )
    if found.st_size:
        yield Source(path, found.st_size, found.st_mtime_ns)


def walk(given: str, folder: str, globs: Sequence[str], out: Path, left_out: Counter[str]) -> Iterator[Source]:
    """Yield the files in a folder and below, in any order. No link is followed, nothing hidden is read.

    In memory are the entries of few folders at a time, whatever their number: a folder is left for one in it, and gone on with.
    """
    wanted = re.compile("|".join(fnmatch.translate(pattern.lower()) for pattern in globs))
    levels: list[Iterator[os.DirEntry[str]]] = [entries(folder, given)]  # from the folder to the one that is read
    while levels:
        entry = next(levels[-1], None)
        if entry is None:
            levels.pop()
        elif entry.name.startswith("."):
            continue
        elif entry.is_dir(follow_symlinks=False):
            if not (entry.name == out.name and out.exists() and os.path.samefile(entry.path, out)):
                levels.append(entries(entry.path, entry.path))
            if len(levels) > DEEP:  # no process may have as many folders open as a path may have
                levels[-1 - DEEP] = iter(list(levels[-1 - DEEP]))
        elif wanted.match(entry.name.lower()):
            with reading(entry.path), contextlib.suppress(FileNotFoundError):  # it vanished: then it is not there
                found = entry.stat(follow_symlinks=False)
                if not stat.S_ISREG(found.st_mode):
                    left_out[files.kind(found.st_mode).partition(" ")[2] + "s"] += 1
                elif found.st_size:
                    yield Source(entry.path, found.st_size, found.st_mtime_ns)


def entries(folder: str, name: str) -> Iterator[os.DirEntry[str]]:
    """Yield what is in a folder, which is open until the last one."""
    with reading(name), os.scandir(folder) as found:
        yield from found


def in_order(found: Iterable[Source], folder: Path) -> Iterator[Source]:
    """Yield the sources by path. PART of them are in memory; more are sorted in files in `folder`, which are merged."""
    rest = iter(found)
    parts: list[list[Source]] = []
    with contextlib.ExitStack() as stack:
        stored: list[Iterator[Source]] = []
        while part := sorted(islice(rest, PART), key=key):
            parts.append(part)
            if len(parts) == 1 and len(part) < PART:
                break
            file = stack.enter_context(tempfile.TemporaryFile("w+", encoding="ascii", newline="\n", dir=folder))
            stored.append(on_disk(parts.pop(), file))
        yield from heapq.merge(*parts, *stored, key=key)


def key(source: Source) -> bytes:
    return os.fsencode(source.path)


def on_disk(part: list[Source], file: IO[str]) -> Iterator[Source]:
    """Write the sources into a file; return them as an iterator over it."""
    file.writelines(json.dumps(source) + "\n" for source in part)
    file.seek(0)
    return (Source(*json.loads(line)) for line in file)
