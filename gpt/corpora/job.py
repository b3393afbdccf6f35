"""The work of gpt.prepare: list the files, look at the text once, write its tokens, check them. A kill loses seconds.

    DIR/sources.jsonl      the files, in order: gpt/corpora/sources.py
    DIR/preparing.json     how far it is, sealed; gone when the corpus is finished

A kill may come at any instant. Who goes on cuts the files of tokens to the length that preparing.json says, and reads on
from the place that it says. The result has the same bits, since nothing in it depends on when the state was saved.
The settings are saved before all work: another command finds them there, and is refused.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpt import tokenizers
from gpt.cli import word
from gpt.config import HUB, TOKENIZER
from gpt.corpora import hub, manifest, sources, writing
from gpt.corpora.documents import Document, How, documents
from gpt.corpora.manifest import MANIFEST, SPLITS, STATE
from gpt.corpora.pieces import UNIT, Beginning, Limit, Sample, Section, bundled, pieces
from gpt.corpora.progress import Advance, Shown
from gpt.corpora.sources import Found, Source, absolute, read_list, write_list
from gpt.corpora.writing import Writer, type_of
from gpt.errors import Stopped, UserError, shown
from gpt.run import files
from gpt.run.arrays import checksum
from gpt.run.interrupt import Interrupt
from gpt.run.lock import LOCK, locked
from gpt.run.sealed import is_sealed, seal
from gpt.tokenizers import BPETokenizer, CharTokenizer, Tokenizer
from gpt.tokenizers.bpe import learn
from gpt.tokenizers.characters import code_points
from gpt.tokenizers.foreign import END

LIST = "sources.jsonl"
FORMAT = 2  # of preparing.json
BEGINNING = {LOCK, LIST, LIST + files.NEW, STATE, STATE + files.NEW}  # what a job leaves that was killed early
FULL = (errno.ENOSPC, errno.EDQUOT) if hasattr(errno, "EDQUOT") else (errno.ENOSPC,)
AGAIN = "the same command goes on from there"
LONGEST = 64 << 20  # bytes of preparing.json, which may have a tokenizer
TEXT_END = "\n\n"  # after a document, where the tokenizer has no token for it
ENOUGH = 1 << 18  # characters that are encoded together; four times as many of byte pairs, which threads may share
SAVED_EVERY = 5.0  # seconds
TOKENS = "tokens"  # the setting that holds the checksum of a tokenizer which is there already
FEW = 100  # texts whose split is looked up before the work


@dataclass(frozen=True)
class Job:
    """What is made of which texts. `tokenizer` is the name, and `given` the tokenizer if there is one already."""

    inputs: tuple[str, ...]
    out: Path
    tokenizer: str
    how: How = field(default_factory=How)
    globs: tuple[str, ...] = sources.GLOBS
    validation: float = 0.1
    sample: int = 8 << 20
    limit: int | None = None  # bytes of text
    given: Tokenizer | None = None

    def settings(self) -> dict[str, Any]:
        """Return what decides the result, each under the name of its flag; a job that goes on must have the same."""
        part = self.how.dataset
        return {
            "TEXT": [sources.named(each) for each in self.inputs],
            "--tokenizer": from_anywhere(self.tokenizer),
            TOKENS: None if self.given is None else checksum(json.dumps(self.given.to_json()).encode()),
            "--field": self.how.name, "--errors": "replace" if self.how.replace else "strict", "--glob": list(self.globs),
            "--validation": self.validation, "--sample": self.sample, "--limit": self.limit,
            "--subset": part.subset, "--split": part.split, "--revision": part.revision,
        }  # fmt: skip


def from_anywhere(tokenizer: str) -> str:
    """Return what names the tokenizer from any working folder: the path of a folder becomes absolute."""
    folder = re.sub("^(run:|gpt2:)?(hf:)?", "", tokenizer)
    is_folder = os.path.isdir(os.path.expanduser(folder)) and tokenizer not in TOKENIZER.choices
    return tokenizer.removesuffix(folder) + absolute(folder) if is_folder else tokenizer


@dataclass
class State:
    """How far a job is."""

    settings: dict[str, Any]
    found: Found | None = None
    revision: str | None = None  # of a dataset of the Hub
    characters: int | None = None  # of a single text
    tokenizer: dict[str, Any] | None = None
    offset: int = 0  # the place in the list of the file that is read
    document: int = 0  # the next document in it
    piece: int = 0  # the next piece of that document
    size: int = 0  # bytes of the files before
    text: int = 0  # bytes of the text of the documents before
    is_read: bool = False  # whether all of the text was read once, for the tokenizer or its length
    counts: dict[str, dict[str, int]] = field(
        default_factory=lambda: {
            split: dict.fromkeys(("tokens", "characters", "bytes", "documents"), 0) for split in SPLITS
        }
    )
    is_written: bool = False

    @property
    def has_begun(self) -> bool:
        """Whether there is work that would be lost: tokens, or a first pass over the text."""
        return self.is_written or self.is_read or any((self.offset, self.document, self.piece))

    def save(self, folder: Path) -> None:
        files.write(folder / STATE, json.dumps(seal({"format": FORMAT, **asdict(self)})))


def prepare(job: Job, show: Shown) -> dict[str, Any]:
    """Make the corpus, or go on with it. Return what its manifest says. Raises Stopped on Ctrl-C or SIGTERM.

    An error of a command that found nothing in the folder leaves nothing there, unless it made something to go on with.
    """
    is_new = make_folder(job.out)
    try:
        with locked(job.out, "preparing a corpus"):
            check_folder(job.out)  # another process may have finished it meanwhile
            is_first = not files.exists(job.out / STATE)
            state = open_state(job)
            try:
                return carry_out(job, state, show)
            except UserError:
                if is_first:
                    clear(job.out)
                raise
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise UserError(f"{error.filename or job.out}: {error.strerror}; make room, and {AGAIN}") from None
    finally:
        if is_new:
            with contextlib.suppress(OSError):  # it is not empty
                job.out.rmdir()


def clear(out: Path) -> None:
    """Remove what a job left in the folder, unless it can go on there. The lock, which this process holds, is last."""
    if begun(out) or files.exists(out / MANIFEST):
        return
    for name in sorted(os.listdir(out), key=lambda name: name == LOCK):
        if name in BEGINNING or writing.NAME.fullmatch(name):
            with contextlib.suppress(OSError):
                files.remove(out / name)


def carry_out(job: Job, state: State, show: Shown) -> dict[str, Any]:
    """Make the corpus in its folder, which is locked."""
    interrupt = Interrupt()
    if state.has_begun:
        show.note(f"going on with {job.out}")
    work = Work(job, state, interrupt, show)
    work.list_files()
    tokenizer = work.look()  # Ctrl-C ends it at once: there is nothing to save
    with interrupt:
        work.write(tokenizer)
        total = sum(counts["tokens"] for counts in state.counts.values()) * type_of(tokenizer.vocab_size).itemsize
        advance = show.stage("checking", total)

        def read(count: int) -> None:
            work.stop_if_asked()
            advance(count)

        manifest.finish(job.out, said(job, state), tokenizer, read)
    files.remove(job.out / STATE)
    files.remove(job.out / LIST)
    return manifest.read_manifest(job.out).said


def said(job: Job, state: State) -> dict[str, Any]:
    """Return what the manifest says of the texts, without paths and times: the same texts have the same checksum."""
    assert state.found is not None
    return {
        "splits": state.counts,
        "split_by": "position" if state.found.is_one_text else "document",
        "validation": job.validation,
        "files": state.found.files,
        "errors": "replace" if job.how.replace else "strict",
        **({} if job.limit is None else {"limit": job.limit}),
    }


def begun(out: Path) -> bool:
    """Return whether there is work in the folder that a job can go on with, or a state that cannot be read."""
    if not files.exists(out / STATE):
        return False
    try:
        return read_state(out / STATE).has_begun
    except UserError:
        return True


def make_folder(out: Path) -> bool:
    """Make --out; return whether it is new. Raises UserError if it has something else than what an unfinished job leaves."""
    try:
        is_new = not out.exists()
        out.mkdir(parents=True, exist_ok=True)
        check_folder(out)
    except OSError as error:
        raise UserError(f"cannot make --out {error.filename}: {error.strerror}; give another one") from None
    return is_new


def check_folder(out: Path) -> None:
    """Raise UserError if --out has a finished corpus, or what no job leaves that was stopped early."""
    found = {path.name for path in out.iterdir()}
    if STATE in found:
        return
    if MANIFEST in found:
        raise UserError(
            f"--out {out} has a finished corpus: train with python -m gpt.train --data {word(out)}, or take another folder"
        )
    if found - BEGINNING:
        raise UserError(f"--out {out} is not empty: it has {shown(min(found - BEGINNING))}; take another folder")


def open_state(job: Job) -> State:
    """Return the state of the job in its folder, a new one, which is saved, if it has none.

    Raises UserError if it is that of another command.
    """
    path, settings = job.out / STATE, job.settings()
    if not files.exists(path):
        state = State(settings)
        state.save(job.out)
        return state
    state = read_state(path)
    if state.settings.keys() != settings.keys():
        raise of_another_version(path)
    others = [name for name in settings if state.settings[name] != settings[name]]
    if others:
        if "--tokenizer" in others and TOKENS in others:
            others.remove(TOKENS)
        which = " and ".join(difference(name, state.settings[name], settings[name]) for name in others)
        raise UserError(
            f"--out {job.out} has the unfinished corpus of another command, with {which}; "
            f"give that command again to go on, or take another --out; to give that corpus up, remove {word(job.out)}"
        )
    return state


def difference(name: str, then: Any, now: Any) -> str:
    """Say how a setting differs."""
    if name == TOKENS:
        return "other tokens of the same name"
    if name in ("--sample", "--limit"):  # gpt.prepare has them in 2^20
        then, now = (each and f"{each / 2**20:g}" for each in (then, now))
    if isinstance(then, list):
        first = next(pair for pair in zip_longest(then, now) if pair[0] != pair[1])
        then, now = (
            each and (each if len(each) <= 80 else f"…{each[-60:]}") for each in first
        )  # paths differ at their ends
    if then is None:
        return f"no {name} {shown(now)}"
    return f"{name} {shown(then)}" + ("" if now is None else f", not {shown(now)}")


def read_state(path: Path) -> State:
    """Return the state in a file. Raises UserError if it was altered, or is not what this version writes."""
    read = files.parse(files.read(path, LONGEST), path)
    if not is_sealed(read):
        raise UserError(f"{path} was altered: its checksum is another; begin again in an empty --out")
    try:
        if read.keys() - {"checksum"} != {"format", *asdict(State({}))} or read["format"] != FORMAT:
            raise of_another_version(path)
        said = {name: read[name] for name in asdict(State({}))}
        state = State(**{**said, "found": said["found"] and Found(**said["found"])})
        numbers = [state.offset, state.document, state.piece, state.size, state.text, state.characters or 0]
        numbers += [state.found.files, state.found.size, state.found.texts] if state.found else []
        numbers += [state.counts[split][name] for split, new in State({}).counts.items() for name in new]
        if not isinstance(state.settings, dict) or not all(type(each) is int and each >= 0 for each in numbers):
            raise of_another_version(path)
        if state.has_begun or state.tokenizer:  # it has a list of files then, and of a single text its length
            tokenizers.from_json(state.tokenizer)
            if not state.found or (state.found.is_one_text and state.characters is None):
                raise of_another_version(path)
    except (KeyError, TypeError, ValueError):  # UserError is a ValueError
        raise of_another_version(path) from None
    return state


def of_another_version(path: Path) -> UserError:
    return UserError(f"{path} was begun by another version of gpt.prepare; begin again in an empty --out")


class Counted:
    """Counts the bytes of a file once, though a text may be read twice, and a table has more bytes than its file."""

    def __init__(self, advance: Advance, source: Source, look_up: Callable[[], object]) -> None:
        self._advance, self._look_up = advance, look_up
        self._size, self._seen = sys.maxsize if source.is_dataset else source.size, 0

    def reader(self) -> Advance:
        """Return what counts the bytes of one reading, from the beginning of the file on."""
        place = 0

        def read(count: int) -> None:
            nonlocal place
            self._look_up()
            place = min(place + count, self._size)
            self._count_to(place)

        return read

    def _count_to(self, place: int) -> None:
        if place > self._seen:
            self._advance(place - self._seen)
            self._seen = place

    def rest(self) -> None:
        """Count what is left of the file."""
        if self._size < sys.maxsize:
            self._count_to(self._size)


class Work:
    """The stages of a job."""

    def __init__(self, job: Job, state: State, interrupt: Interrupt, show: Shown) -> None:
        self.job, self.state, self._interrupt, self._show = job, state, interrupt, show
        self.how = job.how

    def stop_if_asked(self) -> None:
        if self._interrupt.signal is not None:
            raise Stopped(self._interrupt.signal, f"stopped; {AGAIN}")

    @property
    def found(self) -> Found:
        assert self.state.found is not None
        return self.state.found

    # --------------------------------------------------------------------------------- which files

    def list_files(self) -> None:
        """List the files, unless that is done."""
        job, state = self.job, self.state
        if state.found is None:
            datasets = [each for each in job.inputs if each.startswith(HUB)]
            if len(datasets) > 1:
                raise UserError(f"{datasets[1]}: a corpus is made of one dataset at most; prepare each on its own")
            if not datasets and job.how.dataset != hub.Part():
                raise UserError(
                    "--subset, --split and --revision are of a dataset, hf:NAME, and none is named; leave them out"
                )
            state.revision = hub.resolved(datasets[0], job.how.dataset) if datasets else None
            state.found = write_list(job.inputs, job.globs, job.out, job.out / LIST)
            self._refuse_an_empty_split()
            state.save(job.out)
            if state.found.left_out:
                self._show.note(f"left out {state.found.left_out}: only files in a folder are read")
        if state.revision:
            self.how = replace(job.how, dataset=replace(job.how.dataset, revision=state.revision))

    def _refuse_an_empty_split(self) -> None:
        """Raise UserError if all of a few texts are in one split. Many documents are in both."""
        if self.found.is_one_text or self.found.texts != self.found.files or self.found.files > FEW:
            return
        limit, share = Limit(self.job.limit), self.job.validation
        shares = sorted((share_of(document), document.name) for _, source in read_list(self.job.out / LIST)
                        for document in self._documents_of(source, limit))  # fmt: skip
        if len(shares) == 1:
            raise UserError(
                f"--limit ends within {shares[0][1]}, and one of several texts is not cut in two; name it alone, or raise --limit"
            )
        if shares[0][0] >= share or shares[-1][0] < share:
            if shares[0][0] == shares[-1][0]:
                raise UserError(f"these {len(shares)} texts are the same: name one of them, which is cut in two")
            which = "none" if shares[0][0] >= share else "each"
            between = math.ceil((shares[0][0] + shares[1][0]) / 2 * 1000) / 1000
            raise UserError(
                f"{which} of these {len(shares)} texts is for validation with --validation {share}: the checksum of a text "
                f"decides; --validation {between} takes {shares[0][1]}, and one text alone is cut in two"
            )

    def _stage(self, name: str, state: State, limit: Limit) -> Iterator[tuple[int, int, Source, Counted]]:
        """Yield the files from the place of `state` on, until the limit: where the next is in the list, bytes before it, the
        file, and what counts its bytes."""
        size, most = state.size, self.job.limit
        total = self.found.size if most is None else min(self.found.size or most, most)
        done = size if self.found.size else state.text  # a dataset has no size, so what it yields is counted
        left = total - min(done, total) if total else sys.maxsize
        advance = self._show.stage(name, total, min(done, total) if total else done)

        def within(count: int) -> None:  # packed text is shorter than its limit, and JSON longer
            nonlocal left
            advance(min(count, left))
            left -= min(count, left)

        for after, source in read_list(self.job.out / LIST, state.offset):
            if limit.is_reached:
                break
            counted = Counted(within, source, self.stop_if_asked)
            yield after, size, source, counted
            counted.rest()
            size += source.size

    # ----------------------------------------------------------------------------- the first look

    def look(self) -> Tokenizer:
        """Return the tokenizer. Reads all of the text where it has to: for its characters, a sample of it, or its length."""
        job, state = self.job, self.state
        if state.tokenizer is not None:
            return tokenizers.from_json(state.tokenizer)
        kind, _, which = job.tokenizer.partition(":")
        learns = kind == "bpe" and job.given is None
        counts = kind == "chars" and job.given is None
        made = job.given if job.given is not None or learns or counts else tokenizers.make(job.tokenizer, "")
        seen, sample = np.zeros(sys.maxunicode + 1, np.bool_), Sample(job.sample)
        if learns or counts or self.found.is_one_text:
            length = 0
            for unit in self._units(seen if counts else None, learns):
                if learns:
                    sample.add(length, unit)
                length += len(unit)
            state.characters, state.is_read = length if self.found.is_one_text else None, True
            if self.found.is_one_text and not length:
                raise UserError(f"{job.inputs[0]} has no text; give a file that has some")
        if counts:
            seen[ord("\n")] |= not self.found.is_one_text  # after each document
            made = CharTokenizer("".join(map(chr, np.flatnonzero(seen)))) if seen.any() else None
        if learns:
            made = self._learnt(sample.text(self._cut() if self.found.is_one_text else None), int(which))
        if made is None:
            raise UserError(f"{', '.join(job.inputs)}: every document is empty")
        state.tokenizer = made.to_json()
        self.stop_if_asked()
        state.save(job.out)
        return made

    def _units(self, seen: NDArray[np.bool_] | None, learns: bool) -> Iterator[str]:
        """Yield the text in parts; if something `learns` from it those of documents for training, many short ones together.

        Marks in `seen` which characters there are.
        """
        if not learns:
            for document in self._every():
                for part in document.texts():
                    if seen is not None:
                        seen[code_points(part)] = True
                    yield part
        elif self.found.is_one_text:
            for document in self._every():
                yield from pieces(document.texts(), UNIT)
        else:
            lines = (f"{unit}\n" for each in self._every() if share_of(each) >= self.job.validation
                     for unit in pieces(each.texts(), UNIT))  # fmt: skip
            yield from bundled(lines, UNIT)

    def _every(self) -> Iterator[Document]:
        """Yield all documents, each of which must be read before the next is asked for."""
        limit = Limit(self.job.limit)
        for _, _, source, counted in self._stage("reading", State({}), limit):
            for document in self._documents_of(source, limit, counted.reader()):
                self.stop_if_asked()
                yield document

    def _documents_of(self, source: Source, limit: Limit, read: Advance = id) -> Iterator[Document]:
        return (document for _, document in limit.of(documents(source, self.how, read)))

    def _learnt(self, text: str, size: int) -> Tokenizer:
        """Return byte pairs that the text teaches; where there are documents, the last token is the one that ends them."""
        special = {} if self.found.is_one_text else {END: size - 1}
        self._show.stage(f"learning {size:,} tokens from {len(text):,} characters", None)
        merges = learn(text, size - len(special))
        pieces_made = len({first + second for first, second in merges})
        if 256 + pieces_made + len(special) < size:
            most = 256 + pieces_made + len(special)
            raise UserError(
                f"--tokenizer bpe:{size}: only {pieces_made:,} pairs of the text occur twice; take bpe:{most} at most, or a "
                f"longer text"
                if pieces_made
                else f"--tokenizer bpe:{size}: no pair of the text occurs twice; take bytes"
            )
        return BPETokenizer(merges, special)

    def _cut(self) -> int:
        """Return how many characters of a single text are for training."""
        assert self.state.characters is not None
        return int((1 - self.job.validation) * self.state.characters)

    # ------------------------------------------------------------------------------------- tokens

    def write(self, tokenizer: Tokenizer) -> None:
        """Write the tokens of both splits, from where the state is."""
        state = self.state
        if state.is_written:
            return
        texts = Texts(self.job.out, tokenizer, state)
        saved = time.monotonic()

        def save() -> None:
            texts.save()
            state.save(self.job.out)

        def at(offset: int, document: int, piece: int, size: int) -> None:
            """All before this place is with `texts`. Save the state now and then."""
            nonlocal saved
            state.offset, state.document, state.piece, state.size = offset, document, piece, size
            if time.monotonic() - saved > SAVED_EVERY:
                save()
                saved = time.monotonic()
            self.stop_if_asked()

        def text() -> int:
            """Return the bytes of text that are with `texts`."""
            return sum(counts["bytes"] for counts in state.counts.values())

        limit = Limit(None if self.job.limit is None else self.job.limit - state.text)
        try:
            here = state.offset
            for after, size, source, counted in self._stage("writing", state, limit):
                for number, split, document in self._documents(source, limit, counted, state.document):
                    done = state.piece
                    for i, piece in enumerate(pieces(document.texts())):
                        if i >= done:
                            texts.add(split, document.name, piece)
                            at(here, number, i + 1, size)
                    if state.piece:  # else the document is empty
                        texts.end(split, mark=not self.found.is_one_text)
                    # A cut may leave out a part of a character, which is taken from the limit as well.
                    state.text = state.text + document.size if isinstance(document, Beginning) else text()
                    at(here, number + 1, 0, size)
                here = after
                at(after, 0, 0, size + source.size)
            texts.save()
        except Stopped:
            save()
            raise
        finally:
            texts.close()
        for split in SPLITS:
            if state.counts[split]["tokens"] < 2:
                raise UserError(
                    f"the {split} split has {state.counts[split]['tokens']} tokens: the checksum of a document decides where "
                    f"it is, and --validation {self.job.validation} leaves too few there; take another share, or more text"
                )
        state.is_written = True
        state.save(self.job.out)

    def _documents(
        self, source: Source, limit: Limit, counted: Counted, first: int
    ) -> Iterator[tuple[int, str, Document]]:
        """Yield the documents of a file from number `first` on, each with its split; a single text is one in each."""
        if self.found.is_one_text:
            for number, start, stop in ((0, 0, self._cut()), (1, self._cut(), None))[first:]:
                [(_, text)] = documents(
                    source, self.how, counted.reader()
                )  # its beginning is read twice, and counted once
                text = text if self.job.limit is None else Beginning(text, self.job.limit)
                yield number, SPLITS[number], Section(text, start, stop)
            return
        for number, document in limit.of(documents(source, self.how, counted.reader(), first)):
            yield number, SPLITS[share_of(document) < self.job.validation], document


def share_of(document: Document) -> float:
    """Return a number from 0 to 1 that the document's text alone decides."""
    return int.from_bytes(document.digest()[:6], "big") / (1 << 48)


class Texts:
    """The texts of both splits on their way to the files: many are encoded together."""

    def __init__(self, folder: Path, tokenizer: Tokenizer, state: State) -> None:
        self._tokenizer, self._counts = tokenizer, state.counts
        dtype = type_of(tokenizer.vocab_size)
        self._writers = {split: Writer(folder, split, dtype, state.counts[split]["tokens"]) for split in SPLITS}
        self._waiting: dict[str, list[tuple[str, str]]] = {split: [] for split in SPLITS}  # names and texts; "": an end
        self._sizes = dict.fromkeys(SPLITS, 0)
        special = tokenizer.special if isinstance(tokenizer, BPETokenizer) else {}
        self._end = END if END in special else TEXT_END

    def add(self, split: str, name: str, text: str) -> None:
        """Take a piece of a document."""
        counts = self._counts[split]
        counts["characters"] += len(text)
        counts["bytes"] += len(text) if text.isascii() else len(text.encode())
        self._wait(split, name, text)

    def end(self, split: str, mark: bool) -> None:
        """Take the end of a document."""
        self._counts[split]["documents"] += 1
        if mark:
            self._wait(split, "", self._end)

    def _wait(self, split: str, name: str, text: str) -> None:
        self._waiting[split].append((name, text))
        self._sizes[split] += len(text)
        if self._sizes[split] >= ENOUGH * (4 if isinstance(self._tokenizer, BPETokenizer) else 1):
            self._encode(split)

    def _encode(self, split: str) -> None:
        waiting = self._waiting[split]
        try:
            ids = self._ids(waiting)
        except UserError:
            for name, text in waiting:
                if name or self._end == TEXT_END:
                    self._tokenizer.encode(text, f"{name or 'the end of a document'}, in one of its pieces,")
            raise
        self._writers[split].write(ids)
        self._counts[split]["tokens"] += len(ids)
        self._waiting[split], self._sizes[split] = [], 0

    def _ids(self, waiting: list[tuple[str, str]]) -> NDArray[np.integer]:
        if isinstance(self._tokenizer, CharTokenizer):
            return self._tokenizer.encode_each([text for _, text in waiting])  # whatever waits with a text
        if not isinstance(self._tokenizer, BPETokenizer):
            return self._tokenizer.encode("".join(text for _, text in waiting), small=True)
        ids = self._tokenizer.encode_all([text for name, text in waiting if name])
        end = self._tokenizer.encode(self._end, small=True, allowed={END})
        return np.concatenate([next(ids) if name else end for name, _ in waiting])

    def save(self) -> None:
        """Encode what waits, and wait until it is on the disk."""
        for split in SPLITS:
            if self._waiting[split]:
                self._encode(split)
            self._writers[split].sync()

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()
