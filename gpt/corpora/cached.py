"""A dataset of the Hugging Face Hub as a corpus in the cache folder: what gpt.train --data hf:NAME reads.

    CACHE/corpora/NAME-KEY/VERSION/TOKENS/    a corpus, as gpt.prepare makes it

VERSION is the commit; of a folder on this machine a checksum of what its files are. KEY is a checksum of all else that decides
the bits beside the tokens: name, subset, split, field, share for validation, …, and the formats of the files.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from gpt import cli, tokenizers
from gpt.config import HUB
from gpt.corpora import hub, job, manifest
from gpt.corpora.job import Job
from gpt.corpora.manifest import MANIFEST, STATE
from gpt.corpora.progress import Shown
from gpt.corpora.stored import Stored, is_corpus, is_unfinished, open_corpus
from gpt.errors import UserError
from gpt.run import files
from gpt.run.arrays import checksum
from gpt.run.files import MIB
from gpt.tokenizers import Tokenizer, folders

CACHE_VARIABLE = "TINYTENSOR_CACHE"  # a folder to use in place of the user's cache folder
KEPT = 48  # characters of a name that a folder shows


@dataclass(frozen=True)
class Reader:
    """Who reads a dataset: with the tokens of that name, or with `given` ones; if it knows the checksum, that corpus."""

    tokenizer: str = "chars"
    given: Tokenizer | None = None
    sha256: str | None = None
    show: Shown = field(default_factory=Shown)


def cache_folder() -> Path:
    """Return where texts are kept that were fetched."""
    import pooch

    return Path(os.environ.get(CACHE_VARIABLE) or pooch.os_cache("tinytensor"))


def open_dataset(name: str, reader: Reader, threads: int) -> Stored:
    """Return the corpus of hf:NAME or hf:NAME@COMMIT; make it, or go on with it, if it is not there.

    Without a commit it is the one that was the newest when a corpus of these tokens was first made.
    """
    reader, dataset = with_tokens(reader), dataset_of(name)
    folder = known(dataset, reader.sha256)
    if folder is None:
        _, commit = hub.parsed(name)
        place = folder_of(dataset, reader)
        version = hub.fingerprint(dataset) if hub.is_folder(dataset) else commit
        folder = find(place, version, reader)
        if folder is None:
            folder = place / (version or hub.resolved(name, hub.Part()) or "") / slug(reader)
    canonical = HUB + dataset + ("" if hub.is_folder(dataset) else f"@{folder.parent.name}")
    try:
        if not is_corpus(folder):
            make(canonical, folder, reader)
        return open_corpus(folder, threads, canonical)
    except UserError as error:
        if is_corpus(folder):
            raise UserError(f"{error}; or remove {cli.word(folder)}, and {canonical} is streamed again") from None
        raise UserError(f"{error} (python -m gpt.prepare {name} --out DIR has more flags; then --data DIR)") from None
    finally:
        reader.show.close()


def with_tokens(reader: Reader) -> Reader:
    """Return the reader with the tokenizer of a folder, which may have another one tomorrow, or a copy elsewhere."""
    if reader.given is not None or not folders.is_folder(reader.tokenizer):
        return reader
    made = tokenizers.named(reader.tokenizer)
    return replace(reader, tokenizer=made.name, given=made)


def dataset_of(name: str) -> str:
    """Return the name without the commit; of a folder, which may be gone, the whole path."""
    text = hub.named(name).removeprefix(HUB)
    return text if hub.is_folder(text) else text.partition("@")[0]


def work(name: str, folder: Path, reader: Reader) -> Job:
    """Return the job that makes the corpus: gpt.prepare's with its defaults."""
    return Job((name,), folder, reader.tokenizer, given=reader.given)


def folder_of(dataset: str, reader: Reader) -> Path:
    """Return the folder of all corpora of a dataset, whatever the version and the tokens."""
    settings = work(HUB + dataset, Path(), reader).settings()
    others = {name: value for name, value in settings.items() if name not in ("TEXT", "--tokenizer", job.TOKENS)}
    key = checksum(json.dumps([dataset, others, job.FORMAT, manifest.FORMAT], sort_keys=True).encode())
    return cache_folder() / "corpora" / f"{shown(dataset)}-{key[:16]}"


def shown(dataset: str) -> str:
    """Return the end of the name, as a folder can be called."""
    return re.sub(r"[^\w.-]+", "-", dataset, flags=re.ASCII).strip("-")[-KEPT:]


def slug(reader: Reader) -> str:
    """Return the name of the folder of a corpus with these tokens."""
    name = re.sub(r"[^\w.-]+", "-", reader.tokenizer, flags=re.ASCII)[:KEPT]
    return name if reader.given is None else f"{name}-{checksum(json.dumps(reader.given.to_json()).encode())[:16]}"


def known(dataset: str, sha256: str | None) -> Path | None:
    """Return the folder of the corpus with that checksum, if the cache has it: also of an older version with other defaults, and
    of a folder that is gone."""
    for folder in (cache_folder() / "corpora").glob(f"{shown(dataset)}-*/*/*") if sha256 else ():
        with suppress(UserError):  # a damaged one, or none
            if manifest.read_manifest(folder).checksum == sha256:
                return folder
    return None


def find(place: Path, version: str | None, reader: Reader) -> Path | None:
    """Return the folder of the corpus that the reader needs, if it is there, or of one that was begun.

    Of several versions, if none is named, it is the one that was made last.
    """
    name = slug(reader)
    corpora = list(place.glob("*/*"))
    for folder in newest(corpora, MANIFEST):
        with suppress(UserError):  # a damaged one
            if is_wanted(folder, version, name, reader):
                return folder
    begun = [each for each in newest(corpora, STATE) if each.name == name]
    return next((each for each in begun if version in (None, each.parent.name)), None)


def is_wanted(folder: Path, version: str | None, name: str, reader: Reader) -> bool:
    """Return whether a finished corpus is what the reader needs, who calls its tokens `name`. Raises UserError if it cannot
    be read."""
    if version not in (None, folder.parent.name):
        return False
    if folder.name == name or reader.given is None:
        return folder.name == name
    return manifest.read_manifest(folder).tokenizer.to_json() == reader.given.to_json()


def newest(places: list[Path], name: str) -> list[Path]:
    """Return the folders that have a file of that name, the one whose file is the newest first."""
    times = {each: (each / name).stat().st_mtime_ns for each in places if files.exists(each / name)}
    return sorted(times, key=lambda each: (-times[each], str(each)))


def make(name: str, folder: Path, reader: Reader) -> None:
    """Stream the dataset into a corpus. The first line says how much that is, and how to take less."""
    begun = is_unfinished(folder)
    reader.show.note(
        f"{'going on to stream' if begun else 'streaming'} {name}{'' if begun else f' ({amount(name, reader)})'} into {folder}; "
        f"Ctrl-C keeps the tokens that are there; for a part of it: python -m gpt.prepare {name} --limit 1000 --out DIR"
    )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot make {error.filename}: {error.strerror}; set {CACHE_VARIABLE} to a folder with room for it"
        ) from None
    try:
        job.prepare(work(name, folder, reader), reader.show)
    except UserError:
        if not is_corpus(folder):  # else another process has finished it meanwhile
            raise


def amount(name: str, reader: Reader) -> str:
    """Say how large a dataset is, and how often it is read."""
    size = hub.size(name, hub.Part())
    much = f"{size / MIB:,.0f} MiB with all its columns" if size else "it does not say how large it is"
    twice = reader.given is None and folders.learns(reader.tokenizer)
    return much + (f", read twice, the first time to learn {reader.tokenizer}" if twice else "")
