"""gpt.prepare: what it makes of texts, how it goes on, what it refuses; and gpt.train on what it made."""

from __future__ import annotations

import dataclasses
import errno
import gzip
import hashlib
import json
import os
import re
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import cases

from gpt import corpus, evaluate, prepare, train
from gpt.corpora import documents, job, manifest, pieces, sources, stored, writing
from gpt.corpora.documents import How
from gpt.corpora.pieces import Sample
from gpt.corpora.progress import Shown
from gpt.corpora.sources import Source
from gpt.corpora.stored import StoredIds, open_corpus, sample
from gpt.errors import Stopped, UserError
from gpt.run import checkpoint, files
from gpt.run.lock import locked
from gpt.run.sealed import seal
from gpt.tokenizers import BPETokenizer, CharTokenizer, make

TEXT = "It was the best of times, it was the worst of times; é ü 😀\r\n" * 60 + "the end\r"
LEARNT = make("bpe:262", "aé b ab ab é é\n\n" * 9)
TINY = [
    "--layers=1", "--width=16", "--heads=2", "--context=16", "--batch-size=4", "--steps=6", "--eval-every=2", "--threads=1",
    "--no-plot", "--quiet",
]  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def small(monkeypatch):
    """Everything has several parts: chunks of a few bytes, pieces of a few characters, files of 100 tokens."""
    monkeypatch.setattr(os, "fsync", lambda _: None)  # a crash of the system is not the subject, and each takes a while
    monkeypatch.setattr(documents, "CHUNK", 7)
    monkeypatch.setattr(pieces.pieces, "__defaults__", (24,))
    monkeypatch.setattr(pieces, "LONGEST_WORD", 16)
    monkeypatch.setattr(job, "ENOUGH", 40)
    monkeypatch.setattr(writing, "SHARD", 200)
    monkeypatch.setattr(manifest, "BLOCK", 16)
    monkeypatch.setattr(stored, "BLOCK", 16)


def made(*arguments, out="out"):
    """Make a corpus, and open it."""
    assert prepare.main([*map(str, arguments), "--out", str(out), "--quiet"]) == 0
    return open_corpus(Path(out), 2)


def refused(capsys, *arguments, out="out"):
    """The one line that refuses a command."""
    assert prepare.main([*map(str, arguments), "--out", str(out), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("gpt.prepare: "), error
    return error


def write_lines(path, texts, field="text"):
    Path(path).write_text("".join(json.dumps({field: text, "n": i}) + "\n" for i, text in enumerate(texts)))


def content(folder):
    """What the files of a corpus have, but for the notes of when they were found right."""
    names = sorted(set(os.listdir(folder)) - {manifest.VERIFIED, ".lock"})
    return {name: Path(folder, name).read_bytes() for name in names}


def test_a_command_says_what_it_made_and_what_is_next(capsys):
    Path("text").write_text(TEXT, newline="")
    assert prepare.main(["text", "--out", "out"]) == 0
    out = capsys.readouterr().out
    assert "training   3," in out and "now try    python -m gpt.train --data out" in out
    with pytest.raises(SystemExit):
        prepare.main(["--help"])
    shown = capsys.readouterr().out
    assert "hf:NAME" in shown and "python -m gpt.prepare books/ --tokenizer bpe:8192" in shown


# ---------------------------------------------------------------------- what is made of one text


@pytest.mark.parametrize("tokenizer", ["chars", "bytes", "bpe:280"])
def test_one_text_has_the_tokens_that_it_has_in_memory(tokenizer, small):
    Path("text").write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    found = made("text", "--tokenizer", tokenizer)
    text = corpus.read("text")
    expected = make(tokenizer, text.text, corpus.cut(text.text))
    assert found.tokenizer.to_json() == expected.to_json()
    for ids, wanted in zip(found.split(expected, 8), corpus.split(text, expected, 8), strict=True):
        assert ids[:].tobytes() == wanted.tobytes() and ids.dtype == wanted.dtype
    assert len(found._found.shards["train"]) > 2
    assert all(shard.path.stat().st_size <= 200 for shard in found._found.shards["train"])
    raw = np.concatenate([np.fromfile(shard.path, shard.dtype) for shard in found._found.shards["train"]])
    assert raw.tobytes() == found.train[:].tobytes()  # plain numbers


@cases(60)
@given(st.text("ab é\n\r😀", max_size=60), st.lists(st.integers(1, 9), min_size=1), st.integers(1, 20))
def test_pieces_are_the_text_however_it_comes(text, lengths, size):
    parts, rest = [], text
    for n in lengths * 60:
        parts, rest = [*parts, rest[:n]], rest[n:]
    found = list(pieces.pieces(parts, size))
    assert "".join(found) == text and all(found)
    assert found == list(pieces.pieces([text], size))
    whole = LEARNT.encode(text).tolist()  # no word is longer than LONGEST_WORD, so none is cut
    assert [i for piece in found for i in LEARNT.encode(piece).tolist()] == whole


@cases(40)
@given(st.lists(st.integers(1, 30), max_size=40), st.integers(1, 200))
def test_a_sample_is_bounded_and_evenly_spaced(sizes, limit):
    sample, place = Sample(limit), 0
    units = []
    for i, size in enumerate(sizes):
        units.append(f"{i:03}" * size)
        sample.add(place, units[-1])
        place += len(units[-1])
    text = sample.text()
    kept = [i for i, unit in enumerate(units) if unit in text]
    assert len(text) <= max(limit, max(map(len, units), default=0))
    assert len(set(np.diff(kept).tolist())) <= 1 and kept[:1] == [0][: len(units)]
    if sum(map(len, units)) <= limit:
        assert text == "".join(units)
        assert sample.text(stop=5) == text[:5]


def test_the_sample_of_byte_pairs_has_no_text_for_validation(small):
    """The last tenth has pairs that the tokenizer has not seen, in one text and in documents."""
    Path("text").write_text("abab " * 180 + "xyxyxyxy " * 11)
    found = made("text", "--tokenizer", "bpe:259")
    assert b"xy" not in {found.tokenizer.bytes_of(i) for i in range(259)}


# ---------------------------------------------------------------------------------- documents


def split_of(found, texts):
    """In which split each text is, with the end of a document after it."""
    both = found.tokenizer.decode(found.train[:]), found.tokenizer.decode(found.validation[:])
    end = "<|endoftext|>" if isinstance(found.tokenizer, BPETokenizer) else "\n\n"
    places = [[text + end in each for each in both] for text in texts]
    assert all(sum(place) == 1 for place in places)
    assert "".join(text + end for text, place in zip(texts, places, strict=True) if place[0]) == both[0]
    return [place[1] for place in places]


@pytest.mark.parametrize("tokenizer", ["chars", "bytes", "bpe:290"])
def test_the_text_of_a_document_decides_its_split(tokenizer, small):
    texts = [f"document {i} of é 😀 {i * i}" for i in range(60)]
    write_lines("a.jsonl", texts)
    first = split_of(made("a.jsonl", "--tokenizer", tokenizer, out="a"), texts)
    assert 1 <= sum(first) <= 15
    Path("parts").mkdir()
    for i, text in enumerate(texts):
        Path("parts", f"{59 - i:02}.txt").write_text(text)
    found = made("parts", "--tokenizer", tokenizer, out="b")  # as files, in another order
    assert split_of(found, texts[::-1]) == first[::-1]
    shares = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48 for text in texts]
    assert first == [share < 0.1 for share in shares]


def test_empty_documents_leave_nothing(small):
    texts = [f"document {i} of é 😀" for i in range(60)]
    write_lines("a.jsonl", texts)
    write_lines("b.jsonl", [each for text in texts for each in ("", text)])
    a, b = made("a.jsonl", out="a"), made("b.jsonl", out="b")
    assert a.sha256 == b.sha256
    assert sum(a._found.said["splits"][split]["documents"] for split in ("train", "validation")) == 60


def test_byte_pairs_are_not_learnt_from_documents_for_validation(small):
    texts = [f"abab {i}" for i in range(60)]
    shares = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48 for text in texts]
    write_lines("a.jsonl", texts)
    most = refused_size("a.jsonl")
    # The texts for validation get a pair that no other text has: it is not learnt.
    others = [t for t, share in zip(texts, shares, strict=True) if share >= 0.1]
    odd = [text for i in range(999) if share_below(text := f"xyxyxyxy {i}", 0.1)][:9]
    write_lines("a.jsonl", others + odd)
    assert odd and refused_size("a.jsonl") <= most


def share_below(text, share):
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48 < share


def refused_size(path):
    """How many tokens a text can have at most."""
    work = job.Job((path,), Path("none"), "bpe:100000")
    with pytest.raises(UserError, match="take bpe:") as error:
        job.prepare(work, job.Shown())
    return int(re.search(r"take bpe:(\d+)", str(error.value))[1])


def test_tokens_are_on_the_disk_before_the_state_says_so(inputs, small, monkeypatch):
    monkeypatch.setattr(job, "SAVED_EVERY", 0)
    unsynced, replace, write_all = set(), os.replace, files.write_all

    def named(descriptor):
        return os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))

    def written(descriptor, content):
        unsynced.add(named(descriptor))
        write_all(descriptor, content)

    def replaced(old, new):
        assert not {name for name in unsynced if name.endswith(".bin")}
        replace(old, new)

    monkeypatch.setattr(files, "write_all", written)
    monkeypatch.setattr(os, "fsync", lambda descriptor: unsynced.discard(named(descriptor)))
    monkeypatch.setattr(os, "replace", replaced)
    made(*inputs)


def test_packed_files_have_the_same_tokens(small):
    texts = [f"document {i}\r\n" for i in range(60)]
    write_lines("a.jsonl", texts, "body")
    raw = Path("a.jsonl").read_bytes()
    Path("b.jsonl.gz").write_bytes(gzip.compress(raw[:500]) + gzip.compress(raw[500:]))  # two members
    plain = made("a.jsonl", "--field", "body", out="a")
    assert made("b.jsonl.gz", "--field", "body", out="b").sha256 == plain.sha256
    assert "\r" not in plain.tokenizer.characters


def test_files_are_in_the_order_of_their_paths_whatever_the_memory(monkeypatch, capsys):
    names = [f"d{i % 7}/{i * 37 % 101:03}.txt" for i in range(101)]
    for name in names:
        Path("in", name).parent.mkdir(parents=True, exist_ok=True)
        Path("in", name).write_text(f"<{name}>")
    Path("in/.hidden.txt").write_text("hidden")
    Path("in/other.py").write_text("other")
    Path("in/empty.txt").write_text("")
    os.symlink("/etc/passwd", "in/link.txt")
    os.mkfifo("in/fifo.txt")
    whole = made("in", "--validation", "0.2", out="whole")
    text = "".join(whole.tokenizer.decode(ids[:]) for ids in (whole.train, whole.validation))
    assert sorted(re.findall("<(.*?)>", text)) == sorted(names)
    train = re.findall("<(.*?)>", whole.tokenizer.decode(whole.train[:]))
    assert train == sorted(train)
    monkeypatch.setattr(sources, "PART", 10)
    assert prepare.main(["in", "--validation=0.2", "--out=parts"]) == 0
    assert "left out 1 FIFOs, 1 links" in capsys.readouterr().err
    assert content("parts") == content("whole")


@cases(30)
@given(
    st.lists(st.lists(st.sampled_from("abc"), max_size=6).map("/".join), max_size=12, unique=True), st.integers(1, 4)
)
def test_folders_are_walked_whole_however_few_may_be_open(folders, deep):
    root = tempfile.mkdtemp(dir=".")
    for i, folder in enumerate(folders):
        os.makedirs(f"{root}/{folder}", exist_ok=True)
        Path(root, folder, f"{i}.txt").write_text("x")
    before = sources.DEEP
    sources.DEEP = deep
    try:
        found = [s.path for s in sources.walk(root, root, ["*.TXT"], Path("out"), sources.Counter())]
    finally:
        sources.DEEP = before
    assert sorted(found) == sorted(os.path.join(root, folder, f"{i}.txt") for i, folder in enumerate(folders))


def test_few_folders_are_open_at_once(monkeypatch):
    """Of a folder in a folder in a folder … and of many in one; none stays open when nobody asks for the next file."""
    descriptors, most = Path("/proc/self/fd"), 0
    for path in ("/".join("d" * 90), *(f"e{i}" for i in range(200))):
        os.makedirs(f"in/{path}")
        Path("in", path, "a.txt").write_text("x")
    before = len(list(descriptors.iterdir()))
    for _ in sources.walk("in", "in", ["*"], Path("out"), sources.Counter()):
        most = max(most, len(list(descriptors.iterdir())) - before)
    assert 0 < most <= sources.DEEP + 1
    walk = sources.walk("in", "in", ["*"], Path("out"), sources.Counter())
    next(walk)
    walk.close()
    assert len(list(descriptors.iterdir())) == before


# ------------------------------------------------------------------------------ going on, bit for bit


class Killed(BaseException):
    """What no code expects, as kill -9."""


@pytest.fixture
def inputs():
    texts = [f"document {i} of é 😀 {'word ' * (i % 13)}" for i in range(70)]
    write_lines("a.jsonl", texts[:50])
    Path("b.txt").write_text(TEXT, newline="")
    Path("c.jsonl.gz").write_bytes(
        gzip.compress("".join(json.dumps({"text": t}) + "\n\n" for t in texts[50:]).encode())
    )
    return ["a.jsonl", "b.txt", "c.jsonl.gz", "--validation=0.2"]


@pytest.mark.parametrize("tokenizer", ["chars", "bpe:280"])
@pytest.mark.parametrize("every", [0, 1e9])
def test_a_killed_job_ends_in_the_same_bits(tokenizer, every, inputs, small, monkeypatch):
    monkeypatch.setattr(job, "SAVED_EVERY", every)
    inputs.append(f"--tokenizer={tokenizer}")
    made(*inputs, out="whole")
    calls = 0
    killed_at = iter([1, 2, 3, 5, 9, 14, 25, 44, 70, 200])
    limit = next(killed_at)
    write_all, replace = files.write_all, os.replace

    def count(*_):
        nonlocal calls, limit
        calls += 1
        if calls == limit:
            calls, limit = 0, next(killed_at, 10**9)
            raise Killed

    def dying_write(descriptor, content):
        write_all(descriptor, content[: len(content) // 2])
        count()
        write_all(descriptor, content[len(content) // 2 :])

    def dying_replace(*arguments):
        count()
        replace(*arguments)

    monkeypatch.setattr(files, "write_all", dying_write)
    monkeypatch.setattr(os, "replace", dying_replace)
    kills = 0
    for _ in range(12):
        try:
            assert prepare.main([*inputs, "--out=out", "--quiet"]) == 0
            break
        except Killed:
            kills += 1
    assert kills >= 5
    assert content("out") == content("whole")


@pytest.mark.parametrize("every", [0, 1e9])
def test_characters_are_spelt_alike_whenever_it_was_saved(every, small, monkeypatch):
    """The tokenizer of a run has é in one and in two, and ñ in two alone: a ñ leaves the é of others as they are."""
    monkeypatch.setattr(job, "SAVED_EVERY", every)
    monkeypatch.setattr(job, "ENOUGH", 10**6)
    tokenizer = CharTokenizer.from_text("cafe\u0301 caf\u00e9 man\u0303ana\n")
    texts = ["cafe\u0301", "ma\u00f1ana", "caf\u00e9", "man\u0303ana", "e", "\u00e9 n\u0303"] * 9
    write_lines("a.jsonl", texts)
    job.prepare(job.Job(("a.jsonl",), Path("out"), "run:x", validation=0.4, given=tokenizer), job.Shown())
    found = open_corpus(Path("out"), 1)
    for split in manifest.SPLITS:
        alone = [tokenizer.encode(t + "\n\n") for t in texts if share_below(t, 0.4) == (split == "validation")]
        assert np.array_equal(getattr(found, split)[:], np.concatenate(alone))


def test_pieces_of_a_text_are_spelt_on_their_own(small, monkeypatch):
    """A piece may end between two accents of a letter: then they stay two, whether or not they wait together."""
    monkeypatch.setattr(job, "ENOUGH", 10**6)
    monkeypatch.setattr(pieces, "LONGEST_WORD", 17)
    Path("text").write_text("a\u030a\u0301" * 27)  # the first piece has 41 characters
    tokenizer = CharTokenizer("a\u00e5\u01fb\u0301")
    for out, every in (("often", 0), ("never", 1e9)):
        monkeypatch.setattr(job, "SAVED_EVERY", every)
        job.prepare(job.Job(("text",), Path(out), "run:x", given=tokenizer), job.Shown())
    assert content("often") == content("never")
    ids = open_corpus(Path("often"), 1).train[:]
    assert tokenizer.decode(ids) == "\u01fb" * 13 + "\u00e5\u0301" + "\u01fb" * 10


def test_one_text_goes_on_as_well(small, monkeypatch):
    Path("text").write_text(TEXT)
    made("text", out="whole")
    monkeypatch.setattr(job, "SAVED_EVERY", 0)
    write = writing.Writer.write
    for n in (3, 60, 20):
        left = n

        def dying(self, ids):
            nonlocal left
            left -= 1
            if not left:
                raise Killed
            write(self, ids)

        monkeypatch.setattr(writing.Writer, "write", dying)
        with pytest.raises(Killed):
            prepare.main(["text", "--out=out", "--quiet"])
    monkeypatch.setattr(writing.Writer, "write", write)
    made("text")
    assert content("out") == content("whole")


def test_ctrl_c_saves_and_says_how_to_go_on(inputs, small, monkeypatch, capsys):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    write, calls = writing.Writer.write, []

    def interrupted(self, ids):
        calls.append(1)
        if len(calls) == 20:
            os.kill(os.getpid(), signal.SIGINT)
        write(self, ids)

    monkeypatch.setattr(writing.Writer, "write", interrupted)
    try:
        assert prepare.main([*inputs, "--out=out", "--quiet"]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == "gpt.prepare: stopped; the same command goes on from there\n"
    assert json.loads(Path("out", manifest.STATE).read_text())["document"] > 9
    assert prepare.main([*inputs, "--out=out"]) == 0
    assert "going on with out" in capsys.readouterr().err
    made(*inputs, out="whole")
    assert content("out") == content("whole")


def test_a_full_disk_is_told_and_costs_nothing(inputs, small, monkeypatch, capsys):
    write, calls = os.write, []

    def full(descriptor, content):
        calls.append(1)
        if len(calls) == 30:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, content)

    monkeypatch.setattr(os, "write", full)
    assert "No space left on device; make room, and the same command goes on" in refused(capsys, *inputs)
    made(*inputs)
    made(*inputs, out="whole")
    assert content("out") == content("whole")


def test_a_state_that_was_altered_is_refused(inputs, small, monkeypatch, capsys):
    stop_at(monkeypatch, inputs, job.Texts, "end")
    state = json.loads(Path("out", manifest.STATE).read_text())
    Path("out", manifest.STATE).write_text(json.dumps({**state, "document": 3}))
    assert "was altered" in refused(capsys, *inputs)


def stop_at(monkeypatch, arguments, where, name):
    """Begin a corpus, and die there."""
    with monkeypatch.context() as patch:
        patch.setattr(job, "SAVED_EVERY", 0)
        patch.setattr(where, name, lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            prepare.main([*arguments, "--out=out", "--quiet"])


def everything(folder):
    """Each file below a folder, with its content and what says when it was written."""
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in Path(folder).rglob("*")}


# Another value of each setting, and how the refusal says it.
OTHERS = {
    "TEXT": (["b.txt", "a.jsonl", "c.jsonl.gz"], "TEXT {here}a.jsonl, not {here}b.txt"),
    "TEXT, fewer": (["a.jsonl", "b.txt"], "TEXT {here}c.jsonl.gz"),
    "TEXT, more": (["a.jsonl", "b.txt", "c.jsonl.gz", "nothing"], "no TEXT {here}nothing"),
    "--tokenizer": (["--tokenizer=bpe:300"], "--tokenizer chars, not bpe:300"),
    "tokens": (["--tokenizer=run:run"], "--tokenizer chars, not run:run"),
    "--field": (["--field=body"], "--field text, not body"),
    "--errors": (["--errors=replace"], "--errors strict, not replace"),
    "--glob": (["--glob=*.txt", "--glob=*.py"], "--glob *.text, not *.py"),
    "--validation": (["--validation=0.3"], "--validation 0.2, not 0.3"),
    "--sample": (["--sample=1"], "--sample 8, not 1"),
    "--limit": (["--limit=3"], "no --limit 3"),
    "--subset": (["--subset=x"], "no --subset x"),
    "--split": (["--split=test"], "--split train, not test"),
    "--revision": (["--revision=v1"], "no --revision v1"),
}


MOMENTS = ["Work.list_files", "sources.listed", "Work.look", "Texts.end"]
CASES = [(name, "Work.look") for name in OTHERS] + [("--field", moment) for moment in MOMENTS if moment != "Work.look"]


@pytest.mark.parametrize(("name", "moment"), CASES)
def test_another_command_does_not_go_on_and_removes_nothing(name, moment, inputs, small, monkeypatch, capsys):
    """Whenever the first one was killed: before it listed the files, meanwhile, in its first pass, or with tokens."""
    assert {each.partition(",")[0] for each in OTHERS} == job.Job((), Path(), "").settings().keys()
    monkeypatch.setattr(prepare, "of_run", lambda given: LEARNT if given.startswith("run:") else None)
    where, _, what = moment.partition(".")
    stop_at(monkeypatch, inputs, getattr(job, where), what)
    before = everything("out")
    others, message = OTHERS[name]
    line = [*others, "--validation=0.2"] if name.startswith("TEXT") else [*inputs, *others]
    error = refused(capsys, *line)
    wanted = re.escape(message).replace(r"\{here\}", "[^ ]*/")
    assert re.search(f"has the unfinished corpus of another command, with {wanted};", error)
    assert "give that command again to go on, or take another --out; to give that corpus up, remove out" in error
    assert everything("out") == before
    made(*inputs)
    made(*inputs, out="whole")
    assert content("out") == content("whole")


def test_two_settings_that_differ_are_both_named(inputs, small, monkeypatch, capsys):
    stop_at(monkeypatch, inputs, job.Work, "look")
    error = refused(capsys, *inputs, "--field=body", "--limit=2")
    assert "another command, with --field text, not body and no --limit 2;" in error


def test_the_tokens_of_a_run_are_a_setting_not_its_name_alone(inputs, small, monkeypatch, capsys):
    tokenizer = make("bytes", "")
    monkeypatch.setattr(prepare, "of_run", lambda _: tokenizer)
    inputs.append("--tokenizer=run:run")
    stop_at(monkeypatch, inputs, job.Work, "look")
    tokenizer = LEARNT
    assert "another command, with other tokens of the same name;" in refused(capsys, *inputs)


def test_the_same_command_from_another_folder_goes_on(inputs, small, monkeypatch):
    stop_at(monkeypatch, [*inputs, "--tokenizer=bytes"], job.Texts, "end")
    os.mkdir("elsewhere")
    os.chdir("elsewhere")
    made(*(f"../{each}" for each in inputs[:3]), *inputs[3:], "--tokenizer=bytes", out="../out")


def test_an_error_does_not_cost_the_first_pass(inputs, small, monkeypatch, capsys):
    """A first command that fails leaves nothing, but what it has read through once."""
    Path("wrong.jsonl").write_text("{")
    assert "is no JSON" in refused(capsys, "b.txt", "wrong.jsonl")
    assert not Path("out").exists()

    def offline(*_):
        raise UserError("no network")

    with monkeypatch.context() as patch:
        patch.setattr(job.Work, "write", offline)
        assert "no network" in refused(capsys, *inputs)
        assert job.read_state(Path("out", manifest.STATE)).is_read
        patch.setattr(job.Work, "_every", lambda _: 1 / 0)  # it is not read again
        assert "no network" in refused(capsys, *inputs)
    made(*inputs)


def test_a_second_command_that_fails_leaves_what_the_first_one_left(inputs, small, monkeypatch, capsys):
    stop_at(monkeypatch, inputs, job.Work, "look")
    os.rename("b.txt", "elsewhere")
    assert "b.txt has vanished" in refused(capsys, *inputs)
    assert Path("out", job.LIST).exists()
    os.rename("elsewhere", "b.txt")
    made(*inputs)


def test_a_corpus_that_another_process_finishes_meanwhile_stays(inputs, small, monkeypatch, capsys):
    made(*inputs)
    before = content("out")
    monkeypatch.setattr(job, "make_folder", lambda _: False)  # it was unfinished when this one looked
    assert "has a finished corpus" in refused(capsys, *inputs, "--tokenizer=bytes")
    assert content("out") == before


# ---------------------------------------------------------------------------------- a limit of the text


class Parts(documents.Document):
    """A text that comes in parts of some characters."""

    name = "parts"

    def __init__(self, text, size):
        self.text, self.size_of_parts = text, size

    def texts(self):
        yield from (self.text[i : i + self.size_of_parts] for i in range(0, len(self.text), self.size_of_parts))


@cases(60)
@given(st.lists(st.text("ab é\n\r😀", max_size=20), max_size=9), st.integers(1, 60), st.integers(1, 9))
def test_a_limit_takes_the_first_bytes_of_the_text(texts, limit, size):
    found, budget = [], pieces.Limit(limit)
    for number, document in budget.of(enumerate(Parts(text, size) for text in texts)):
        found.append("".join(document.texts()))
        assert "".join(document.texts()) == found[-1] and number == len(found) - 1  # as often as asked
    raw = "".join(texts).encode()
    assert "".join(found) == raw[:limit].decode(errors="ignore") and len(found) <= len(texts)
    assert all(text == whole for text, whole in zip(found[:-1], texts, strict=False))
    assert budget.is_reached == (len(raw) >= limit)


@cases(30)
@given(st.integers(1, 40))
def test_nothing_is_asked_for_behind_a_limit(limit):
    def texts():
        for number in range(9):
            asked.append(number)
            yield number, Parts("12é", 2)

    asked = []
    read = [number for number, document in pieces.Limit(limit).of(texts()) if list(document.texts())]
    assert asked == read == list(range(min(9, -(-limit // 4))))


@cases(40)
@given(st.lists(st.text("ab", max_size=9), max_size=20), st.integers(1, 9))
def test_short_texts_are_bundled(texts, size):
    found = list(pieces.bundled(texts, size))
    assert "".join(found) == "".join(texts)
    assert all(len(each) >= size for each in found[:-1])


@pytest.fixture
def by_the_byte(monkeypatch):
    """--limit counts bytes."""
    work = job.Job
    monkeypatch.setattr(prepare, "Job", lambda *given: work(*given[:7], given[7] and given[7] >> 20, *given[8:]))


@pytest.mark.parametrize("tokenizer", ["chars", "bytes", "bpe:270"])
@pytest.mark.parametrize("limit", [700, 1500, 4000, 99_000])
def test_a_corpus_with_a_limit_is_that_of_the_text_so_far(limit, tokenizer, inputs, small, by_the_byte):
    """It stops within a document, whatever that is in."""
    flags = ["--validation=0.2", f"--tokenizer={tokenizer}"]
    found = made(*inputs[:3], *flags, "--limit", limit)
    texts = [json.loads(line)["text"] for line in Path("a.jsonl").read_text().splitlines()]
    texts.append(TEXT.replace("\r\n", "\n"))
    packed = gzip.decompress(Path("c.jsonl.gz").read_bytes())
    texts += [json.loads(line)["text"] for line in packed.splitlines() if line.strip()]
    kept, left = [], limit
    for text in texts:
        kept.append(text.encode()[: max(0, left)].decode(errors="ignore"))
        left -= len(text.encode())
    write_lines("kept.jsonl", kept)
    expected = made("kept.jsonl", *flags, out="kept")
    assert found.tokenizer.to_json() == expected.tokenizer.to_json()
    for split in manifest.SPLITS:
        assert np.array_equal(getattr(found, split)[:], getattr(expected, split)[:])
    assert (found._found.said.get("limit"), expected._found.said.get("limit")) == (limit, None)
    for each in (found, expected):
        size = sum(counts["bytes"] for counts in each._found.said["splits"].values())
        assert size == sum(len(text.encode()) for text in kept) <= limit


def test_a_text_with_a_limit_is_its_beginning(small, by_the_byte):
    Path("text").write_text(TEXT.replace("\r", ""))
    Path("short").write_bytes(Path("text").read_bytes()[:1000])
    found, expected = made("text", "--limit=1000"), made("short", out="short-corpus")
    assert found.train[:].tobytes() == expected.train[:].tobytes()
    assert found.validation[:].tobytes() == expected.validation[:].tobytes()


@pytest.mark.parametrize("every", [0, 1e9])
@pytest.mark.parametrize("which", ["documents", "text"])
def test_a_killed_job_with_a_limit_ends_in_the_same_bits(which, every, inputs, small, by_the_byte, monkeypatch):
    line = [*inputs, "--limit=4500"] if which == "documents" else ["b.txt", "--limit=3000"]
    made(*line, out="whole")
    monkeypatch.setattr(job, "SAVED_EVERY", every)
    write = writing.Writer.write
    for n in (2, 9, 30, 3):
        left = n

        def dying(self, ids):
            nonlocal left
            left -= 1
            if not left:
                raise Killed
            write(self, ids)

        monkeypatch.setattr(writing.Writer, "write", dying)
        with pytest.raises(Killed):
            prepare.main([*line, "--out=out", "--quiet"])
    monkeypatch.setattr(writing.Writer, "write", write)
    made(*line)
    assert content("out") == content("whole")


@pytest.mark.parametrize("limit", range(600, 604))
def test_a_character_that_a_limit_cuts_is_left_out_after_a_stop_as_well(limit, monkeypatch):
    """The rest of its bytes are not taken from the next document."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    write_lines("a.jsonl", [f"😀{i}" * 9 for i in range(40)])
    work = job.Job(("a.jsonl",), Path("whole"), "bytes", validation=0.3, limit=limit)
    job.prepare(work, Shown())
    stop = job.Work.stop_if_asked
    for n in range(1, 100):
        left = n

        def stopping(self):
            nonlocal left
            left -= 1
            if not left:
                raise Stopped(2, "")
            stop(self)

        out = dataclasses.replace(work, out=Path(f"out-{n}"))
        monkeypatch.setattr(job.Work, "stop_if_asked", stopping)
        try:
            job.prepare(out, Shown())
            break  # nothing is left to stop
        except Stopped:
            monkeypatch.setattr(job.Work, "stop_if_asked", stop)
            job.prepare(out, Shown())
            assert content(out.out) == content("whole"), n
    assert 20 < n < 99


def test_which_split_a_text_is_in_is_asked_of_what_is_before_a_limit(small, by_the_byte, capsys):
    names = [f"{i}.txt" for i in range(9)]
    for name in names:
        Path(name).write_text(f"{name} " * 20)  # 120 bytes
    made(*names, "--validation=0.5", out="all")
    shares = {name: job.share_of(documents.Short(name, Path(name).read_text())) for name in names[:2]}
    low, high = sorted(shares.values())
    assert "none of these 2 texts" in refused(capsys, *names, f"--validation={low / 2}", "--limit=240")
    made(*names, f"--validation={(low + high) / 2}", "--limit=240", out="two")
    assert "--limit ends within" in refused(capsys, *names, "--validation=0.5", "--limit=100")


@pytest.mark.parametrize("limit", [None, 300, 5000])
@pytest.mark.parametrize("given", ["documents", "b.txt"])
def test_progress_counts_all_of_a_stage_once(given, limit, inputs, small, monkeypatch):
    """A text is read in two goes, its second split after the first one, and a document twice."""
    stages = []

    class Counts(job.Shown):
        def stage(self, name, total, done=0):
            stages.append([total, done])

            def count(more):
                assert more >= 0
                stages[-1][1] += more

            return count

    texts = tuple(inputs[:3]) if given == "documents" else (given,)
    job.prepare(job.Job(texts, Path("out"), "chars", validation=0.2, limit=limit), Counts())
    reading, writing_, checking = stages
    size = sum(os.path.getsize(text) for text in texts)
    assert reading[0] == writing_[0] == min(size, limit or size) and checking[0] > 0
    assert checking[0] == checking[1]
    for total, counted in (reading, writing_):
        assert counted == total or (limit and size / 9 < counted < total)  # packed text is shorter than its limit


def test_bytes_that_are_read_again_are_not_counted_again():
    counts = []
    counted = job.Counted(counts.append, Source("a", 10), lambda: None)
    first, second = counted.reader(), counted.reader()
    for read, more in ((first, 6), (second, 4), (second, 4), (second, 9)):
        read(more)
    assert counts == [6, 2, 2]
    counted.rest()
    assert sum(counts) == 10
    short = job.Counted(counts.append, Source("a", 10), lambda: None)
    short.reader()(3)
    short.rest()
    assert counts[3:] == [3, 7]


@pytest.mark.parametrize("prefix", ["", "./", "gpt2:", "hf:", "run:hf:"])
def test_the_folder_of_a_tokenizer_is_known_from_any_working_folder(prefix, monkeypatch):
    os.makedirs("here/tok")
    os.makedirs("there/tok")
    monkeypatch.chdir("here")
    first = job.from_anywhere(f"{prefix}tok")
    assert first == prefix.removesuffix("./") + os.path.abspath("tok")
    monkeypatch.chdir("../there")
    assert (
        job.from_anywhere(first)
        == first
        == job.from_anywhere(f"{prefix}../here/tok")
        != job.from_anywhere(f"{prefix}tok")
    )
    for name in ("chars", "bytes", "gpt2", "bpe:300", "hf:some/name", "run:hf:some/name", "gpt2:gone"):
        os.makedirs(name.partition(":")[0], exist_ok=True)  # a folder of that name is not what it means
        assert job.from_anywhere(name) == name


def test_a_limit_is_told(inputs, small, capsys):
    assert prepare.main([*inputs, "--limit=7", "--out=out"]) == 0
    assert "text       the first 7 MiB at most (--limit)" in capsys.readouterr().out
    for wrong in ("0", "-1", "x", "1.5", str(2**24 + 1)):
        assert "is not a whole number from 1 to 16,777,216" in refused(capsys, *inputs, f"--limit={wrong}")


@pytest.mark.parametrize(
    "change",
    [
        {"format": None}, {"format": job.FORMAT + 1}, {"more": 1}, {"settings": None}, {"settings": ["inputs"]}, {"settings": {}},
        {"offset": "x"}, {"piece": -1}, {"document": True}, {"size": None}, {"counts": {}}, {"counts": []},
        {"counts": {"train": {}, "validation": {}}}, {"found": None}, {"found": {"files": 1}}, {"found": 3},
        {"found": {"files": 1, "size": 2, "texts": "3", "left_out": ""}}, {"tokenizer": {"type": "other"}},
        {"tokenizer": None}, {"characters": "1"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("leaves_out", [False, True])
def test_a_state_of_another_version_is_refused(change, leaves_out, inputs, small, monkeypatch, capsys):
    monkeypatch.setattr(job, "SAVED_EVERY", 0)
    with monkeypatch.context() as patch:
        patch.setattr(job.Texts, "end", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            prepare.main([*inputs, "--out=out", "--quiet"])
    path = Path("out", manifest.STATE)
    state = json.loads(path.read_text())
    for name in change:
        state.pop(name, None)
    if leaves_out and "more" in change:
        del state["found"]
    path.write_text(json.dumps(seal(state if leaves_out else {**state, **change})))
    before = content("out")
    assert "was begun by another version of gpt.prepare; begin again in an empty --out" in refused(capsys, *inputs)
    assert content("out") == before


# ------------------------------------------------------------------------------------ what is refused


def test_bytes_that_are_no_text(capsys):
    Path("bad").write_bytes(b"good text\n" * 30_000 + b"\xff rest of it\n")
    assert "bad is not UTF-8: byte 0xff at offset 300,000 (invalid start byte)" in refused(capsys, "bad")
    found = made("bad", "--errors=replace", out="other")
    assert "\ufffd" in found.tokenizer.characters
    Path("bad.jsonl").write_bytes(b'{"text": "ok"}\n{"text": "\xff"}\n')
    assert "bad.jsonl:2 is not UTF-8: byte 0xff at offset 25" in refused(capsys, "bad.jsonl", out="lines")
    Path("half.jsonl").write_bytes(b'{"text": "ok"}\n\n{"text": "\\ud800"}\n')
    assert "half.jsonl, line 3: 'text' has half of a character" in refused(capsys, "half.jsonl", out="half")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"a\.jsonl:2 is no JSON: Expecting property name"),
        ("[1]", r"a\.jsonl:2 has no field 'text': a list"),
        ('{"body": "x"}', r"a\.jsonl:2 has no field 'text': it has 'body'; --field NAME takes another one"),
        ('{"text": null}', r"a\.jsonl, line 2: 'text' is null, not a text"),
        ("[" * 100_000, r"a\.jsonl:2 is no JSON"),
    ],
)
def test_lines_that_are_no_documents(line, message, capsys):
    Path("a.jsonl").write_text('{"text": "one"}\n' + line + "\n")
    assert re.search(message, refused(capsys, "a.jsonl"))


def test_files_that_are_none(capsys, monkeypatch):
    Path("empty").write_text("")
    os.mkfifo("fifo")
    os.mkdir("folder")
    Path("folder/a.py").write_text("x = 1")
    Path("cut.gz").write_bytes(gzip.compress(b"text " * 100)[:-9])
    Path("false.gz").write_bytes(b"no gzip")
    Path("a.zst").write_bytes(b"x")
    Path("a.parquet").write_bytes(b"x")
    assert "empty is empty" in refused(capsys, "empty")
    assert "fifo is a FIFO" in refused(capsys, "fifo")
    assert "folder has no text: no file in it that is not empty is called *.txt" in refused(capsys, "folder")
    assert "cannot read nothing: No such file" in refused(capsys, "nothing")
    assert "cut.gz is cut off or no gzip" in refused(capsys, "cut.gz", out="1")
    assert "false.gz is cut off or no gzip" in refused(capsys, "false.gz", out="2")
    for module in ("zstandard", "pyarrow", "datasets"):
        monkeypatch.setitem(sys.modules, module, None)
        given = {"zstandard": "a.zst", "pyarrow": "a.parquet", "datasets": "hf:name"}[module]
        assert f"takes a package: pip install {module}" in refused(capsys, given, out=module)
    Path("blank").write_bytes(b"\xef\xbb\xbf")
    assert "blank has no text" in refused(capsys, "blank", out="3")
    assert "these 2 texts are the same" in refused(capsys, "folder", "folder/a.py", "--glob=*.py", out="4")


@pytest.mark.parametrize("name", ["text", "a.jsonl", "text.gz"])
def test_an_error_is_of_the_file_that_has_it(name, monkeypatch, capsys):
    """A read that fails names the text. A log that fails while its bytes are counted does not."""
    write_lines("a.jsonl", [TEXT] * 3)
    Path("text").write_text(TEXT)
    Path("text.gz").write_bytes(gzip.compress(TEXT.encode()))

    class Log(job.Shown):
        def stage(self, *_):
            def count(_):
                raise BrokenPipeError(errno.EPIPE, "Broken pipe")

            return count

    with pytest.raises(BrokenPipeError):
        job.prepare(job.Job((name,), Path("out"), "bytes"), Log())

    open_, path = os.open, os.path.abspath(name)

    def for_writing(file, flags, *arguments, **others):
        return open_(file, flags | os.O_WRONLY if file == path else flags, *arguments, **others)

    monkeypatch.setattr(os, "open", for_writing)  # a read of it is an error then
    assert f"cannot read {path}: Bad file descriptor" in refused(capsys, name, out="other")


def test_a_full_disk_while_files_are_listed_is_not_the_fault_of_their_folder(monkeypatch, capsys):
    os.mkdir("texts")
    Path("texts/a.txt").write_text(TEXT)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sources.tempfile, "TemporaryFile", full)
    monkeypatch.setattr(sources, "PART", 1)
    assert "gpt.prepare: out: No space left on device; make room" in refused(capsys, "texts")


@pytest.mark.parametrize("part", [2, 100])
def test_the_list_has_the_same_places_on_windows(part, monkeypatch):
    """Where a text file gets CR LF unless it is told otherwise."""

    def as_windows(make):
        def made(*arguments, newline=None, **others):
            mode = next((each for each in arguments if each in ("w", "w+")), "r")
            return make(*arguments, newline="\r\n" if newline is None and mode != "r" else newline, **others)

        return made

    monkeypatch.setattr(sources, "open", as_windows(open), raising=False)
    monkeypatch.setattr(sources.tempfile, "TemporaryFile", as_windows(sources.tempfile.TemporaryFile))
    monkeypatch.setattr(sources, "PART", part)
    os.mkdir("texts")
    os.mkdir("out")
    for i in range(5):
        Path(f"texts/{i}.txt").write_text("x")
    sources.write_list(["texts"], sources.GLOBS, Path("out"), Path("list"))
    every = list(sources.read_list(Path("list")))
    assert [Path(source.path).name for _, source in every] == [f"{i}.txt" for i in range(5)]
    for i, (offset, _) in enumerate(every):
        assert list(sources.read_list(Path("list"), offset)) == every[i + 1 :]


def test_a_folder_that_is_not_free(capsys):
    Path("text").write_text(TEXT)
    made("text")
    assert "has a finished corpus: train with python -m gpt.train --data out" in refused(capsys, "text")
    Path("other").mkdir()
    Path("other/thing").write_text("x")
    assert "--out other is not empty: it has thing" in refused(capsys, "text", out="other")
    assert "cannot make --out" in refused(capsys, "text", out="text/out")


def test_a_file_that_changes_or_vanishes(inputs, small, monkeypatch, capsys):
    write, calls = writing.Writer.write, []

    def meanwhile(self, ids):
        calls.append(1)
        if len(calls) == 5:
            with open("b.txt", "a") as file:
                file.write("more")
        write(self, ids)

    monkeypatch.setattr(writing.Writer, "write", meanwhile)
    assert re.search(r"b\.txt changed while the corpus was made: it had [\d,]+ bytes and has", refused(capsys, *inputs))
    calls.clear()
    monkeypatch.setattr(
        writing.Writer, "write", lambda *a: (calls.append(1), len(calls) == 5 and os.rename("b.txt", "c"), write(*a))
    )
    assert "b.txt has vanished" in refused(capsys, *inputs, out="other")
    os.rename("c", "b.txt")
    made(*inputs, out="other")


def test_a_few_texts_that_are_all_for_training(capsys):
    Path("a").write_text("one text, and this is it\n" * 9)
    Path("b").write_text("another text, and this is it\n" * 9)
    error = refused(capsys, "a", "b", "--validation=0.0001")
    share = re.search(r"--validation (0\.\d+) takes", error)[1]
    found = made("a", "b", f"--validation={share}", out="other")
    assert len(found.train) > 100 and len(found.validation) > 100


@pytest.mark.parametrize("there", [False, True])
def test_a_refusal_leaves_nothing_behind(there, inputs, capsys):
    if there:
        os.mkdir("out")
    refused(capsys, *inputs, "--field=nothing", "--tokenizer=bytes")
    assert not Path("out").exists() if not there else os.listdir("out") == []


def test_a_job_that_another_process_does_is_left_alone(inputs, capsys):
    os.mkdir("out")
    with locked(Path("out")):
        Path("out", job.LIST).write_text("of the other one")
        assert "another process is preparing a corpus in out" in refused(capsys, *inputs)
    assert sorted(os.listdir("out")) == [".lock", job.LIST]


def test_the_corpus_may_be_made_in_a_folder_of_the_text(capsys):
    Path("a.txt").write_text(TEXT)
    os.mkdir("out")
    found = list(sources.walk(".", ".", ["*"], Path("out"), sources.Counter()))
    Path("out/b.txt").write_text("no text of this corpus")
    assert (
        [source.path for source in found]
        == ["./a.txt"]
        == [s.path for s in sources.walk(".", ".", ["*"], Path("out"), {})]
    )


def test_a_special_token_in_a_text_is_refused(capsys):
    write_lines("a.jsonl", [f"abc abc {i}" for i in range(40)] + ["a<|endoftext|>b"])
    assert "a.jsonl:41, in one of its pieces, has the special token <|endoftext|> at offset 1" in refused(
        capsys, "a.jsonl", "--tokenizer=bpe:260"
    )


# ------------------------------------------------------------------------------- reading the tokens


@pytest.fixture
def ids(small):
    Path("text").write_text(TEXT)
    return made("text", "--tokenizer=bpe:280").train


@cases(60)
@given(data=st.data())
def test_stored_tokens_index_as_an_array(data):
    """Ints, slices, and places of any shape: of several files, in blocks."""
    folder = Path("tokens")
    folder.mkdir(exist_ok=True)
    shard, n = 200, data.draw(st.integers(1, 700), "tokens")
    whole = np.random.default_rng(n).integers(0, 60_000, n).astype("<u2")
    shards, blocks, stamps = [], [], {}
    for i, start in enumerate(range(0, n, shard)):
        path = folder / f"train-{i:05}.bin"
        path.write_bytes(whole[start : start + shard].tobytes())
        with files.Folder(folder) as opened, opened.open(path.name) as file:
            sha256, found = manifest.sums(file)
        shards.append(manifest.Shard(path, len(whole[start : start + shard]), sha256, whole.dtype))
        blocks.append(found)
        stamps[path.name] = manifest.stamp(path.stat())
    ids = StoredIds(shards, stamps, np.concatenate(blocks), 60_000)
    assert len(ids) == n
    ends = st.none() | st.integers(-n - 2, n + 2)
    part = slice(data.draw(ends), data.draw(ends))
    assert np.array_equal(ids[part], whole[part])
    shape = data.draw(st.tuples(st.integers(0, 4), st.integers(1, 9)))
    places = np.array(data.draw(st.lists(st.integers(-n, n - 1), min_size=1, max_size=36))).repeat(36)[
        : shape[0] * shape[1]
    ]
    places = (places.reshape(shape) + np.arange(shape[1]) * data.draw(st.integers(0, 2))) % n
    found = ids[places]
    assert found.dtype == np.uint16 and np.array_equal(found, whole[places])
    assert ids[data.draw(st.integers(-n, n - 1), "place")] in whole
    assert ids[-1] == whole[-1]
    for wrong in (n, -n - 1):
        with pytest.raises(IndexError):
            ids[wrong]
        with pytest.raises(IndexError):
            ids[np.array([[0, wrong]])]
    ids.close()


def test_stored_tokens_are_not_loaded_by_accident(ids):
    for wrong in (lambda: np.asarray(ids), lambda: list(ids), lambda: ids[::2], lambda: ids[0.5]):
        with pytest.raises((TypeError, IndexError)):
            wrong()
    assert len(sample(ids, 128)) == 128
    assert sample(ids, 10**9).tobytes() == ids[:].tobytes()


def test_windows_are_read_from_both_alike(ids):
    whole = ids[:]
    for limit in (0, 3, 10**6):
        ours, theirs = list(evaluate.windows(ids, 9, limit)), list(evaluate.windows(whole, 9, limit))
        assert [[part.tolist() for part in pair] for pair in ours] == [
            [part.tolist() for part in pair] for pair in theirs
        ]
    assert sum(y.size for _, y in evaluate.windows(ids, 9, 3)) == 27
    targets = [i for _, y in evaluate.windows(ids, 9) for i in y.reshape(-1).tolist()]
    assert targets == whole[1:].tolist()


# --------------------------------------------------------------------------------- what is noticed


def alter(path, at=5):
    raw = bytearray(Path(path).read_bytes())
    raw[at] ^= 1
    Path(path).write_bytes(raw)


@pytest.fixture
def prepared(small, monkeypatch):
    """A corpus that is older than the margin in which a file may change unseen."""
    monkeypatch.setattr(manifest, "LATE", -10)
    Path("text").write_text(TEXT)
    made("text")
    return Path("out")


def test_files_that_were_found_right_are_not_read_again(prepared, monkeypatch):
    monkeypatch.setattr(manifest, "hashed", lambda *_: 1 / 0)
    open_corpus(prepared, 2)
    (prepared / manifest.VERIFIED).unlink()
    with pytest.raises(ZeroDivisionError):
        open_corpus(prepared, 2)


def test_a_file_that_has_just_changed_is_read_again(small, monkeypatch):
    Path("text").write_text(TEXT)
    made("text")
    assert json.loads(Path("out", manifest.VERIFIED).read_text())["stamps"] == {}


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    "harm",
    [
        lambda path: alter(path),
        lambda path: (alter(path), os.utime(path, ns=(1, 1))),
        lambda path: os.truncate(path, path.stat().st_size - 1),
        lambda path: path.write_bytes(path.read_bytes() + b"x"),
        lambda path: path.write_bytes(path.with_name("train-00001.bin").read_bytes()),  # of the same size
        lambda path: os.replace(path.with_name("train-00001.bin"), path),
        lambda path: path.unlink(),
        lambda path: (path.rename("elsewhere"), os.symlink(os.path.abspath("elsewhere"), path)),
    ],
)
def test_tokens_that_were_altered_are_refused_before_training(known, harm, prepared, capsys):
    if not known:
        (prepared / manifest.VERIFIED).unlink()
    time = (prepared / "train-00000.bin").stat().st_mtime_ns
    harm(prepared / "train-00000.bin")
    if (prepared / "train-00000.bin").exists():
        os.utime(prepared / "train-00000.bin", ns=(time, time))
    with pytest.raises(UserError, match="train-0000"):
        open_corpus(prepared, 2)  # without reading a window
    assert train.main([*TINY, "--data=out", "--out=run"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "out/train-0000" in error
    assert not Path("run").exists()


@pytest.mark.parametrize("name", [manifest.MANIFEST, manifest.BLOCKS])
def test_what_is_said_about_the_tokens_is_sealed(name, prepared):
    alter(prepared / name, at=30)
    with pytest.raises(UserError, match=name):
        open_corpus(prepared, 2)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2}, {"dtype": "uint32"}, {"tokenizer": {"type": "x"}}, {"splits": {}}, {"blocks": {"bytes": 1}},
        {"splits": {"train": {"shards": [{"name": "../x", "tokens": 1, "sha256": ""}]}, "validation": {"shards": []}}},
    ],
)  # fmt: skip
def test_a_manifest_that_says_nonsense(change, prepared):
    path = prepared / manifest.MANIFEST
    path.write_text(json.dumps(seal({**json.loads(path.read_text()), **change})))
    with pytest.raises(UserError, match=r"corpus\.json (is damaged|has format)"):
        open_corpus(prepared, 2)


@pytest.mark.parametrize("blocks", [b"", b"abc", b"abcd"])
def test_sums_of_too_few_blocks_are_refused(blocks, prepared):
    path = prepared / manifest.MANIFEST
    said = json.loads(path.read_text())
    said["blocks"]["sha256"] = hashlib.sha256(blocks).hexdigest()
    path.write_text(json.dumps(seal(said)))
    (prepared / manifest.BLOCKS).write_bytes(blocks)
    with pytest.raises(UserError, match=rf"blocks\.bin is cut off or altered: it has {len(blocks)} bytes, not"):
        open_corpus(prepared, 2)


def test_a_block_that_goes_bad_unseen_is_noticed_when_a_window_needs_it(prepared):
    """A disk that forgets leaves the times as they were."""
    opened = open_corpus(prepared, 2)
    path = prepared / "train-00000.bin"
    good = opened.train[:16]
    alter(path, at=40)
    opened._stamps[path.name] = manifest.stamp(path.stat())
    ids = opened._ids("train")
    assert ids[:16].tobytes() == good.tobytes()
    with pytest.raises(
        UserError, match=r"train-00000\.bin is cut off or altered: the 16 bytes at 32 have another checksum"
    ):
        ids[35:37]


def test_a_file_that_is_replaced_or_cut_off_while_it_is_read(prepared):
    opened = open_corpus(prepared, 2)
    path = prepared / "train-00000.bin"
    opened.train[:3]
    os.truncate(path, 50)
    with pytest.raises(UserError, match="it ends before"):
        opened.train[100:103]
    other = open_corpus_without_verifying(prepared)
    with pytest.raises(UserError, match="it has changed since it was verified"):
        other[:3]


def open_corpus_without_verifying(folder):
    found = manifest.read_manifest(folder)
    stamps = {shard.path.name: [0, 0, 0, 0] for shard in found.shards["train"]}
    return StoredIds(found.shards["train"], stamps, found.blocks["train"], 1000)


# --------------------------------------------------------------------------------------- training


def weights(run):
    return Path(run, "checkpoint/weights.safetensors").read_bytes()


def test_a_run_has_the_weights_that_it_has_in_memory(small):
    Path("text").write_text(TEXT)
    made("text")
    for name, data in (("a", "text"), ("b", "out")):
        assert train.main([*TINY, f"--data={data}", f"--out={name}"]) == 0
    assert weights("a") == weights("b")
    rows = [[json.loads(line) for line in Path(run, "metrics.jsonl").read_text().splitlines()] for run in "ab"]
    assert [row["val_loss"] for row in rows[0]] == [row["val_loss"] for row in rows[1]]
    saved = checkpoint.read(Path("b"))
    assert saved.corpus_sha256 == json.loads(Path("out/corpus.json").read_text())["checksum"]
    assert saved.config.data == os.path.abspath("out") and saved.config.tokenizer == "chars"


def test_a_run_goes_on_bit_for_bit_and_knows_its_corpus(small, capsys):
    Path("text").write_text(TEXT)
    Path("other").write_text(TEXT + "more")
    made("text", "--tokenizer=bpe:280")
    made("other", "--tokenizer=bpe:280", out="other-corpus")
    line = [*TINY, "--data=out"]
    assert train.main([*line, "--out=whole"]) == 0
    assert train.main([*line, "--steps=3", "--decay=0", "--warmup=0", "--out=part"]) == 0
    assert train.main([*line, "--decay=0", "--warmup=0", "--out=straight"]) == 0
    os.rename("out", "moved")
    assert train.main(["--resume=part", "--steps=6", "--quiet", "--no-plot"]) == 2
    assert "if the text has moved, give --data PATH" in capsys.readouterr().err
    assert train.main(["--resume=part", "--data=other-corpus", "--steps=6", "--quiet"]) == 2
    assert "was trained on another text" in capsys.readouterr().err
    assert train.main(["--resume=part", "--data=moved", "--steps=6", "--quiet", "--no-plot"]) == 0
    assert weights("part") == weights("straight")
    capsys.readouterr()
    assert evaluate.main(["part"]) == 0
    assert "over the whole validation split of" in capsys.readouterr().out


def test_the_summary_of_a_long_split_is_of_windows_that_are_evenly_spaced(small, monkeypatch, capsys):
    Path("text").write_text(TEXT)
    made("text")
    monkeypatch.setattr("gpt.job.MOST", 100)
    assert train.main([*TINY[:-1], "--data=out", "--out=run"]) == 0
    assert "over 6 windows of the split, evenly spaced, 96 predictions" in capsys.readouterr().out


def test_the_tokenizer_of_a_corpus_may_be_named_again_if_it_is_the_same(small, capsys):
    Path("text").write_text(TEXT)
    for name, corpus_of in (("same", TEXT), ("other", TEXT.upper())):
        os.mkdir(name)
        Path(name, "tokenizer.json").write_text(json.dumps(make("bpe:262", corpus_of).to_library()))
    made("text", "--tokenizer=same")
    assert train.main([*TINY, "--data=out", "--tokenizer=same", "--out=run"]) == 0
    for name in ("other", "gpt2", "bytes", "bpe:300"):
        assert train.main([*TINY, "--data=out", f"--tokenizer={name}", "--out=next"]) == 2
        assert f"--tokenizer {name}: {Path('out').absolute()} was prepared with bpe:262" in capsys.readouterr().err


def test_a_model_reads_its_own_tokens_alone(small, capsys):
    Path("text").write_text(TEXT)
    made("text", out="chars")
    made("text", "--tokenizer=bytes", out="bytes")
    assert train.main([*TINY, "--data=chars", "--out=run"]) == 0
    assert train.main([*TINY, "--data=bytes", "--init=run", "--out=next"]) == 2
    assert "was prepared with other tokens (bytes) than the model has (chars)" in capsys.readouterr().err
    made("text", "--tokenizer=run:run", out="again")
    assert train.main([*TINY, "--data=again", "--init=run", "--out=next"]) == 0
    assert train.main([*TINY, "--data=bytes", "--tokenizer=chars", "--out=other"]) == 2
    assert "--tokenizer chars:" in capsys.readouterr().err
    assert train.main([*TINY, "--data=bytes", "--context=100000", "--out=other"]) == 2
    assert "prepare more text, or lower --context" in capsys.readouterr().err
    Path("short").write_text("It was")
    made("short", "--tokenizer=run:run", "--validation=0.5", out="few")
    for data in ("short", "few"):  # the model's context is what it is
        assert evaluate.main(["run", f"--data={data}"]) == 2
        error = capsys.readouterr().err
        assert "window of context 16" in error and re.search(r"(longer|more) text$", error) and "--" not in error


def test_what_is_no_corpus_yet(capsys, small):
    os.mkdir("folder")
    os.mkdir("begun")
    Path("begun", manifest.STATE).touch()
    for data, message in (
        ("begun", "is a corpus that is not finished: give its command again"),
        ("folder", "is a folder, and no finished corpus: python -m gpt.prepare"),
        ("hf:./nowhere", "hf:./nowhere: there is no such folder, and no dataset has such a name; give hf:OWNER/NAME"),
        ("hf:some/name@main", "after @ stands a commit, 40 digits from 0 to f; gpt.prepare --revision takes"),
    ):
        assert train.main([*TINY, f"--data={data}", "--out=run"]) == 2
        assert message in capsys.readouterr().err


def test_a_source_is_told_by_its_name():
    kinds = {
        name: Source(name).kind for name in ("a", "a.txt.gz", "a.JSONL.zst", "a.ndjson", "a.parquet", "hf:a.parquet")
    }
    assert list(kinds.values()) == ["text", "text", "jsonl", "jsonl", "parquet", "dataset"]
    assert How().name == "text"
