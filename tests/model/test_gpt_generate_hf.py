"""The filters beside those of Hugging Face's transformers, in the order in which its `generate` applies them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from profiles import cases

import tinytensor as tt
from gpt.sampling import candidates

pytestmark = pytest.mark.hf

NARROW = 1e-9  # nearer to a limit than this, rounding decides whether a token stays


def processors(temperature, top_k, top_p, min_p, repetition_penalty):
    """What transformers' `generate` makes of these options."""
    from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel

    options = GenerationConfig(
        do_sample=True, temperature=temperature, top_k=top_k or 0, top_p=top_p, min_p=min_p,
        repetition_penalty=repetition_penalty, eos_token_id=None, pad_token_id=None,
    )  # fmt: skip
    model = GPT2LMHeadModel(GPT2Config(vocab_size=4, n_positions=4, n_embd=2, n_layer=1, n_head=1))
    made = model._get_logits_processor(options, input_ids_seq_length=1, device="cpu")
    names = [type(each).__name__ for each in made]
    return made, names


@st.composite
def options(draw):
    return (
        draw(st.floats(0.1, 5)), draw(st.one_of(st.none(), st.integers(1, 14))),
        draw(st.one_of(st.none(), st.floats(0.01, 0.99))), draw(st.one_of(st.none(), st.floats(0.01, 0.99))),
        draw(st.one_of(st.just(1.0), st.floats(0.2, 5))),
    )  # fmt: skip


def clear(logits, how, seen):
    """Whether no token is so near to a limit that rounding, or which of two equal ones comes first, decides."""
    temperature, top_k, top_p, min_p, penalty = how
    z = np.array(logits)
    at = sorted(seen)
    z[at] = np.where(z[at] < 0, z[at] * penalty, z[at] / penalty)
    p = np.sort(np.exp((z - z.max()) / temperature))[::-1]
    if top_k is not None and top_k < len(p):
        if p[top_k - 1] - p[top_k] <= NARROW * p[top_k - 1]:
            return False
        p = p[:top_k]
    if top_p is not None:
        before = np.cumsum(p / p.sum()) - p / p.sum()
        if (abs(before[1:] - top_p) < NARROW).any():
            return False
        kept = max(1, int((before < top_p).sum()))
        if kept < len(p) and p[kept - 1] - p[kept] <= NARROW * p[kept - 1]:
            return False
        p = p[:kept]
    return min_p is None or not (abs(p[1:] - min_p) < NARROW).any()


logit = st.one_of(st.integers(-3, 3).map(float), st.floats(-20, 20))


@cases(300)
@given(st.data())
def test_the_probabilities_are_those_of_transformers(data):
    import torch

    logits = data.draw(st.lists(logit, min_size=1, max_size=12))
    how, seen = data.draw(options()), data.draw(st.sets(st.integers(0, len(logits) - 1)))
    assume(clear(logits, how, seen))
    tokens, p = candidates(tt.tensor(logits, dtype=tt.float64), *how, seen=seen)
    ours = np.zeros(len(logits))
    ours[tokens] = p
    made, _ = processors(*how)
    ids = torch.tensor([sorted(seen)], dtype=torch.int64)
    theirs = made(ids, torch.tensor([logits], dtype=torch.float64)).softmax(-1)[0].numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-15)


@cases(150)
@given(st.lists(logit, min_size=2, max_size=8), st.sampled_from(["top_p", "min_p"]), st.data())
def test_beside_a_limit_the_same_tokens_stay(logits, name, data):
    """A millionth above and below what decides whether a token stays."""
    import torch

    p = np.exp(np.sort(logits)[::-1] - np.max(logits))
    at = data.draw(st.integers(1, len(p) - 1))
    limit = (p / p.sum())[:at].sum() if name == "top_p" else p[at]
    limit *= data.draw(st.sampled_from([1 - 1e-6, 1 + 1e-6]))
    how = {"temperature": 1.0, "top_k": None, "top_p": None, "min_p": None, "repetition_penalty": 1.0, name: limit}
    assume(1e-6 < limit < 1 and clear(logits, tuple(how.values()), set()))
    tokens, _ = candidates(tt.tensor(logits, dtype=tt.float64), **how)
    made, _ = processors(**how)
    theirs = made(torch.empty(1, 0, dtype=torch.int64), torch.tensor([logits], dtype=torch.float64))
    assert sorted(tokens.tolist()) == theirs[0].isfinite().nonzero()[:, 0].tolist()


def test_transformers_order_is_ours():
    """If a later version of transformers applies its filters in another order, this says so."""
    _, names = processors(0.7, 5, 0.9, 0.1, 1.3)
    assert names == [
        "RepetitionPenaltyLogitsProcessor", "TemperatureLogitsWarper", "TopKLogitsWarper", "TopPLogitsWarper",
        "MinPLogitsWarper",
    ]  # fmt: skip


@cases(100)
@given(st.lists(st.integers(-2, 2).map(float), min_size=2, max_size=9), st.integers(1, 8))
def test_of_equal_tokens_at_top_ks_limit_transformers_keeps_all_and_we_keep_k(logits, k):
    """The one difference."""
    from transformers import TopKLogitsWarper

    import torch

    theirs = TopKLogitsWarper(k)(torch.empty(1, 0), torch.tensor([logits]))[0].isfinite().nonzero()[:, 0].tolist()
    ours = candidates(tt.tensor(logits), 1.0, k)[0].tolist()
    assert len(ours) == min(k, len(logits)) and set(ours) <= set(theirs)
    assert len({logits[i] for i in set(theirs) - set(ours)}) <= 1
