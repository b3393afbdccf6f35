"""The files of a tokenizer are one tokenizer, or one refusal, by whichever name the folder is given."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from folders import exported
from hypothesis import given
from hypothesis import strategies as st
from profiles import cases

from gpt import train
from gpt.errors import UserError, shown
from gpt.hf import folder as model_folder
from gpt.tokenizers import BPETokenizer, ByteTokenizer, CharTokenizer, folders
from gpt.tokenizers.bpe import learn
from gpt.trained import find

pytestmark = pytest.mark.hf

TEXT = "It was the best of times, it was the worst of times. Ünïcödé!\n" * 20
MERGES = learn(TEXT, 268)
LOOK_SPECIAL = ["<|endoftext|>", "<pad>", "[MASK]", "<s>", "<|im start|>", "<a\nb>"]
OTHERS = ["PAD", "<>", "[]", "the end"]
ROWS = 300


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder with a model of more rows than any tokenizer here has tokens, and no tokenizer."""
    folder = tmp_path_factory.mktemp("tokenizers") / "model"
    exported(folder, vocab_size=ROWS, width=4, heads=1, layers=1)
    return folder


def outcome(make):
    """What a tokenizer is, or what the refusal says."""
    try:
        return make().to_json()
    except UserError as error:
        return str(error)


def outcomes(folder):
    """By each name that leads to the folder. A refusal of a model also says what to do."""
    advice = "; give --tokenizer, a folder that has one"
    by_model = outcome(lambda: find(f"hf:{folder}").vocabulary())
    by_name = [
        outcome(lambda name=name: folders.named(name)) for name in (str(folder), f"gpt2:{folder}", f"hf:{folder}")
    ]
    return [*by_name, by_model.removesuffix(advice).removeprefix("hf:") if isinstance(by_model, str) else by_model]


def write_two(folder, names, special, ends="\n", trailing=1, version="#version: 0.2"):
    """Write GPT-2's two files, and return the tokenizer that they have."""
    tokenizer = BPETokenizer(MERGES, {token: 256 + len(MERGES) + i for i, token in enumerate(special)})
    content = tokenizer.to_library()["model"]
    (folder / names[0]).write_text(json.dumps(content["vocab"]), "utf-8")
    lines = [*([version] if version else []), *content["merges"]]
    (folder / names[1]).write_bytes((ends.join(lines) + ends * trailing).encode())
    return tokenizer


def cut(path, data):
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])


def link(path, data):
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def make_folder(path, data):
    path.unlink()
    path.mkdir()


def garble(path, data):
    content = path.read_bytes()
    at = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:at] + data.draw(st.binary(min_size=1, max_size=3)) + content[at:])


REFUSED = [link, make_folder]
DAMAGE = [*REFUSED, cut, garble, lambda path, data: path.unlink()]
VERSIONS = ["", "#version: 0.2", "#version"]


@cases(60)
@given(st.data())
def test_a_folder_is_one_tokenizer_or_one_refusal(model, data):
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        folder = Path(shutil.copytree(model, Path(place) / "m"))
        special = data.draw(st.lists(st.sampled_from(LOOK_SPECIAL + OTHERS), max_size=3, unique=True))
        names = data.draw(st.sampled_from(folders.PAIRS))
        ends, trailing = data.draw(st.sampled_from(["\n", "\r\n"])), data.draw(st.integers(0, 3))
        expected = write_two(
            folder, names, special, ends, trailing, data.draw(st.sampled_from(["", "#version: 0.2", "#version"]))
        )
        if data.draw(st.booleans()):
            expected = data.draw(st.sampled_from([expected, ByteTokenizer(), CharTokenizer("abc")]))
            (folder / folders.LIBRARY).write_text(json.dumps(expected.to_library()), "utf-8")
            sound, names = True, (folders.LIBRARY,)
        else:
            sound = not set(special) & set(OTHERS)
        limit = data.draw(st.sampled_from([None, 0, 100]))
        file = folder / data.draw(st.sampled_from(names))
        size = file.stat().st_size
        if limit is not None and limit < size:
            patch.setitem(model_folder.MOST, file.name, limit)
            sound = False
        elif data.draw(st.booleans()):
            damage = data.draw(st.sampled_from(DAMAGE))
            damage(file, data)
            sound = False if damage in REFUSED else None  # what is left of others may be a tokenizer
        found = outcomes(folder)
        assert all(each == found[0] for each in found), found
        assert isinstance(found[0], dict) or ("\n" not in found[0] and found[0].startswith(str(folder)))
        if sound is not None:
            assert (found[0] == expected.to_json()) is sound


@pytest.mark.parametrize("name", LOOK_SPECIAL)
def test_a_token_that_no_merge_makes_is_special_if_it_looks_so(tmp_path, name):
    write_two(tmp_path, folders.PAIRS[0], [name])
    assert folders.named(str(tmp_path)).special == {name: 256 + len(MERGES)}


@pytest.mark.parametrize("name", OTHERS)
def test_a_token_that_no_merge_makes_is_refused_if_it_does_not(tmp_path, name):
    write_two(tmp_path, folders.PAIRS[0], [name])
    with pytest.raises(UserError, match="has the number 268, and by the order of bytes and merges none"):
        folders.named(str(tmp_path))


def test_an_empty_line_between_merges_is_refused(tmp_path):
    write_two(tmp_path, folders.PAIRS[0], [], ends="\n\n")
    with pytest.raises(UserError, match="merge 1 must be two tokens, not ''"):
        folders.named(str(tmp_path))


def test_a_link_to_the_folder_is_the_folder(tmp_path):
    (tmp_path / "real").mkdir()
    tokenizer = write_two(tmp_path / "real", folders.PAIRS[1], ["<pad>"])
    (tmp_path / "link").symlink_to("real")
    assert folders.named(str(tmp_path / "link")).to_json() == tokenizer.to_json()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs on this system")
@pytest.mark.parametrize("name", ["tokenizer.json", "vocab.json", "merges.txt"])
def test_a_fifo_makes_nobody_wait(tmp_path, name):
    write_two(tmp_path, folders.PAIRS[0], [])
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match=f"{name} is a FIFO, and must be a file"):
        folders.named(str(tmp_path))


def test_the_package_of_gpt2_may_be_links(tmp_path, monkeypatch):
    """Some installers make links of a package's files: who installed it trusts it."""
    real, data = tmp_path / "cache", tmp_path / "package" / "data"
    real.mkdir()
    data.mkdir(parents=True)
    write_two(real, folders.PAIRS[1], [])
    for name in folders.PAIRS[1]:
        (data / name).symlink_to(real / name)
    package = SimpleNamespace(submodule_search_locations=[str(data.parent)])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: package)
    with pytest.raises(UserError, match="the files that were found are not GPT-2's"):  # they were read
        folders.named("gpt2")


def test_of_a_model_on_the_hub_the_tokenizer_alone_is_fetched(tmp_path, monkeypatch):
    tokenizer = write_two(tmp_path, folders.PAIRS[0], ["<pad>"])
    asked = []

    def download(name, allow_patterns):
        asked.append((name, allow_patterns))
        return str(tmp_path)

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=download))
    assert folders.named("hf:some/model").to_json() == tokenizer.to_json()
    [(name, patterns)] = asked
    assert name == "some/model" and set(patterns) == {folders.LIBRARY, *folders.PAIRS[0], *folders.PAIRS[1]}


@pytest.mark.parametrize("form", ["", "gpt2:", "hf:"])
@pytest.mark.parametrize("tokenizer", [BPETokenizer(MERGES), CharTokenizer.from_text(TEXT), ByteTokenizer()],
                         ids=["bpe", "chars", "bytes"])  # fmt: skip
def test_a_run_from_scratch_takes_the_tokenizer_of_a_folder(tmp_path, monkeypatch, form, tokenizer):
    monkeypatch.chdir(tmp_path)
    Path("text").write_text(TEXT, "utf-8")
    Path("words").mkdir()
    Path("words/tokenizer.json").write_text(json.dumps(tokenizer.to_library()), "utf-8")
    line = [
        "--layers=1",
        "--width=4",
        "--heads=1",
        "--context=4",
        "--steps=1",
        "--threads=1",
        "--quiet",
        "--no-plot",
        "--data=text",
    ]
    assert train.main([*line, "--data=text", f"--tokenizer={form}words", "--out=run"]) == 0
    found = find(Path("run"))
    assert found.tokenizer.to_json() == tokenizer.to_json()
    assert (found.config.tokenizer, found.config.vocab_size) == (tokenizer.name, tokenizer.vocab_size)


@given(st.text())
def test_a_value_in_an_error_is_part_of_one_line(value):
    text = shown(value)
    assert text.isprintable() and len(text.splitlines()) <= 1 and len(text) <= 600
    if value.isprintable() and len(value) <= 80:
        assert text == value
