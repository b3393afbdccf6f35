"""Tokenizer, corpora, batches and baselines."""

from __future__ import annotations

import functools
import hashlib
import http.server
import math
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import cases

from gpt import corpus, data
from gpt.config import TrainConfig
from gpt.corpora import cached
from gpt.errors import UserError
from gpt.run import baselines
from gpt.tokenizers import CharTokenizer


@cases(100)
@given(st.text(min_size=1))
def test_decode_inverts_encode_for_any_text(text):
    tokenizer = CharTokenizer.from_text(text)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.vocab_size == len(set(text)) == len(set(ids.tolist()))
    assert CharTokenizer.from_json(tokenizer.to_json()).characters == tokenizer.characters


def test_unknown_characters_are_named():
    tokenizer = CharTokenizer.from_text("abc")
    with pytest.raises(
        UserError, match=r"--prompt has the characters 'Z', 'é' \(the first at offset 1\), which .*leave them out"
    ):
        tokenizer.encode("aZbé", "--prompt")
    with pytest.raises(UserError, match="the character '!' at offset 1,"):
        tokenizer.encode("a!")
    with pytest.raises(UserError, match=r"'G', 'H' and 12 more"):
        tokenizer.encode("ABCDEFGHIJKLMNOPQRST")
    with pytest.raises(UserError, match=r"'\\udcff'"):  # a byte of argv that is not UTF-8
        tokenizer.encode("\udcff")
    with pytest.raises(UserError, match=r"'Ź' at offset 2,"):  # in two characters, as some systems spell it
        tokenizer.encode("abZ\u0301", "--prompt")


@pytest.mark.parametrize("value", [None, {}, {"type": "bpe"}, {"type": "characters"},
                                   {"type": "characters", "characters": "ba"},
                                   {"type": "characters", "characters": ""}])  # fmt: skip
def test_a_tokenizer_is_not_made_of_something_else(value):
    with pytest.raises(UserError):
        CharTokenizer.from_json(value)


@pytest.mark.parametrize("name", ["a\0b", "\ud800", ""])
def test_a_name_that_no_file_can_have(name):
    with pytest.raises(UserError, match="--data takes"):
        corpus.read(name)


def test_byte_order_mark_and_line_ends(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\nthr\xc3\xa9e\r\n")
    found = corpus.read(str(path))
    assert found.text == "one\ntwo\nthrée\n"
    assert found.name == str(path)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"abc\xffdef", "byte 0xff at offset 3"),
        (b"\xef\xbb\xbfabc\xffdef", "byte 0xff at offset 6"),
        ("text".encode("utf-16"), "byte 0xff at offset 0"),
    ],
)
def test_what_is_not_a_text_is_refused(tmp_path, raw, message):
    path = tmp_path / "text"
    path.write_bytes(raw)
    with pytest.raises(UserError, match=message):
        corpus.read(str(path))


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        corpus.read(str(tmp_path / "missing"))
    with pytest.raises(UserError, match=r"is a folder, and no finished corpus: python -m gpt\.prepare"):
        corpus.read(str(tmp_path))


def test_python_docs_are_english_prose():
    text = corpus.read("python-docs").text
    assert text == corpus.python_docs()
    assert text.isascii()
    assert len(text) > 100_000
    assert ">>>" not in text and "::=" not in text
    paragraphs = text.strip().split("\n\n")
    assert len(paragraphs) == len(set(paragraphs))


@pytest.fixture
def shakespeare(tmp_path, monkeypatch):
    """A small file in Shakespeare's place, on a web server of this process; yields its stop."""
    served = tmp_path / "served"
    served.mkdir()
    text = b"To be, or not to be\n" * 100
    (served / "input.txt").write_bytes(text)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(served))
    monkeypatch.setattr(http.server.BaseHTTPRequestHandler, "log_message", lambda *_: None)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv(cached.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(corpus, "SHAKESPEARE_URL", f"http://127.0.0.1:{server.server_port}/input.txt")
    monkeypatch.setattr(corpus, "SHAKESPEARE_SHA256", hashlib.sha256(text).hexdigest())

    def stop():
        server.shutdown()
        server.server_close()

    yield stop
    stop()


def test_shakespeare_is_fetched_once(shakespeare):
    first = corpus.read("shakespeare")
    shakespeare()  # from here on there is no server
    assert corpus.read_default() == (first, "")
    assert first.text.startswith("To be")


def test_without_network_the_default_is_python_docs(shakespeare):
    shakespeare()
    with pytest.raises(UserError, match=r"cannot be fetched.*--data python-docs"):
        corpus.read("shakespeare")
    found, note = corpus.read_default()
    assert found.name == "python-docs"
    assert "cannot be fetched" in note
    assert "python-docs" in note
    assert "\n" not in note


def test_another_checksum_is_refused(shakespeare, monkeypatch):
    monkeypatch.setattr(corpus, "SHAKESPEARE_SHA256", "0" * 64)
    with pytest.raises(UserError, match="cannot be fetched"):
        corpus.read("shakespeare")


def test_split_is_90_10_and_needs_a_window():
    text = corpus.Corpus("text", "".join(map(chr, range(1000, 1100))))
    tokenizer = CharTokenizer.from_text(text.text)
    train, validation = corpus.split(text, tokenizer, context=89)
    assert train.tolist() == list(range(90))
    assert validation.tolist() == list(range(90, 100))
    with pytest.raises(UserError, match=r"shorter than a window of --context 90.*--context 89 at"):
        corpus.split(text, tokenizer, context=90)
    with pytest.raises(UserError, match=r"shorter than a window of context 90.*; take a longer text$"):
        corpus.split(text, tokenizer, context=90, fixed=True)
    with pytest.raises(UserError, match="shorter than a window"):
        corpus.split(corpus.Corpus("text", chr(1000)), tokenizer, context=1)


def test_a_batch_depends_on_seed_and_step_alone():
    ids, config = np.arange(1000) ** 2, TrainConfig(batch_size=5, context=7)
    x, y = data.batch(ids, config, step=3)
    again, _ = data.batch(ids, config, step=3)
    assert x.shape == y.shape == (5, 7)
    assert np.array_equal(x, again)
    assert np.array_equal(x[:, 1:], y[:, :-1])
    assert all(row.tobytes() in ids.tobytes() for row in np.hstack([x, y[:, -1:]]))
    others = [
        data.batch(ids, config, step=4)[0],
        data.batch(ids, config, step=3, micro_step=1)[0],
        data.batch(ids, TrainConfig(batch_size=5, context=7, seed=1), step=3)[0],
    ]
    assert not any(np.array_equal(x, other) for other in others)


def test_batches_reach_both_ends_of_the_text():
    ids = np.arange(9)  # with a context of 7 only the windows 0..7 and 1..8
    x, y = data.batch(ids, TrainConfig(batch_size=50, context=7), step=0)
    assert set(x[:, 0].tolist()) == {0, 1}
    assert y.max() == 8


def test_baselines_by_hand():
    train, validation = np.array([0, 1, 0, 1, 1, 2]), np.array([0, 1, 1, 2])
    base = baselines.measure(train, validation, vocab_size=3)
    assert base.uniform == pytest.approx(math.log(3))
    # Counts + 1 of 0, 1, 2 are 3, 4, 2 of 9; the predictions are 1, 1, 2.
    assert base.unigram == pytest.approx(-math.log(4 / 9 * 4 / 9 * 2 / 9) / 3)
    # After 0: 01 twice of 2; after 1: 10, 11, 12 once each of 3; each + 1 of + 3.
    assert base.bigram == pytest.approx(-math.log(3 / 5 * 2 / 6 * 2 / 6) / 3)
    assert str(base).endswith("unigram 1.042, uniform 1.099")


@pytest.mark.parametrize("at_once", [1, 2, 3, 7, 64, 1 << 20])
@pytest.mark.parametrize("table", [0, 1 << 22])
def test_a_text_is_read_and_counted_in_pieces(at_once, table, monkeypatch):
    """Piece by piece, by a table of pairs or by sorting: all agree with counting in plain Python."""
    monkeypatch.setattr("gpt.tokenizers.base.AT_ONCE", at_once)
    monkeypatch.setattr(baselines, "TABLE", table)
    text = "".join(np.random.default_rng(1).choice(list("ab\ncé漢😀"), 64, p=[0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1]))
    characters = CharTokenizer.from_text(text)
    assert characters.characters == "".join(sorted(set(text)))
    ids = characters.encode(text, small=True)
    assert ids.dtype == np.uint8
    assert ids.tolist() == [characters.characters.index(c) for c in text]
    with pytest.raises(UserError, match="the character 'x' at offset 64,"):
        characters.encode(text + "x")

    train, validation, V = ids[:50], ids[50:], characters.vocab_size
    seen = list(zip(train.tolist(), train[1:].tolist(), strict=False))
    begins = train[:-1].tolist()
    losses = [
        -math.log((seen.count((a, b)) + 1) / (begins.count(a) + V))
        for a, b in zip(validation.tolist(), validation[1:].tolist(), strict=False)
    ]
    single = [-math.log((train.tolist().count(b) + 1) / (len(train) + V)) for b in validation[1:].tolist()]
    base = baselines.measure(train, validation, V)
    assert base.bigram == pytest.approx(np.mean(losses), rel=1e-14)
    assert base.unigram == pytest.approx(np.mean(single), rel=1e-14)


def test_a_text_larger_than_the_memory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "long"
    path.write_text("to be " * 100)
    monkeypatch.setattr(corpus, "usable_memory", lambda: 1800)
    assert len(corpus.read_text(path)) == 600
    monkeypatch.setattr(corpus, "usable_memory", lambda: 1799)
    with pytest.raises(
        UserError,
        match=r"^/.*long has 0\.0 GiB: to read it takes 3 times as much memory.* python -m gpt\.prepare .*long --out DIR",
    ):
        corpus.read_text(path)


def test_the_checksum_of_a_text_is_that_of_its_utf8(monkeypatch):
    monkeypatch.setattr("gpt.tokenizers.base.AT_ONCE", 3)
    text = "aé漢😀\n" * 5
    assert corpus.Corpus("text", text).sha256 == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("size, dtype", [(255, np.uint8), (256, np.uint16), (70_000, np.uint32)])
def test_ids_take_the_smallest_type(size, dtype):
    characters = "".join(map(chr, range(1, size + 1))) if size < 1000 else "".join(map(chr, range(57_345, 127_345)))
    assert CharTokenizer(characters).encode(characters).dtype == np.int64
    ids = CharTokenizer(characters).encode(characters, small=True)
    assert ids.dtype == dtype
    assert np.array_equal(ids, np.arange(size))


def test_batches_are_int64_whatever_the_ids_are():
    config = TrainConfig(context=4, batch_size=3, vocab_size=3)
    ids = np.arange(60) % 3
    for dtype in (np.uint8, np.int64):
        x, y = data.batch(ids.astype(dtype), config, 5)
        assert x.dtype == y.dtype == np.int64
        assert np.array_equal(x, data.batch(ids, config, 5)[0])


def test_a_pair_that_was_never_seen_has_a_probability():
    base = baselines.measure(np.array([0, 0, 0]), np.array([1, 1, 0]), vocab_size=2)
    assert base.bigram == pytest.approx(-math.log(1 / 2 * 1 / 2) / 2)
