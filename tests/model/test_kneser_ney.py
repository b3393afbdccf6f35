"""The 5-gram: a distribution in every context, and what a slow one with dictionaries computes."""

from __future__ import annotations

import math
import tracemalloc
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import cases

from gpt.run import baselines, kneser_ney
from gpt.run.kneser_ney import KneserNey, discounts

small_texts = st.integers(1, 5).flatmap(
    lambda V: st.tuples(
        st.just(V),
        st.lists(st.integers(0, V - 1), min_size=1, max_size=120),
        st.lists(st.integers(0, V - 1), min_size=2, max_size=12),
    )
)


class Slow:
    """The formula of Chen and Goodman, word for word, on dictionaries of tuples."""

    def __init__(self, ids, V, order):
        self.V = V
        self.counts = {}
        types = [set() for _ in range(order + 2)]
        for n in range(1, order + 1):
            types[n] = {tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)}
        for n in range(1, order + 1):
            if n == order:
                self.counts[n] = Counter(tuple(ids[i : i + n]) for i in range(len(ids) - n + 1))
            else:
                self.counts[n] = Counter(longer[1:] for longer in types[n + 1])  # tokens that stand before it
        self.after = defaultdict(dict)
        self.d = {}
        for n, counts in self.counts.items():
            how_many = Counter(counts.values())
            n1, n2, n3, n4 = (how_many[i] for i in (1, 2, 3, 4))
            if n1 and n2 and n3 and n4:
                y = n1 / (n1 + 2 * n2)
                d = [1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
                self.d[n] = [min(max(x, 0), i) for i, x in enumerate(d, 1)]
            else:
                self.d[n] = [0.5, 1, 1.5]
            for sequence, count in counts.items():
                self.after[sequence[:-1]][sequence[-1]] = count

    def p(self, token, context):
        shorter = self.p(token, context[1:]) if context else 1 / self.V
        found = self.after.get(context, {})
        if not found:
            return shorter
        taken = {w: self.d[len(context) + 1][min(c, 3) - 1] for w, c in found.items()}
        left = found.get(token, 0) - taken.get(token, 0)
        return (left + sum(taken.values()) * shorter) / sum(found.values())


@cases(150)
@given(small_texts, st.integers(1, 5), st.sampled_from([0, 1 << 22]))
def test_it_is_the_slow_one(drawn, order, table):
    """Whether sequences are counted by a table or by sorting."""
    V, train, validation = drawn
    slow, order = Slow(train, V, min(order, len(train))), min(order, len(train))
    expected = [-math.log(slow.p(t, tuple(validation[max(0, i - order + 1) : i]))) for i, t in enumerate(validation)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kneser_ney, "TABLE", table)
        losses = KneserNey(np.array(train, np.uint8), V, order).losses(np.array(validation, np.uint8))
    assert np.allclose(losses, expected[1:], rtol=1e-12, atol=1e-12)


@cases(100)
@given(small_texts, st.integers(2, 5))
def test_probabilities_sum_to_one(drawn, order):
    V, train, context = drawn
    model = KneserNey(np.array(train), V, order)
    p = [math.exp(-model.losses(np.array([*context, token]))[-1]) for token in range(V)]
    assert sum(p) == pytest.approx(1, abs=1e-12)
    assert min(p) > 0


@cases(20)
@given(st.integers(0, 2**32 - 1))
def test_probabilities_sum_to_one_where_the_discounts_are_those_of_the_formula(seed):
    random = np.random.default_rng(seed)
    ids = (random.zipf(1.4, 4000) - 1).clip(max=49)
    model = KneserNey(ids, 50)
    highest = Counter(zip(*(ids[i:].tolist() for i in range(5)), strict=False)).values()
    assert discounts(np.array(list(highest)))[1] != kneser_ney.FALLBACK[0]
    at = int(random.integers(0, len(ids) - 4))
    for context in (ids[at : at + 4], random.integers(0, 50, 4)):
        p = [math.exp(-model.losses(np.r_[context, token])[-1]) for token in range(50)]
        assert sum(p) == pytest.approx(1, abs=1e-12)


def test_discounts_by_hand():
    counts = np.array([1] * 6 + [2] * 3 + [3] * 2 + [4] + [9] * 5)  # n1 … n4 = 6, 3, 2, 1: y = 6 / 12
    assert discounts(counts) == pytest.approx([0, 1 - 3 / 6, 2 - 3 * 0.5 * 2 / 3, 3 - 4 * 0.5 / 2])
    assert discounts(np.array([1, 1, 2, 3])).tolist() == [0, 0.5, 1, 1.5]
    assert discounts(np.array([1] * 9 + [2, 3, 3, 3, 3, 4])).tolist() == [0, 0.5, 1, 1.5]  # by the formula D2 < 0


def test_no_token_is_impossible():
    """Where the formula would take nothing away, a new token after a context still has a probability."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        ids = rng.zipf(1.2 + rng.random(), 60).clip(max=20) - 1
        assert np.isfinite(KneserNey(ids[:40], 20).losses(ids[40:])).all()


def test_a_periodic_text_is_certain_after_the_first_tokens():
    ids = np.tile(np.arange(7), 300)
    losses = KneserNey(ids, 7).losses(ids[:50])
    assert losses[5:].max() < 0.01


def test_a_random_text_has_no_structure_to_find():
    ids = np.random.default_rng(0).integers(0, 8, 60_000)
    mean = KneserNey(ids[:50_000], 8).losses(ids[50_000:]).mean()
    assert math.log(8) < mean < math.log(8) + 0.15


def test_it_takes_two_hundred_bytes_for_a_token():
    ids = np.random.default_rng(0).integers(0, 50_257, size=1 << 17).astype(np.uint16)
    tracemalloc.start()
    KneserNey(ids, 50_257)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200 * len(ids)


def test_it_does_better_than_the_bigram_on_prose():
    """On prose, its loss is the lowest of the baselines."""
    from gpt import corpus

    text = corpus.python_docs()
    ids = np.frombuffer(text.encode("latin-1"), np.uint8)
    base = baselines.measure(ids[:-20_000], ids[-20_000:], 256)
    assert base.fivegram < base.bigram - 0.5
    assert base.counted is None


def test_of_a_long_text_it_counts_a_sample(monkeypatch):
    """Evenly spaced pieces, the same every time; beside the loss stands how many tokens they are."""
    ids = np.tile(np.arange(11), 3000)
    monkeypatch.setattr(baselines, "FIVEGRAM_SAMPLE", 6400)
    base = baselines.measure(ids, ids[:5000], 11)
    assert base.counted == 6400
    assert base == baselines.measure(ids, ids[:5000], 11)
    assert base.fivegram < 0.5
    assert "(of 6,400 tokens)" in str(base)
