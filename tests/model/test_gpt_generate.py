"""Generation: the filters, texts that grow together, stop texts, prompts, dialogues; each against a plain account of it."""

from __future__ import annotations

import inspect
import io
import json
import math
import os
import select
import signal
import subprocess
import sys
from collections import deque
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import cases

import gpt
import tinytensor as tt
from gpt import interactive
from gpt.build import build
from gpt.cache import Cache
from gpt.completion import Shown, complete, stop_texts, stream
from gpt.config import GPTConfig
from gpt.errors import UserError
from gpt.fast import decode
from gpt.fast.decode import Reader, read_together
from gpt.generate import main as generate
from gpt.interactive import Dialogue
from gpt.model import GPT
from gpt.sampling import Text, candidates, draw, sample, sample_each
from gpt.tokenizers import BPETokenizer, ByteTokenizer, CharTokenizer
from gpt.tokenizers.base import Tokenizer
from gpt.train import main as train

LETTERS = CharTokenizer("\nabcdefghij")
SMALL = GPTConfig(vocab_size=11, context=8, width=16, layers=2, heads=2)
KINDS = {
    "rotary": {},
    "learned": {"positions": "learned", "tied": True, "bias": False},
    "swiglu, groups": {"norm": "rms", "activation": "swiglu", "heads": 4, "kv_heads": 2, "qk_norm": True},
    "bigram": {"model": "bigram"},
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def awake(kind="rotary", dtype=tt.float32, **changes):
    """A model with weights so large that every part has a say."""
    model = build(GPTConfig(**{**vars(SMALL), **KINDS[kind], **changes})).to(dtype)
    generator = tt.Generator().manual_seed(5)
    for p in model.parameters():
        tt.nn.init.normal_(p, std=0.3, generator=generator)
    return model.eval()


def seeded(*seeds):
    return [tt.Generator().manual_seed(seed) for seed in seeds]


# ---------------------------------------------------------------------------------------------------- filters


def reference(logits, temperature, top_k, top_p, min_p, penalty, seen):
    """The probability of each token, with plain numbers; None where rounding decides whether a token stays."""
    z = [float(x) for x in logits]
    for i in set(seen):
        z[i] = z[i] / penalty if z[i] > 0 else z[i] * penalty
    order = sorted(range(len(z)), key=lambda i: -z[i])  # stable: of equal ones the smaller number first
    if temperature == 0:
        return {order[0]: 1.0}
    weights = {i: math.exp((z[i] - z[order[0]]) / temperature) for i in order[:top_k]}
    if top_p is not None:
        total, before, kept = sum(weights.values()), 0.0, []
        for i, weight in weights.items():
            if abs(before / total - top_p) < 1e-9 and kept:
                return None
            if before / total < top_p or not kept:
                kept.append(i)
            before += weight
        weights = {i: weights[i] for i in kept}
    if min_p is not None:
        if any(abs(weight - min_p) < 1e-9 for weight in list(weights.values())[1:]):
            return None
        weights = {i: weight for i, weight in weights.items() if weight >= min_p}
    total = sum(weights.values())
    return {i: weight / total for i, weight in weights.items()}


numbers = st.one_of(st.integers(-3, 3).map(float), st.floats(-30, 30, width=32))
fractions = st.one_of(st.none(), st.floats(0, 1))


@st.composite
def filtered(draw_):
    logits = draw_(st.lists(numbers, min_size=1, max_size=12))
    return (
        logits, draw_(st.one_of(st.just(0.0), st.floats(0.1, 5))), draw_(st.one_of(st.none(), st.integers(1, 14))),
        draw_(fractions), draw_(fractions), draw_(st.sampled_from([1.0, 1.3, 4.0, 0.5])),
        draw_(st.sets(st.integers(0, len(logits) - 1))),
    )  # fmt: skip


@cases(200)
@given(filtered())
def test_filters_are_the_plain_account_of_them(given_):
    logits, *how, seen = given_
    expected = reference(logits, *how, seen)
    if expected is not None:
        x = tt.tensor(logits, dtype=tt.float64)
        tokens, p = candidates(x, *how, seen=seen)
        assert dict(zip(tokens.tolist(), p.tolist(), strict=True)) == pytest.approx(expected, rel=1e-9)
        assert p.tolist() == sorted(p, reverse=True)
        assert x.tolist() == logits  # unchanged


@cases(100)
@given(filtered())
def test_the_twin_on_pytorch_has_the_same_filters(given_):
    torch = pytest.importorskip("torch")
    import reference_torch.generate as twin

    logits, *how, seen = given_
    if reference(logits, *how, seen) is None:
        return
    tokens, p = candidates(tt.tensor(logits, dtype=tt.float64), *how, seen=seen)
    theirs, q = twin.candidates(torch.tensor(logits, dtype=torch.float64), *how, seen=seen)
    assert dict(zip(theirs.tolist(), q.tolist(), strict=True)) == pytest.approx(
        dict(zip(tokens.tolist(), p.tolist(), strict=True)), rel=1e-9
    )


@pytest.mark.parametrize("penalty", [1e-320, 1e-30, 1e30, 1.7e308, math.inf])
@pytest.mark.parametrize("logits", [[3e38, -3e38, 0.0, 1.0], [-1.0, -2.0, -3.0], [0.0, 0.0]], ids=str)
def test_a_penalty_of_any_size_leaves_probabilities(penalty, logits):
    _, p = candidates(tt.tensor(logits), 1.0, repetition_penalty=penalty, seen={0, 1})
    assert np.isfinite(p).all() and p.sum() == pytest.approx(1)


@pytest.mark.parametrize("kind", [tuple, np.array, tt.tensor, iter], ids=["tuple", "array", "tensor", "iterator"])
def test_a_prompt_is_any_row_of_tokens(kind):
    prompt = kind([3, 4, 5, 6, 7])
    expected = list(sample(awake(), [3, 4, 5, 6, 7], 12, temperature=0, repetition_penalty=1.5))
    assert list(sample(awake(), prompt, 12, temperature=0, repetition_penalty=1.5)) == expected


@pytest.mark.parametrize("use_cache", [True, False])
def test_the_penalty_is_for_all_tokens_so_far(use_cache, monkeypatch):
    """Of the prompt and of what was drawn, those that the model sees no more as well."""
    seen = []
    monkeypatch.setattr("gpt.sampling.candidates", lambda *_, seen, vocabulary: witness(seen))

    def witness(tokens):
        seen.append(set(tokens))
        return np.array([len(seen) % 11]), np.ones(1)

    for prompt in ([7], [7, 8, 9, 10, 7, 8, 9, 10, 7]):
        expected = [{*prompt, *(k % 11 for k in range(1, i))} for i in range(1, 21)]
        assert len(list(sample(awake(), prompt, 20, use_cache=use_cache))) == 20
        assert seen == expected
        seen.clear()
        list(sample_each(awake(), [prompt], 20, use_cache=use_cache))
        assert seen == expected
        seen.clear()


# ------------------------------------------------------------------------------------- which tokens are read


def windows_before(ids, n, context, cached):
    """What the model is given for each of n tokens, by the rule of old: a window, a cache that begins again at its half."""
    window, length = deque(ids, maxlen=context), 0
    new = list(window)
    for token in range(100, 100 + n):
        yield new
        length += len(new)
        window.append(token)
        new = [token]
        if not cached:
            new = list(window)
        elif length == context:
            length, new = 0, list(window)[context // 2 :]


@cases(200)
@given(st.integers(1, 9), st.integers(1, 25), st.integers(0, 30), st.booleans())
def test_what_is_read_for_each_token(context, prompt, n, cached):
    text = Text(range(prompt), context, Cache(context) if cached else None)
    read = []
    for token in range(100, 100 + n):
        read.append(text.unread())
        if cached:
            text.cache.length += len(read[-1])
        text.extend([token])
    assert read == list(windows_before(range(prompt), n, context, cached))


@cases(200)
@given(st.integers(1, 9), st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=12))
def test_a_text_that_somebody_else_continues_is_read_in_order(context, parts):
    """Whatever is added and wherever Ctrl-C comes, cache and unread tokens are the end of the text, and fit."""
    text, end = Text([0], context, Cache(context)), 1
    for length, interrupted in parts:
        text.extend(range(end, end + length))
        end += length
        new = text.unread()
        whole = text.cache.length + len(new)
        assert new == list(range(end - len(new), end)) and len(new) >= 1 and whole <= context
        assert whole >= min(end, context - context // 2)  # it sees half of the context at least
        text.cache.length += len(new)
        if not interrupted:
            text.extend([end])
            end += 1


# --------------------------------------------------------------------------------------------- growing together


@pytest.mark.parametrize("dtype", [tt.float32, tt.float64, tt.float16], ids=str)
@pytest.mark.parametrize("part", [16, 1 << 17])
@each_kind
def test_together_the_logits_are_those_alone(kind, part, dtype, monkeypatch):
    """Bit for bit, also where matrices are read in parts, with texts of different lengths."""
    monkeypatch.setattr(decode, "PART", part)
    model = awake(kind, dtype, width=32, vocab_size=65)
    prompts = [[1], [2, 3, 4], [5, 6], [7]]

    def readers():
        made = [Reader(model, Cache(8)) for _ in prompts]
        for reader, prompt in zip(made, prompts, strict=True):
            reader(prompt), reader([1])
        return made

    with tt.no_grad():
        one, other = readers(), readers()
        assert all(reader.proven for reader in one) == (kind != "bigram" and dtype != tt.float16)
        for token in (4, 5, 6):
            new = [[token + i] for i in range(4)]
            found = read_together(one, new)
            alone = [reader(ids) for reader, ids in zip(other, new, strict=True)]
            assert [x.numpy().tobytes() for x in found] == [x.numpy().tobytes() for x in alone]


def test_a_matrix_in_parts_is_read_once_for_all():
    """The parts are the outer loop: what is fast about it."""
    order = []

    class Part(np.ndarray):
        def dot(self, x, out=None):
            order.append(self.shape)
            return np.asarray(self).dot(x, out=out)

    w = np.arange(40 * decode.PART // 16, dtype=np.float32).reshape(-1, 1024).view(Part)
    x = [np.ones(1024, np.float32), np.zeros(1024, np.float32)]
    y = decode.linear(x, w, None)
    assert order == [shape for shape in dict.fromkeys(order) for _ in range(order.count(shape))] and len(order) % 2 == 0
    assert max(np.prod(shape) for shape in order) <= decode.PART
    np.testing.assert_array_equal(y[0], np.asarray(w).dot(x[0]))
    assert not y[1].any()


@pytest.mark.parametrize("use_cache", [True, False])
@each_kind
def test_each_text_is_the_one_alone(kind, use_cache):
    """More prompts than grow together, some equal, some longer than the context; longer than a cache lasts."""
    model = awake(kind)
    random = np.random.default_rng(0)
    prompts = [random.integers(0, 11, length).tolist() for length in (1, 3, 8, 9, 20, 2, 7, 8, 1, 5)]
    prompts += [prompts[1], prompts[1], prompts[4]]
    how = dict(temperature=1.2, top_k=8, top_p=0.95, min_p=0.01, repetition_penalty=1.1, use_cache=use_cache)
    texts = [[] for _ in prompts]
    for i, token in sample_each(model, prompts, 21, generators=seeded(*range(13)), **how):
        texts[i].append(token)
    for seed, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
        assert text == list(sample(model, prompt, 21, generator=seeded(seed)[0], **how))
    assert len({tuple(text) for text in texts}) == 13


def test_an_equal_prompt_is_read_once(monkeypatch):
    model, read = awake(), []
    forward = GPT.forward
    monkeypatch.setattr(
        GPT, "forward", lambda self, ids, *more: (read.append(ids.shape[1]), forward(self, ids, *more))[1]
    )
    list(sample_each(model, [[1, 2, 3], [1, 2, 3], [4, 5]], 1))
    assert read == [3, 2]


def test_no_more_tokens_come_for_what_ended():
    ended, found = set(), []
    for i, _ in sample_each(awake(), [[i] for i in range(11)], 5, ended=ended):
        found.append(i)
        if i != 3:
            ended.add(i)
    assert sorted(found) == sorted([*range(11), 3, 3, 3, 3])


# --------------------------------------------------------------------------------------------------- stop texts


class Pieces(Tokenizer):
    """A tokenizer with these tokens."""

    def __init__(self, *tokens):
        self.tokens = [token if isinstance(token, bytes) else token.encode() for token in tokens]

    vocab_size = property(lambda self: len(self.tokens))

    def encode(self, text, what="the text", small=False):
        raise NotImplementedError

    def bytes_of(self, token):
        return self.tokens[token]

    def to_json(self):
        raise NotImplementedError

    def to_library(self):
        raise NotImplementedError


def before_a_stop(text, stops):
    """The text up to the stop text that is complete first, and whether there is one: by trying every end."""
    for end in range(1, len(text) + 1):
        found = [stop for stop in stops if text[:end].endswith(stop)]
        if found:
            return text[: end - max(map(len, found))], True
    return text, False


texts_of_few_letters = st.text("abc", min_size=1, max_size=4)


@cases(200)
@given(st.lists(st.text("abc", max_size=5), max_size=8), st.lists(texts_of_few_letters, max_size=3))
def test_a_text_ends_before_the_first_stop_text_however_it_is_cut_into_tokens(tokens, stops):
    shown, out, taken = Shown(Pieces(*tokens), stops), "", ""
    expected, stopped = before_a_stop("".join(tokens), stops)
    for i, token in enumerate(tokens):
        out += shown.take(i)
        taken += token
        assert expected.startswith(out)
        if shown.stopped:
            break
        waits = taken[len(out) :]  # no more than what may become a stop text
        assert not waits or any(stop.startswith(waits) for stop in stops)
    assert shown.stopped == stopped
    assert out + shown.rest() == expected


@cases(100)
@given(st.text("aé€😀", max_size=6), st.text("aé€😀", min_size=1, max_size=2), st.integers(0, 3))
def test_a_stop_text_may_begin_and_end_within_tokens_of_bytes(text, stop, cut):
    raw = text.encode()[: len(text.encode()) - cut]
    shown, out = Shown(ByteTokenizer(), [stop]), ""
    for byte in raw:
        out += shown.take(byte)
        if shown.stopped:
            break
    whole = raw.decode(errors="replace")
    assert out + shown.rest() == before_a_stop(whole, [stop])[0]


def test_a_stop_text_that_begins_another():
    for stops in (["ab", "abc"], ["abc", "ab"]):
        for tokens in (["xabc"], ["x", "a", "b", "c"], ["xa", "bc"]):
            shown = Shown(Pieces(*tokens), stops)
            out = ""
            for i in range(len(tokens)):
                out += "" if shown.stopped else shown.take(i)
            assert (out, shown.stopped) == ("x", True)


def test_stop_texts_are_spelt_as_the_model_writes():
    """An é in one character or two, line ends, and tokens whose text a prompt may not have."""
    assert stop_texts(CharTokenizer("\né"), ["e\u0301\r\n"]) == ["é\n"]
    merges = [(b"l", b"o"), (b"lo", b"w")]
    tokenizer = BPETokenizer(merges, {"<end>": 258})
    assert stop_texts(tokenizer, ["<end>", "ow l"]) == ["<end>", "ow l"]
    shown, out = Shown(tokenizer, ["ow l"]), ""
    for token in [*tokenizer.encode("so low low"), 258]:
        out += "" if shown.stopped else shown.take(int(token))
    assert (out, shown.stopped) == ("so l", True)  # the stop text begins and ends within tokens
    shown = Shown(tokenizer, ["<end>"])
    assert (shown.take(int(tokenizer.encode("<")[0])), shown.take(258), shown.stopped) == ("", "<", True)


# ------------------------------------------------------------------------------------------- complete and stream


def test_complete_is_public_and_each_text_is_the_one_alone():
    model, prompts = awake(), ["ab", "", "jihgfedcba"]
    texts = gpt.complete(model, LETTERS, prompts, tokens=20, samples=2, seed=4, min_p=0.02)
    assert [[len(text) for text in each] for each in texts] == [[20, 20]] * 3
    for prompt, each in zip(prompts, texts, strict=True):
        for s, text in enumerate(each):
            assert complete(model, LETTERS, prompt, tokens=20, seed=4 + s, min_p=0.02) == [[text]]
    ids = [LETTERS.encode(prompt).tolist() if prompt else [0] for prompt in prompts]
    assert complete(model, LETTERS, ids, tokens=20, samples=2, seed=4, min_p=0.02) == texts
    assert texts[0][0] != texts[0][1]


def test_one_prompt_as_ids_and_prompts_that_come_once():
    model, how = awake(), dict(tokens=9, seed=1)
    expected = complete(model, LETTERS, ["abc", "j"], **how)
    ids = LETTERS.encode("abc")
    for one in (ids, ids.tolist(), tuple(ids.tolist()), iter(ids.tolist()), [ids], iter(["abc"])):
        assert complete(model, LETTERS, one, **how) == expected[:1]
    assert complete(model, LETTERS, (each for each in ["abc", "j"]), **how) == expected
    assert complete(model, LETTERS, [], **how) == []


def test_blas_has_one_thread_while_a_piece_is_computed_and_the_callers_between(monkeypatch):
    from threadpoolctl import threadpool_info, threadpool_limits

    def threads():
        return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}

    inside = []
    monkeypatch.setattr("gpt.sampling.draw", lambda *_, **__: inside.append(threads()) or 1)
    with threadpool_limits(2, user_api="blas"):
        before = threads()
        assert [threads() for _ in stream(awake(), LETTERS, "b", tokens=3)] == [before] * 3
        complete(awake(), LETTERS, "b", tokens=2)
        assert threads() == before
    assert inside == [{1}] * 5


def test_a_stop_text_ends_each_text_on_its_own():
    model, how = awake(), dict(tokens=9, samples=12, seed=0, temperature=1.5)
    whole = complete(model, LETTERS, ["a", "b"], **how)
    stopped = complete(model, LETTERS, ["a", "b"], stop=["cd", "j"], **how)
    assert stopped == [[before_a_stop(text, ["cd", "j"])[0] for text in each] for each in whole]
    ends = [piece.end for piece in stream(model, LETTERS, ["a", "b"], stop=["cd", "j"], **how) if piece.end]
    assert len(ends) == 24 and set(ends) == {"length", "stop"}
    assert complete(model, LETTERS, "a", stop="j", **how)[0] == [before_a_stop(text, ["j"])[0] for text in whole[0]]


def test_after_a_stop_text_the_model_computes_no_more(monkeypatch):
    model, read = awake(), []
    monkeypatch.setattr("gpt.sampling.draw", lambda *_, **__: read.append(1) or 1)
    assert complete(model, LETTERS, "b", tokens=50, stop="aa") == [[""]]
    assert len(read) == 2


def test_the_second_token_comes_after_the_first_piece_is_taken(monkeypatch):
    drawn = []
    monkeypatch.setattr("gpt.sampling.draw", lambda *_, **__: drawn.append(1) or 1)
    for count, piece in enumerate(stream(awake(), LETTERS, "b", tokens=5), 1):
        assert (piece.text, len(drawn)) == ("a", count)


def test_no_tokens():
    pieces = list(stream(awake(), LETTERS, ["a", "b"], tokens=0, samples=2))
    assert [(piece[:2], piece.text, piece.end) for piece in pieces] == [
        ((p, s), "", "length") for p in range(2) for s in range(2)
    ]


def test_complete_takes_what_stream_takes_and_passes_all_of_it_on(monkeypatch):
    ours, theirs = (inspect.signature(each).parameters for each in (complete, stream))
    assert list(ours.values()) == list(theirs.values())
    options = {name: each.default for name, each in theirs.items() if each.default is not each.empty}
    options |= {"tokens": 3, "samples": 2, "temperature": 0.7, "top_k": 4, "top_p": 0.9, "min_p": 0.1}
    options |= {"repetition_penalty": 1.1, "stop": "b", "seed": 5, "use_cache": False}
    assert all(value != theirs[name].default for name, value in options.items()), "each has to be seen"
    passed = {}

    def witness(*args, **how):
        bound = inspect.signature(stream).bind(*args, **how)
        passed.update(bound.arguments)
        return iter(())

    monkeypatch.setattr("gpt.completion.stream", witness)
    complete(awake(), LETTERS, "a", **options)
    assert {name: passed.get(name) for name in options} == options


def test_seeds_do_not_go_round():
    last = 2**63 - 1
    texts = complete(awake(), LETTERS, "a", tokens=9, samples=2, seed=last - 1)[0]
    assert texts[1:] == complete(awake(), LETTERS, "a", tokens=9, seed=last)[0]
    with pytest.raises(
        UserError, match=f"seed {last}: 2 samples have the seeds from it on, and the largest is 2\\^63 - 1"
    ):
        complete(awake(), LETTERS, "a", tokens=9, samples=2, seed=last)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"temperature": -1}, "temperature -1 is not a number of at least 0"),
        ({"temperature": math.nan}, "temperature nan is not"),
        ({"temperature": "hot"}, "temperature hot is not"),
        ({"top_k": 0}, "top_k 0 is not a whole number"),
        ({"top_k": 2.5}, "top_k 2.5 is not a whole number"),
        ({"top_p": 1.5}, "top_p 1.5 is not a number from 0 to 1"),
        ({"min_p": -0.1}, "min_p -0.1 is not a number from 0 to 1"),
        ({"repetition_penalty": 0}, "repetition_penalty 0 is not a number above 0"),
        ({"repetition_penalty": None}, "repetition_penalty None is not"),
        ({"samples": True}, "samples True is not"),
        ({"tokens": -1}, "tokens -1 is not"),
        ({"seed": -1}, "seed -1 is not"),
        ({"stop": [""]}, "a stop text must have a character"),
        ({"stop": "€"}, "a stop text has the character '€'"),
        ({"prompts": ["a", "b€"]}, "prompt 2 has the character '€' at offset 1"),
        ({"prompts": [[]]}, "prompt 1 must be a text, or numbers of tokens from 0 to 10"),
        ({"prompts": [[1], [11]]}, "prompt 2 must be a text, or numbers"),
        ({"prompts": [1, 11]}, "prompt 1 must be a text, or numbers"),
        ({"prompts": [[1], 2]}, "prompt 2 must be a text, or numbers"),
        ({"prompts": [[1.5]]}, "prompt 1 must be a text, or numbers"),
        ({"prompts": None}, "prompts None must be a text, ids, or a list of them"),
        ({"tokenizer": None}, "the tokenizer is None"),
        ({"tokenizer": ByteTokenizer()}, "the tokenizer's 256 tokens do not fit the model's 11 rows"),
    ],
    ids=lambda value: (
        value if isinstance(value, str) else ", ".join(f"{k} {type(v).__name__}" for k, v in value.items())
    ),
)
def test_bad_values_are_refused_before_the_first_piece(bad, says):
    with pytest.raises(UserError) as error:
        stream(awake(), **{"tokenizer": LETTERS, "prompts": "a", **bad})
    assert str(error.value).startswith(says)


# --------------------------------------------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generate")
    (folder / "text").write_text("a stitch in time saves nine. " * 40 + "\n")
    flags = "--layers=1 --width=16 --heads=2 --context=16 --batch-size=4 --threads=1 --steps=3 --eval-every=3"
    line = [*flags.split(), "--no-plot", "--quiet", "--data", str(folder / "text"), "--out", str(folder / "run")]
    assert train(line) == 0
    return folder / "run"


@pytest.fixture
def said(run, capsys, monkeypatch):
    """A function that calls the command and returns status, stdout and stderr."""

    def call(*flags, stdin=b""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        status = generate([str(run), *map(str, flags)])
        return status, *capsys.readouterr()

    return call


def test_several_texts_are_those_alone_behind_heads(said):
    status, out, _ = said("--prompt=time", "--prompt=nine", "--samples=2", "--tokens=20", "--seed=5")
    expected = ""
    for prompt, text in enumerate(("time", "nine"), 1):
        for s in range(2):
            alone = said(f"--prompt={text}", "--tokens=20", f"--seed={5 + s}")[1]
            expected += f"=== prompt {prompt}, sample {s + 1} (--seed {5 + s}) ===\n{alone}"
    assert (status, out) == (0, expected)


def test_json_has_a_line_for_each_text(said):
    flags = ("--prompt=time", "--prompt=nine", "--samples=2", "--tokens=60", "--seed=5", "--stop=s")
    status, out, _ = said(*flags, "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert [(row["prompt"], row["sample"], row["seed"]) for row in rows] == [
        (prompt, s, 4 + s) for prompt in ("time", "nine") for s in (1, 2)
    ]
    for row in rows:
        assert said(f"--prompt={row['prompt']}", "--tokens=60", f"--seed={row['seed']}", "--stop=s")[1] == (
            f"{row['prompt']}{row['text']}\n"
        )
        assert "s" not in row["text"] and row["finish_reason"] in ("stop", "length")
        assert row["tokens"] == len(row["text"]) + (row["finish_reason"] == "stop")


def test_pieces_come_in_order(monkeypatch, capsys):
    """The first text as it comes; what comes for a later one waits."""
    from gpt.completion import Piece
    from gpt.generate import in_order

    came, at = [], 0
    pieces = [
        Piece(0, 0, "a"),
        Piece(1, 0, "x"),
        Piece(0, 0, "b", "stop"),
        Piece(1, 0, "y"),
        Piece(1, 0, "z", "length"),
    ]

    def source():
        nonlocal at
        for at, piece in enumerate(pieces):  # noqa: B007  # how many came is looked at below
            yield piece

    for piece in in_order(source(), 1):
        came.append((piece.text, at))
    assert came == [("a", 0), ("b", 2), ("x", 2), ("y", 3), ("z", 4)]


def test_a_prompt_file_is_one_prompt(said, tmp_path):
    file = tmp_path / "prompt"
    for content, prompt in (
        (b"in\ntime\n", "in\ntime"),
        (b"\xef\xbb\xbfin\r\ntime\r\n", "in\ntime"),
        (b"in\n\n", "in\n"),
    ):
        file.write_bytes(content)
        expected = said("--prompt", prompt, "--tokens=9", "--seed=1")
        assert expected[0] == 0
        assert said("--prompt-file", file, "--tokens=9", "--seed=1") == expected
        assert said("--prompt-file", "-", "--tokens=9", "--seed=1", stdin=content) == expected


def test_prompts_come_in_the_order_of_their_flags(said, tmp_path):
    (tmp_path / "file").write_text("nine")
    flags = ("--prompt=time", "--prompt-file", tmp_path / "file", "--prompt=in")
    rows = said(*flags, "--json", "--tokens=2")[1].splitlines()
    assert [json.loads(row)["prompt"] for row in rows] == ["time", "nine", "in"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty; --prompt-file takes a text to continue"),
        (b"\n", "is empty"),
        (b"time\xff", "is not UTF-8: byte 0xff at offset 4"),
        ("time€".encode(), "has the character '€' at offset 4"),
        (None, "No such file or directory"),
    ],
)
def test_a_prompt_file_that_is_none(content, says, said, tmp_path):
    file = tmp_path / "prompt"
    if content is not None:
        file.write_bytes(content)
        status, out, error = said("--prompt-file", "-", stdin=content)
        assert (status, out, error.count("\n")) == (2, "", 1) and f"standard input {says}" in error
    status, out, error = said("--prompt-file", file)
    assert (status, out, error.count("\n")) == (2, "", 1) and says in error and str(file) in error


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--stop="], "--stop must have a character"),
        (["--stop=€"], "--stop has the character '€' at offset 0"),
        (["--seed=-1"], "--seed: '-1' is not a whole number from 0 to 2^63 - 1"),
        (["--seed=9223372036854775808"], "--seed: '9223372036854775808' is not a whole number from 0 to 2^63 - 1"),
        (
            ["--seed=9223372036854775807", "--samples=2"],
            "--seed 9223372036854775807: 2 samples have the seeds from it on",
        ),
        (["--samples=0"], "--samples: '0' is not a whole number from 1"),
        (["--min-p=2"], "--min-p: '2' is not a number from 0 to 1"),
        (["--repetition-penalty=0"], "--repetition-penalty: '0' is not a number above 0"),
        (["--repetition-penalty=nan"], "--repetition-penalty: 'nan' is not a number above 0"),
        (["--prompt=a", "--prompt=a€"], "prompt 2 (--prompt) has the character '€' at offset 1"),
        (["--interactive", "--samples=2"], "--interactive writes one text"),
        (["--interactive", "--prompt=a", "--prompt=s"], "--interactive writes one text"),
        (["--interactive", "--prompt-file=-"], "--interactive reads standard input"),
    ],
    ids=str,
)
def test_what_cannot_be_is_one_line(flags, says, said):
    status, out, error = said(*flags)
    assert (status, out, error.count("\n")) == (2, "", 1) and says in error


def test_no_tokens_are_the_prompt_alone(said):
    assert said("--prompt=time", "--tokens=0", "--seed=1")[:2] == (0, "time\n")
    out = said("--prompt=time", "--tokens=0", "--samples=2", "--seed=1")[1]
    assert out == "".join(f"=== prompt 1, sample {s} (--seed {s}) ===\ntime\n" for s in (1, 2))
    assert json.loads(said("--tokens=0", "--json")[1])["tokens"] == 0


def test_a_prompt_longer_than_the_context_is_said(said):
    status, out, error = said("--prompt", "a stitch in time saves", "--tokens=5", "--seed=1")
    assert status == 0 and out.startswith("a stitch in time saves")
    assert "--prompt has 22 tokens; the model sees the last 16, its context" in error
    assert "context" not in said("--prompt=a stitch in time", "--tokens=5", "--seed=1")[2]


# ------------------------------------------------------------------------------------------------------ dialogues


def test_the_context_is_kept(said):
    """Lines and answers are one text: what a line adds is a prompt for all that comes after."""
    status, out, _ = said("--interactive", "--tokens=6", "--seed=3", stdin=b"a stitch\n\n in\\\ntime\n")
    answers = out.split("\n")
    assert status == 0 and len(out.replace("\n", "")) >= 15
    assert said("--prompt=a stitch", "--tokens=12", "--seed=3")[1].startswith("a stitch" + out[:6])
    assert answers[-1] == ""


def dialogue(model=None, seed=1, **how):
    return Dialogue(model or awake(), LETTERS, [], seed, **how)


@pytest.mark.parametrize("use_cache", [True, False])
def test_a_dialogue_is_one_text(use_cache, capsys):
    """The same draws as from the whole text so far, as long as that fits."""
    model = awake(context=64)
    talk = dialogue(model, use_cache=use_cache)
    how = (1.0, None, None, None, 1.2)
    generator, text, whole = seeded(1)[0], "", ""
    for line in ("abc", "", "j", "dd"):
        talk.add(line)
        talk.answer(5, [], *how)
        text += line
        for _ in range(5):
            ids = LETTERS.encode(text).tolist()
            with tt.no_grad():
                logits = model(tt.tensor([ids]))[0][0, -1]
            text += LETTERS.decode([draw(logits, generator, *how, seen=set(ids))])
        whole += text[-5:]
    assert capsys.readouterr().out == whole
    assert LETTERS.decode(talk.text.tokens) == text


def test_a_long_dialogue_goes_on_with_what_fits(capsys):
    talk = dialogue()
    for line in ("abcdefghij" * 3, "", "a", "bcdefgh", "ij"):
        talk.add(line)
        talk.answer(9, [], 1.0)
    assert len(talk.text.tokens) == 30 + 1 + 7 + 2 + 5 * 9


def test_ctrl_c_ends_the_answer_and_keeps_its_part(monkeypatch, capsys):
    talk, count = dialogue(), 0

    def interrupted(*args, **how):
        nonlocal count
        count += 1
        if count == 4:
            raise KeyboardInterrupt
        return draw(*args, **how)

    monkeypatch.setattr(interactive, "draw", interrupted)
    talk.add("ab")
    assert talk.answer(50, [], 1.0) == (3, "interrupt")
    assert capsys.readouterr().out == LETTERS.decode(talk.text.tokens[2:])
    assert len(talk.text.tokens) == 5
    talk.add("")  # the token that was read before Ctrl-C is read again
    talk.answer(2, [], 1.0)
    assert len(talk.text.tokens) == 7


def test_a_stop_text_stays_in_the_context(monkeypatch, capsys):
    talk, tokens = dialogue(), iter([1, 2, 3, 4])
    monkeypatch.setattr(interactive, "draw", lambda *_, **__: next(tokens))
    talk.add("j")
    assert talk.answer(50, ["bc"], 1.0) == (3, "stop")
    assert capsys.readouterr().out == "a"
    assert LETTERS.decode(talk.text.tokens) == "jabc"


def test_a_line_that_cannot_be_is_said_and_asked_again_on_a_terminal(said, monkeypatch):
    monkeypatch.setattr(interactive, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
    status, out, error = said("--interactive", "--tokens=3", "--seed=1", stdin="t€\ntime\n".encode())
    assert status == 0 and "the line has the character '€' at offset 1" in error
    assert out.startswith("> > ") and len(out) == len("> > abc\n> \n")


def test_a_line_that_cannot_be_ends_a_pipe(said):
    """The answers after it would be to another text."""
    lines = b"time\n\nin\\\n\xe2\x82\xac\nnine\n"
    status, out, error = said("--interactive", "--tokens=3", "--seed=1", "--json", stdin=lines)
    assert status == 2 and "line 3 of standard input has the character '€' at offset 3" in error
    assert [json.loads(row)["prompt"] for row in out.splitlines()] == ["time", ""]
    status, _, error = said("--interactive", "--seed=1", stdin=b"time\xff\n")
    assert status == 2 and "standard input is not UTF-8: byte 0xff" in error


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_through_a_pipe_each_line_has_its_answer_in_a_line(said, end):
    flags = ("--interactive", "--tokens=6", "--seed=3", "--prompt=a")
    status, plain, _ = said(*flags, stdin=b"time\n\nin\\\nnine" + end)
    assert status == 0
    status, out, _ = said(*flags, "--json", stdin=b"time\n\nin\\\nnine" + end)
    rows = [json.loads(row) for row in out.splitlines()]
    assert [row["prompt"] for row in rows] == ["time", "", "in\nnine"]
    assert plain == "a\n" + "".join(row["text"] + "\n" for row in rows)
    assert all(row["tokens"] == len(row["text"]) == 6 and row["finish_reason"] == "length" for row in rows)
    row = json.loads(said(*flags, "--json", f"--stop={rows[0]['text'][2]}", stdin=b"time" + end)[1])
    assert row["finish_reason"] == "stop" and row["tokens"] == len(row["text"]) + 1 <= 3


@pytest.mark.parametrize("end", [b"", b"\\"])
def test_a_pipe_that_ends_within_a_line_has_an_answer_to_what_is_there(said, end):
    out = said("--interactive", "--tokens=6", "--seed=3", stdin=b"time\\\nnine" + end)[1]
    assert out == said("--interactive", "--tokens=6", "--seed=3", stdin=b"time\\\nnine\n")[1] and len(out) == 7


def test_ctrl_c_ends_a_program_that_reads_a_pipe(said, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(interactive, "draw", interrupted)
    assert said("--interactive", "--seed=1", stdin=b"time\nnine\n")[0] == 130


def environment():
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


@pytest.mark.programs
def test_a_reader_that_leaves(run):
    for flags in ("", "--samples 3", "--json --samples 300", "--interactive < <(yes a)"):
        line = f"{sys.executable} -m gpt.generate {run} --tokens 5000 --seed 1 {flags} | head -c 20"
        done = subprocess.run(
            ["bash", "-c", f"{line}; exit ${{PIPESTATUS[0]}}"], env=environment(), capture_output=True, timeout=120
        )
        assert done.returncode == 141 and len(done.stdout) == 20 and b"Traceback" not in done.stderr, flags


@pytest.mark.programs
@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_a_dialogue_on_a_terminal(run):
    """Lines with editing; Ctrl-C stops an answer that would last for ever, and clears a line; Ctrl-D ends."""
    import pty

    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background job ignores it, and children inherit that
        os.environ.update(environment(), TERM="dumb")
        os.execv(
            sys.executable, [sys.executable, "-m", "gpt.generate", str(run), "--interactive", "--tokens", "100000000"]
        )
    said = b""

    def until(text, more=0, again=b""):
        """Read up to the text; type `again` when nothing comes for a second."""
        nonlocal said
        while said.find(text) < 0 or len(said) < said.find(text) + len(text) + more:
            if again and not select.select([terminal], [], [], 1)[0]:
                os.write(terminal, again)
            said += os.read(terminal, 1000)
        said = said[said.find(text) + len(text) :]

    until(b"> ")
    os.write(terminal, b"tx\x7fime\n")  # backspace takes the x, which the vocabulary lacks
    until(b"\n", 200)
    os.write(terminal, b"\x03")
    until(b"\n> ")
    os.write(terminal, b"xyz")
    until(b"xyz")
    os.write(terminal, b"\x03")
    until(b"\n> ", again=b"\x03")  # Python's input() may look for Ctrl-C just before it comes, and wait for a key
    os.write(terminal, b"\x04")
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0
