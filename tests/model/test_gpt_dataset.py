"""gpt.train --data hf:NAME: a dataset of the Hub is streamed once into a corpus in the cache folder, which every reader finds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gpt import corpus, evaluate, prepare, train
from gpt.corpora import cached, job, manifest, writing
from gpt.corpora.cached import Reader
from gpt.corpora.stored import open_corpus
from gpt.errors import UserError
from gpt.run import checkpoint, files
from gpt.tokenizers import BPETokenizer, learn, make

pytestmark = pytest.mark.programs
TINY = [
    "--layers=1", "--width=16", "--heads=2", "--context=16", "--batch-size=4", "--steps=6", "--eval-every=2", "--threads=1",
    "--no-plot", "--decay=0", "--warmup=0",
]  # fmt: skip
TEXTS = [f"document {i} of é 😀 {'word ' * (i % 13)}" for i in range(200)]
FIRST, SECOND = "a" * 40, "b" * 40


class Rows:
    """What `datasets` returns for streaming=True: rows in order, some of which may be skipped."""

    def __init__(self, texts, asked):
        self._texts, self._asked = texts, asked

    def __iter__(self):
        for text in self._texts:
            self._asked.append(text)
            yield {"text": text, "n": 1}

    def skip(self, n):
        return Rows(self._texts[n:], self._asked)


class Hub:
    """A stand-in for the Hugging Face Hub and the package `datasets`: one dataset, of several commits."""

    def __init__(self):
        self.versions = {FIRST: TEXTS}
        self.newest, self.asked, self.online = FIRST, [], True

    def _online(self):
        if not self.online:
            raise ConnectionError("no network")

    def dataset_info(self, name, revision=None):
        self._online()
        assert name == "some/name"
        return SimpleNamespace(sha=revision or self.newest)

    def load_dataset(self, name, subset, *, split, revision, streaming):
        self._online()
        assert (name, subset, split, streaming) == ("some/name", None, "train", True)
        return Rows(self.versions[revision], self.asked)

    def load_dataset_builder(self, name, subset, revision):
        self._online()
        splits = {"train": SimpleNamespace(num_bytes=3 << 20)}
        return SimpleNamespace(info=SimpleNamespace(splits=splits))

    def disable_progress_bars(self):
        pass


@pytest.fixture
def hub(tmp_path, monkeypatch):
    found = Hub()
    monkeypatch.setitem(sys.modules, "datasets", found)
    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(HfApi=lambda: found))
    monkeypatch.setenv(cached.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(job, "ENOUGH", 100)
    monkeypatch.chdir(tmp_path)
    return found


def trained(*arguments):
    assert train.main([*TINY, *arguments]) == 0


def refused(capsys, program, *arguments):
    """The one line that refuses a command."""
    capsys.readouterr()
    assert program.main(list(arguments)) == 2
    error = capsys.readouterr().err.splitlines()
    return error[-1]


def weights(run):
    return Path(run, "checkpoint/weights.safetensors").read_bytes()


def corpora():
    return sorted(path.parent for path in Path("cache").rglob(manifest.MANIFEST))


@pytest.mark.parametrize("tokenizer", ["chars", "bytes", "bpe:270"])
def test_a_dataset_trains_as_the_corpus_that_is_prepared_of_it(tokenizer, hub, capsys):
    flag = f"--tokenizer={tokenizer}"
    trained("--data=hf:some/name", flag, "--out=a")
    out, err = capsys.readouterr()
    assert err.startswith(f"gpt.train: streaming hf:some/name@{FIRST} (3 MiB with all its columns")
    line = err.splitlines()[0]
    assert (
        "Ctrl-C keeps the tokens that are there" in line
        and "python -m gpt.prepare hf:some/name" in line
        and "--limit" in line
    )
    assert (f", read twice, the first time to learn {tokenizer}) into " in line) == (tokenizer != "bytes")
    assert f"text      hf:some/name@{FIRST}: " in out and "writing" in out
    assert prepare.main(["hf:some/name", flag, "--out=corpus", "--quiet"]) == 0
    trained("--data=corpus", "--out=b", "--quiet")
    assert weights("a") == weights("b")
    saved = checkpoint.read(Path("a"))
    assert saved.config.data == f"hf:some/name@{FIRST}" and saved.config.tokenizer == tokenizer
    assert saved.corpus_sha256 == open_corpus(Path("corpus"), 1).sha256


def test_the_second_start_needs_no_network(hub, capsys):
    trained("--data=hf:some/name", "--out=a", "--quiet")
    rows = len(hub.asked)
    hub.online, hub.newest = False, SECOND
    capsys.readouterr()
    for name in ("hf:some/name", f"hf:some/name@{FIRST}"):
        trained(f"--data={name}", f"--out=b-{len(name)}", "--quiet")
        assert weights("a") == weights(f"b-{len(name)}")
    assert capsys.readouterr() == ("", "")
    assert len(hub.asked) == rows == 2 * len(TEXTS)  # for its characters, and for its tokens
    assert len(corpora()) == 1


def test_what_decides_the_bits_decides_where_a_corpus_is(hub):
    hub.versions[SECOND] = TEXTS[::-1]
    first = cached.open_dataset("hf:some/name", Reader(), 1)
    hub.newest = SECOND
    assert cached.open_dataset("hf:some/name", Reader(), 1).sha256 == first.sha256
    second = cached.open_dataset(f"hf:some/name@{SECOND}", Reader(), 1)
    assert second.sha256 != first.sha256 and second.name == f"hf:some/name@{SECOND}"
    assert cached.open_dataset(f"hf:some/name@{FIRST}", Reader(), 1).sha256 == first.sha256
    found = cached.open_dataset(f"hf:some/name@{FIRST}", Reader("bytes"), 1)
    assert found.tokenizer.name == "bytes" and len(corpora()) == 3
    given = make("bpe:272", "".join(TEXTS))
    other = make("bpe:272", "of documents and other words, of documents and other words\n" * 3)
    by_name = cached.open_dataset(f"hf:some/name@{FIRST}", Reader("bpe:272"), 1)
    every = [cached.open_dataset(f"hf:some/name@{FIRST}", Reader("bpe:272", each), 1) for each in (given, other)]
    assert [each.tokenizer.to_json() for each in every] == [given.to_json(), other.to_json()]
    assert len({by_name.sha256, every[0].sha256, every[1].sha256}) == 3


@pytest.mark.parametrize("name", ["FORMAT", "validation", "sample"])
def test_another_format_or_default_is_another_corpus(name, hub, monkeypatch):
    before = cached.folder_of("some/name", Reader())
    with monkeypatch.context() as patch:
        if name == "FORMAT":
            patch.setattr(manifest, "FORMAT", manifest.FORMAT + 1)
        else:
            work = cached.Job
            patch.setattr(cached, "Job", lambda *given, **others: work(*given, **others, **{name: 1}))
        assert cached.folder_of("some/name", Reader()) != before
    assert cached.folder_of("other/name", Reader()).name[:10] == "other-name"
    assert cached.folder_of("other-name", Reader()) != cached.folder_of("other/name", Reader())
    os.makedirs("some/name")  # a folder that is called so changes nothing for the corpus of a commit
    assert cached.folder_of("some/name", Reader()) == before


def interrupt_at(monkeypatch, n):
    """Ctrl-C when tokens are written for the n-th time."""
    write, calls = writing.Writer.write, []

    def interrupted(self, ids):
        calls.append(1)
        if len(calls) == n:
            os.kill(os.getpid(), signal.SIGINT)
        write(self, ids)

    monkeypatch.setattr(writing.Writer, "write", interrupted)


def test_ctrl_c_keeps_what_is_there(hub, monkeypatch, capsys):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patch:
            interrupt_at(patch, 20)
            assert train.main([*TINY, "--data=hf:some/name", "--out=a", "--quiet"]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == "gpt.train: stopped; the same command goes on from there\n"
    assert not Path("a").exists()
    rows, hub.newest = len(hub.asked), SECOND  # it goes on with the commit that it has begun with
    trained("--data=hf:some/name", "--out=a")
    err = capsys.readouterr().err
    assert err.startswith(f"gpt.train: going on to stream hf:some/name@{FIRST} into ")
    assert len(hub.asked) - rows < len(TEXTS) - 20
    shutil.rmtree("cache")
    hub.newest = FIRST
    trained("--data=hf:some/name", "--out=b", "--quiet")
    assert weights("a") == weights("b")


def test_a_kill_in_the_first_pass_is_gone_on_from_as_well(hub, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(job.Work, "look", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train.main([*TINY, "--data=hf:some/name", "--out=a", "--quiet"])
    hub.newest = SECOND
    trained("--data=hf:some/name", "--out=a", "--quiet")
    assert checkpoint.read(Path("a")).config.data == f"hf:some/name@{FIRST}"


def test_a_run_goes_on_bit_for_bit_wherever_its_corpus_is(hub, capsys):
    line = ["--data=hf:some/name", "--tokenizer=bpe:270", "--quiet"]
    trained(*line, "--out=whole")
    for name in ("there", "gone", "moved"):
        trained(*line, "--steps=3", f"--out={name}")
    go_on = ["--steps=6", "--quiet", "--no-plot"]
    hub.online, hub.newest = False, SECOND
    assert train.main(["--resume=there", *go_on]) == 0
    os.rename("cache", "elsewhere")
    error = refused(capsys, train, "--resume=moved", *go_on)
    assert f"hf:some/name@{FIRST} cannot be read (ConnectionError: no network)" in error
    assert train.main(["--resume=moved", *go_on, f"--data={corpora_of('elsewhere')}"]) == 0
    hub.online = True
    assert train.main(["--resume=gone", *go_on]) == 0  # it is streamed again, of the same commit, with the run's tokens
    hub.online = False
    assert evaluate.main(["gone"]) == 0  # and found then
    assert weights("whole") == weights("there") == weights("gone") == weights("moved")


def corpora_of(folder):
    [path] = Path(folder).rglob(manifest.MANIFEST)
    return path.parent


def test_a_dataset_that_has_become_another_is_refused(hub, capsys):
    trained("--data=hf:some/name", "--steps=3", "--out=run", "--quiet")
    shutil.rmtree("cache")
    hub.versions[FIRST] = TEXTS[::-1]
    for program, line in ((train, ["--resume=run", "--steps=6", "--quiet"]), (evaluate, ["run", "--json"])):
        error = refused(capsys, program, *line)
        assert f"hf:some/name@{FIRST} has changed since run was trained on it" in error
    error = refused(capsys, train, "--resume=run", f"--data=hf:some/name@{FIRST}", "--steps=6", "--quiet")
    assert "run was trained on another text" in error


def test_evaluating_prints_nothing_but_the_result(hub, capsys):
    trained("--data=hf:some/name", "--out=run", "--quiet")
    capsys.readouterr()
    assert evaluate.main(["run", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    rows = len(hub.asked)
    assert evaluate.main(["run", "--data=hf:some/name", "--json"]) == 0  # its tokens are there, under the name chars
    assert json.loads(capsys.readouterr().out) == first and len(hub.asked) == rows
    shutil.rmtree("cache")
    assert evaluate.main(["run", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == first and "gpt.evaluate: streaming" in err and "gpt.evaluate: writing" in err
    hub.versions[SECOND] = TEXTS[:150]
    assert evaluate.main(["run", f"--data=hf:some/name@{SECOND}", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["tokens"] < first["tokens"] and "gpt.evaluate: writing" in err


def test_a_dataset_is_read_with_the_tokens_of_the_weights(hub, capsys):
    Path("text").write_text("".join(TEXTS[:50]))
    trained("--data=text", "--tokenizer=bpe:275", "--out=run", "--quiet")
    trained("--data=hf:some/name", "--init=run", "--out=next", "--quiet")
    both = [checkpoint.read(Path(run)).tokenizer.to_json() for run in ("run", "next")]
    assert both[0] == both[1]
    rows = len(hub.asked)
    trained("--data=hf:some/name", "--init=run", "--out=again", "--quiet")
    assert weights("next") == weights("again") and len(hub.asked) == rows
    assert evaluate.main(["run", "--data=hf:some/name"]) == 0
    assert f"over the whole validation split of hf:some/name@{FIRST}" in capsys.readouterr().out
    shutil.rmtree("cache")
    assert evaluate.main(["next"]) == 0  # streamed again with the tokens of another text, which it would not learn


def test_a_folder_is_known_by_what_its_files_are(hub, monkeypatch):
    os.mkdir("folder")
    Path("folder/train.jsonl").write_text("one")
    texts = TEXTS

    def load_dataset(name, *_, **__):
        assert name == os.path.abspath("folder")
        return Rows(texts, hub.asked)

    monkeypatch.setattr(hub, "load_dataset", load_dataset)
    first = corpus.read("hf:folder")
    assert first.name == f"hf:{os.path.abspath('folder')}"
    rows = len(hub.asked)
    assert corpus.read(f"hf:{os.path.abspath('folder')}").sha256 == first.sha256 and len(hub.asked) == rows
    Path("folder/train.jsonl").write_text("two and more")
    texts = TEXTS[:150]
    second = corpus.read("hf:folder")
    assert second.sha256 != first.sha256 and len(second.train) < len(first.train)
    for text in (first, second):  # a run finds its own, though the folder has changed
        assert corpus.read(text.name, reader=Reader(sha256=text.sha256)).sha256 == text.sha256
    assert len(hub.asked) == rows + 2 * len(texts)


@pytest.mark.parametrize("stop", [2, 9])
def test_a_folder_that_changes_while_a_corpus_is_made(stop, hub, monkeypatch, capsys):
    """It is named, when the job goes on and when it reaches the end: no corpus is of two versions."""
    os.mkdir("folder")
    Path("folder/train.jsonl").write_text("one")
    monkeypatch.setattr(hub, "load_dataset", lambda *_, **__: Rows(TEXTS, hub.asked))
    line = ["hf:folder", "--tokenizer=bytes", "--out=out"]
    with monkeypatch.context() as patch:
        interrupt_at(patch, stop)
        assert prepare.main(line) == 130
    Path("folder/train.jsonl").write_text("two and more")
    rows = len(hub.asked)
    assert f"hf:{os.path.abspath('folder')} changed while the corpus was made" in refused(capsys, prepare, *line)
    assert len(hub.asked) == rows

    def changing(self):
        yield from ({"text": text} for text in TEXTS)
        Path("folder/train.jsonl").write_text("three")

    monkeypatch.setattr(Rows, "__iter__", changing)
    assert "changed while" in refused(capsys, prepare, *line[:2], "--out=other")
    assert "--out folder/x is in hf:folder" in refused(capsys, prepare, "hf:folder", "--out=folder/x")


def test_a_folder_that_is_gone_is_known_by_the_checksum(hub, monkeypatch, capsys):
    os.mkdir("fol@der")
    monkeypatch.setattr(hub, "load_dataset", lambda *_, **__: Rows(TEXTS, hub.asked))
    trained("--data=hf:fol@der", "--steps=3", "--out=run", "--quiet")
    rows = len(hub.asked)
    os.rmdir("fol@der")
    assert evaluate.main(["run"]) == 0
    assert train.main(["--resume=run", "--steps=6", "--quiet", "--no-plot"]) == 0 and len(hub.asked) == rows
    shutil.rmtree("cache")
    assert ": there is no such folder, " in refused(capsys, evaluate, "run")


@pytest.mark.parametrize("name", ["tok", "./tok", "gpt2:tok", "hf:tok", "long" * 20 + "/tok"])
def test_a_corpus_has_the_tokens_that_its_folder_has_now(name, hub):
    """Not those of another folder of that name, which was read from another working folder, or of yesterday."""
    texts, place = ["a b a b cd cd " * 9, "x y x y zz zz " * 9], name.rpartition(":")[2]
    for number, text in enumerate([*texts, texts[0]]):
        made = BPETokenizer(learn(text, 259))
        os.makedirs(f"{number}/{place}")
        Path(f"{number}/{place}/tokenizer.json").write_text(json.dumps(made.to_library()))
        os.chdir(str(number))
        found = corpus.read("hf:some/name", reader=Reader(name))
        assert found.tokenizer.to_json() == made.to_json()
        os.chdir("..")
    assert len(corpora()) == 2


def test_a_corpus_in_the_cache_that_is_damaged(hub, capsys):
    trained("--data=hf:some/name", "--out=a", "--quiet")
    [folder] = corpora()
    path = folder / "train-00000.bin"
    path.write_bytes(path.read_bytes()[:-1])
    error = refused(capsys, train, *TINY, "--data=hf:some/name", "--out=b")
    assert "train-00000.bin is cut off or altered" in error
    assert error.endswith(f"; or remove {folder.absolute()}, and hf:some/name@{FIRST} is streamed again")
    files.remove(folder)
    trained("--data=hf:some/name", "--out=b", "--quiet")
    assert weights("a") == weights("b")


def test_what_cannot_be_streamed_is_one_line(hub, capsys, monkeypatch):
    line = [*TINY, "--data=hf:some/name", "--out=run", "--quiet"]
    more = "(python -m gpt.prepare hf:some/name --out DIR has more flags; then --data DIR)"
    with monkeypatch.context() as patch:
        patch.setitem(hub.versions, FIRST, [None])
        error = refused(capsys, train, *line)
        assert f"hf:some/name@{FIRST}, row 1: 'text' is null, not a text" in error and error.endswith(more)
        patch.setattr(Rows, "__iter__", lambda _: iter([{"body": "x"}]))
        error = refused(capsys, train, *line)
        assert "has no field 'text': it has 'body'" in error and error.endswith(more)
    hub.online = False
    error = refused(capsys, train, *line)
    assert "hf:some/name cannot be read (ConnectionError: no network); give the same command again" in error
    hub.online = True
    Path("file").write_text("")
    monkeypatch.setenv(cached.CACHE_VARIABLE, os.path.abspath("file"))
    assert f"Not a directory; set {cached.CACHE_VARIABLE} to a folder" in refused(capsys, train, *line)
    monkeypatch.setitem(sys.modules, "datasets", None)
    monkeypatch.setenv(cached.CACHE_VARIABLE, os.path.abspath("other"))
    assert "pip install datasets" in refused(capsys, train, *line)
    assert not Path("run").exists()


def test_a_commit_is_named_to_gpt_prepare_as_well(hub, capsys):
    hub.versions[SECOND] = TEXTS[::-1]
    for name, out in ((f"hf:some/name@{SECOND}", "a"), ("hf:some/name", "b")):
        flags = [] if "@" in name else [f"--revision={SECOND}"]
        assert prepare.main([name, *flags, "--tokenizer=bytes", f"--out={out}", "--quiet"]) == 0
    assert open_corpus(Path("a"), 1).sha256 == open_corpus(Path("b"), 1).sha256
    error = refused(capsys, prepare, f"hf:some/name@{SECOND}", "--revision=main", "--out=c")
    assert f"--revision main: hf:some/name@{SECOND} says which commit it is; leave one of them out" in error


def test_flags_of_a_dataset_are_refused_where_they_have_no_effect(hub, capsys):
    Path("text").write_text("a b " * 99)
    os.mkdir("folder")
    for flag in ("--subset=x", "--split=test", "--revision=main"):
        assert "none is named; leave them out" in refused(capsys, prepare, "text", flag, "--out=out")
    assert "hf:folder is a folder" in refused(capsys, prepare, "hf:folder", "--revision=main", "--out=out")
    assert not Path("out").exists()


def test_a_split_that_a_dataset_does_not_have(hub, monkeypatch, capsys):
    def load_dataset(*_, **__):
        raise ValueError('Bad split: train. Available splits: ["test"]')

    monkeypatch.setattr(hub, "load_dataset", load_dataset)
    error = refused(capsys, prepare, "hf:some/name", "--out=out")
    assert 'Available splits: ["test"]); gpt.prepare has --subset and --split' in error


def test_a_dataset_that_does_not_say_how_large_it_is(hub, monkeypatch, capsys):
    monkeypatch.setattr(hub, "load_dataset_builder", lambda *_, **__: 1 / 0)
    trained("--data=hf:some/name", "--tokenizer=bytes", "--out=run")
    assert f"streaming hf:some/name@{FIRST} (it does not say how large it is) into" in capsys.readouterr().err


def test_two_processes_do_not_stream_at_once(hub, capsys, monkeypatch):
    """The second one is told; if the first one finishes before it looks again, it takes what is there."""
    prepared = job.prepare

    def meanwhile(work, show):
        prepared(work, show)
        return prepared(work, show)

    monkeypatch.setattr(job, "prepare", meanwhile)
    assert len(np.unique(corpus.read("hf:some/name").train[:])) > 5
    with pytest.raises(UserError, match="has a finished corpus"):
        meanwhile(cached.work(f"hf:some/name@{FIRST}", corpora()[0], Reader()), job.Shown())
