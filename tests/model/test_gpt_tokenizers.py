"""Tokenizers: every text and every byte comes back, byte pairs are learnt and merged by the rule, and errors are one line."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gpt import tokenizers
from gpt.errors import UserError
from gpt.tokenizers import BPETokenizer, ByteTokenizer, CharTokenizer, from_json, from_library
from gpt.tokenizers.bpe import BYTES, learn
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


@given(st.text("ab c", max_size=60), st.integers(257, 280))
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


@given(TEXTS, st.integers(1, 5))
def test_a_long_text_is_cut_where_words_begin(text, length):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gpt.tokenizers.library.PIECE", length)
        pieces = list(cut(text))
    assert "".join(pieces) == text
    assert [word for piece in pieces for word in pattern().findall(piece)] == pattern().findall(text)


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
