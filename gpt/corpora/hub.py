"""A dataset of the Hugging Face Hub, or a folder like one, read row by row as it comes: hf:NAME, hf:NAME@COMMIT."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from gpt.config import HUB
from gpt.errors import UserError, reading, shown
from gpt.hf.folder import NAME

COMMIT = re.compile("[0-9a-f]{40}")


@dataclass(frozen=True)
class Part:
    """Which part of a dataset: a subset, if it has some, a split, and a revision."""

    subset: str | None = None
    split: str = "train"
    revision: str | None = None


def parsed(given: str) -> tuple[str, str | None]:
    """Return the name, a path if it is a folder, and the commit after @. Raises UserError if neither can be right."""
    text = os.path.expanduser(given.removeprefix(HUB))
    if os.path.isdir(text):
        return os.path.abspath(text), None
    name, at, commit = text.partition("@")
    if not NAME.fullmatch(name):
        raise UserError(f"{shown(given)}: there is no such folder, and no dataset has such a name; give hf:OWNER/NAME")
    if at and not COMMIT.fullmatch(commit):
        raise UserError(
            f"{shown(given)}: after @ stands a commit, 40 digits from 0 to f; gpt.prepare --revision takes branches and tags"
        )
    return name, commit or None


def is_folder(name: str) -> bool:
    """Return whether a name that `parsed` returned is that of a folder."""
    return os.path.isabs(name)


def named(given: str) -> str:
    """Return what names the dataset from any working folder."""
    with suppress(UserError):
        name, _ = parsed(given)
        return HUB + name if is_folder(name) else given
    return given


def resolved(given: str, part: Part) -> str | None:
    """Return the revision, a commit, that the dataset has now; None for a folder. A resumed job reads the same one."""
    name, commit = parsed(given)
    if is_folder(name):
        if part.revision:
            raise UserError(f"--revision {part.revision}: {given} is a folder, which has no revisions; leave it out")
        return None
    if commit and part.revision:
        raise UserError(f"--revision {part.revision}: {given} says which commit it is; leave one of them out")
    library()  # who lacks it hears that first
    if commit:
        return commit
    try:
        from huggingface_hub import HfApi

        sha: str | None = HfApi().dataset_info(name, revision=part.revision).sha
        return sha
    except Exception as error:  # no network, no such dataset: each library below has errors of its own
        raise unreachable(given, error) from None


def fingerprint(folder: str) -> str:
    """Return what changes when a file in the folder does: a checksum of all paths, sizes and times."""
    found = hashlib.sha256()
    with reading(folder):
        for path, folders, names in os.walk(folder):
            folders.sort()
            for name in sorted(names):
                state = os.stat(os.path.join(path, name), follow_symlinks=False)
                found.update(
                    f"{os.path.join(path, name)}\0{state.st_size} {state.st_mtime_ns}\0".encode(errors="replace")
                )
    return found.hexdigest()


def stamp(given: str) -> int:
    """Return a number that is another when a file of a folder was changed; 0 for a dataset of the Hub, which has commits."""
    name = named(given).removeprefix(HUB)
    return int(fingerprint(name)[:15], 16) if is_folder(name) else 0


def size(given: str, part: Part) -> int | None:
    """Return how many bytes the rows of the split have, with all their columns; None if the dataset does not say it."""
    with suppress(Exception):  # who cannot be reached says so when the rows are read
        name, commit = parsed(given)
        found = library().load_dataset_builder(name, part.subset, revision=commit or part.revision).info.splits
        return int(found[part.split].num_bytes) or None
    return None


def rows(given: str, field: str, part: Part, first: int = 0) -> Iterator[tuple[int, object]]:
    """Yield the field of each row from number `first` on, with the number."""
    datasets = library()
    name, commit = parsed(given)
    revision = commit or part.revision
    try:
        found: Any = datasets.load_dataset(name, part.subset, split=part.split, revision=revision, streaming=True)
        for number, row in enumerate(found.skip(first) if first else found, first):
            if field not in row:
                has = shown(", ".join(map(repr, row)))
                raise UserError(f"{given} has no field {field!r}: it has {has}; --field NAME takes another one")
            yield number, row[field]
    except UserError:
        raise
    except Exception as error:
        raise unreachable(given, error) from None


def library() -> Any:
    """Return the package `datasets`."""
    try:
        import datasets
    except ImportError:
        raise UserError("hf:NAME takes a package: pip install datasets") from None
    datasets.disable_progress_bars()
    return datasets


def unreachable(given: str, error: Exception) -> UserError:
    why = " ".join(str(error).split()).rstrip(".")
    advice = "give the same command again to go on, or take files"
    if type(error) is ValueError:  # so `datasets` says that there is no such subset or split
        advice = "gpt.prepare has --subset and --split"
    return UserError(f"{given} cannot be read ({type(error).__name__}: {shown(why)}); {advice}")
