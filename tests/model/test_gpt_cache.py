"""Text with keys and values kept: the predictions are those of the whole window, and each token is computed once."""

from __future__ import annotations

import dataclasses
import inspect
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tinytensor as tt
from gpt import generate, sampling
from gpt.build import build
from gpt.cache import Cache, last_alone, past
from gpt.completion import Piece
from gpt.config import GPTConfig, TrainConfig
from gpt.errors import UserError
from gpt.fast.decode import Reader
from gpt.model import GPT
from gpt.sampling import sample
from gpt.tokenizers import CharTokenizer
from gpt.trained import Trained

SMALL = GPTConfig(vocab_size=11, context=8, width=16, layers=2, heads=2, dropout=0.5)  # which eval() turns off
VARIANTS = {
    "rotary": {},
    "learned": {"positions": "learned", "activation": "gelu"},
    "tied, no bias": {"tied": True, "bias": False},
    "one layer, one head": {"layers": 1, "heads": 1},
    "groups": {"heads": 4, "kv_heads": 2, "qk_norm": True},
    "one group, divided by layer": {"heads": 4, "kv_heads": 1, "attention_scale": "layer"},
    "rms, swiglu": {"norm": "rms", "activation": "swiglu", "norm_eps": 1e-3},
    "silu, undivided, learned": {"activation": "silu", "attention_scale": "none", "positions": "learned", "hidden": 20},
    "relu, rms, no bias": {"activation": "relu", "norm": "rms", "bias": False},
    "tanh": {"activation": "tanh", "qk_norm": True, "norm_eps": 1e-2},
    "bigram": {"model": "bigram"},
}
each_variant = pytest.mark.parametrize("variant", VARIANTS)


def awake(variant="rotary", dtype=tt.float64, **changes):
    """A model in evaluation, with weights so large that every part has a say."""
    model = build(dataclasses.replace(SMALL, **VARIANTS[variant], **changes)).to(dtype)
    for p in model.parameters():
        tt.nn.init.normal_(p, std=0.3)
    return model.eval()


def ids_of(*shape):
    return tt.from_numpy(np.random.default_rng(0).integers(0, 11, shape))


@tt.no_grad()
def in_parts(model, ids, parts, cache):
    """The logits of ids (B, T), read `parts` tokens at a time."""
    return np.concatenate([cache.read(model, part)[0].numpy() for part in ids.split(parts, 1)], 1)


@pytest.mark.parametrize("engine", ["tinytensor", "torch"])
def test_a_copy_takes_the_tokens_alone(engine):
    """The rest of the memory has no numbers yet: of a long context it is the most."""
    torch, module = (
        pytest.importorskip(engine),
        pytest.importorskip("gpt.cache" if engine == "tinytensor" else "reference_torch.cache"),
    )
    one, other, layer = module.Cache(8), module.Cache(8), torch.nn.Linear(1, 1)
    k, v = torch.ones(1, 2, 3, 4), 2 * torch.ones(1, 2, 3, 4)
    one.extend(layer, k, v)
    one.length = 3
    for memory in one.layers[layer]:
        memory[:, :, 3:] = float("nan")
    other.copy(one)
    assert other.length == 3
    for number, mine, theirs in zip((1, 2), other.layers[layer], one.layers[layer], strict=True):
        assert (mine[:, :, :3] == number).all() and (mine[:, :, 3:] == 0).all() and mine.shape == theirs.shape
        theirs[:, :, :3] = 7
        assert (mine[:, :, :3] == number).all()


@pytest.mark.parametrize("parts", [(1,) * 8, (8,), (5, 1, 1, 1), (1, 7), (3, 2, 3)], ids=str)
@pytest.mark.parametrize("batch", [1, 3])
@each_variant
def test_logits_are_those_without_a_cache(variant, batch, parts):
    model, ids, cache = awake(variant), ids_of(batch, 8), Cache(8)
    whole = model(ids)[0].detach().numpy()
    for _ in range(2):  # the second text in the memory of the first
        np.testing.assert_allclose(in_parts(model, ids, parts, cache), whole, rtol=1e-11, atol=1e-12)
        assert cache.length == 8
        cache.clear()


def test_float32_stays_float32():
    model, cache = awake(dtype=tt.float32), Cache(8)
    assert in_parts(model, ids_of(1, 8), (4, 1, 3), cache).dtype == np.float32
    assert {x.dtype for pair in cache.layers.values() for x in pair} == {tt.float32}
    assert not any(x.requires_grad for pair in cache.layers.values() for x in pair)


def test_the_loss_with_a_cache_is_that_of_the_new_tokens():
    model, ids, cache = awake(), ids_of(2, 8), Cache(8)
    with tt.no_grad():
        cache.read(model, ids[:, :5])
        _, loss = cache.read(model, ids[:, 5:], ids[:, 5:])
        logits, _ = model(ids)
    expected = tt.nn.functional.cross_entropy(logits[:, 5:].flatten(0, 1), ids[:, 5:].flatten())
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)


def test_more_than_the_context_is_refused():
    model, cache = awake(), Cache(8)
    in_parts(model, ids_of(1, 6), (6,), cache)
    with pytest.raises(ValueError, match="9 tokens is longer than the context of 8"):
        cache.read(model, ids_of(1, 3))
    assert cache.length == 6


def test_an_interrupted_forward_leaves_nothing_behind():
    model, ids, cache = awake(), ids_of(1, 8), Cache(8)
    whole = model(ids)[0].detach().numpy()
    in_parts(model, ids[:, :4], (4,), cache)

    def interrupt(*_):
        raise KeyboardInterrupt

    with model.blocks[1].register_forward_pre_hook(interrupt), pytest.raises(KeyboardInterrupt):
        in_parts(model, ids[:, :2], (2,), cache)
    np.testing.assert_allclose(in_parts(model, ids[:, 4:], (2, 2), cache), whole[:, 4:], rtol=1e-11, atol=1e-12)


# --------------------------------------------------------------------------------------- ArrayGPT


@pytest.fixture
def forwards(monkeypatch):
    """The lengths of what the GPT itself reads, without what ArrayGPT reads alone."""
    lengths, forward = [], GPT.forward

    def counted(self, ids, targets=None):
        lengths.append(ids.shape[1])
        return forward(self, ids, targets)

    monkeypatch.setattr(GPT, "forward", counted)
    return lengths


@pytest.mark.parametrize("dtype", [tt.float64, tt.float32], ids=str)
@pytest.mark.parametrize("variant", [v for v in VARIANTS if v != "bigram"])
def test_the_logits_of_array_gpt_are_the_models(variant, dtype, forwards):
    model, ids, cache = awake(variant, dtype), ids_of(1, 8), Cache(8)
    whole = model(ids)[0].detach().numpy()[0]
    with tt.no_grad():
        read = Reader(model, cache)
        rows = [read(new).numpy() for new in (ids[0, :3].tolist(), *([i] for i in ids[0, 3:].tolist()))]
    tolerance = 1e-11 if dtype == tt.float64 else 1e-5
    np.testing.assert_allclose(rows, whole[2:], rtol=tolerance, atol=tolerance)
    assert {row.dtype for row in rows} == {whole.dtype}
    assert forwards == [8, 3, 1]  # the whole, the prompt, and the token by which ArrayGPT was proven
    assert cache.length == 8


def test_after_a_prompt_and_when_the_cache_begins_again_the_model_reads_the_first_token_too(forwards):
    text(awake(), [1, 2, 3], 13, True)
    assert forwards == [3, 1, 4, 1, 4, 1]
    forwards.clear()
    text(awake(), [1], 8, True)
    assert forwards == [1, 1]


def changed_gelu(monkeypatch):
    monkeypatch.setattr("gpt.model.FeedForward.forward", lambda self, x: self.projection(self.up(x).relu()))
    return awake()


def changed_values(monkeypatch):
    extend = Cache.extend
    monkeypatch.setattr(Cache, "extend", lambda self, layer, k, v: extend(self, layer, k * 1.5, v * 2))
    return awake()


def another_layer(monkeypatch):
    model = awake()
    model.blocks[0].feed_forward.up = tt.nn.Sequential(tt.nn.Linear(16, 64), tt.nn.Linear(64, 64)).double()
    return model


def one_weight_more(monkeypatch):
    model = awake()
    model.blocks[0].attention.temperature = tt.nn.Parameter(tt.ones(1))
    return model


def wider_heads(monkeypatch):
    model = awake()
    for block in model.blocks:
        block.attention.heads = block.attention.groups = 4
    return model


@pytest.mark.parametrize("change", [changed_gelu, changed_values, another_layer, one_weight_more, wider_heads])
def test_a_model_that_was_changed_reads_on_by_itself(change, monkeypatch, forwards):
    model = change(monkeypatch)
    cached = text(model, [1, 2, 3], 6, True)
    assert forwards == [3, 1, 1, 1, 1, 1]
    monkeypatch.setattr(Reader, "_guess", lambda self, new: None)
    assert cached == text(model, [1, 2, 3], 6, True)


def test_hooks_are_called_for_every_token():
    model, seen = awake(), []
    with model.blocks[1].register_forward_hook(lambda module, args, output: seen.append(output.shape[1])):
        text(model, [1, 2, 3], 6, True)
    assert seen == [3, 1, 1, 1, 1, 1]


def test_infinite_numbers_on_the_way_are_no_warnings():
    model = awake(dtype=tt.float32)
    with tt.no_grad():
        model.blocks[0].feed_forward.up.weight.mul_(1e20)
    assert len(text(model, [1, 2], 6, True, temperature=0)) == 6


def test_predictions_that_are_not_finite_are_an_error():
    model = awake()
    with tt.no_grad():
        model.norm.weight.mul_(float("inf"))
    with pytest.raises(UserError, match="predictions are not finite"):
        text(model, [1], 3, True)


def test_a_model_in_float16_writes_text():
    """Rotary angles have no complex type of two float16, and are computed in float32."""
    assert len(text(awake("rotary", tt.float16), [1, 2, 3], 6, True)) == 6


def test_a_thread_does_not_see_the_cache_of_another():
    """One thread reads with a cache while another, in the middle of it, reads without."""
    model, ids, cache = awake(), ids_of(1, 8), Cache(8)
    whole = model(ids)[0].detach().numpy()
    in_parts(model, ids[:, :4], (4,), cache)
    seen = []

    def elsewhere(*_):
        with ThreadPoolExecutor(1) as pool:
            seen.append(pool.submit(lambda: (past(), type(model).forward(model, ids)[0].detach().numpy())).result())

    with model.register_forward_pre_hook(elsewhere):
        logits, _ = cache.read(model, ids[:, 4:])
    assert seen[0][0] == 0 and past() == 0
    np.testing.assert_array_equal(seen[0][1], whole)
    np.testing.assert_allclose(logits.detach().numpy(), whole[:, 4:], rtol=1e-11, atol=1e-12)


# ------------------------------------------------------------------------------------------ texts


def text(model, ids, n, use_cache, **how):
    return list(sample(model, ids, n, generator=tt.Generator().manual_seed(3), use_cache=use_cache, **how))


@pytest.mark.parametrize("how", [{"temperature": 0}, {}, {"temperature": 1.5, "top_k": 4, "top_p": 0.9}], ids=str)
@each_variant
def test_within_the_context_the_text_is_that_without_a_cache(variant, how):
    model = awake(variant)
    for prompt in ([5], [1, 2, 3], list(range(8))):
        n = 8 - len(prompt) + 1  # the last is drawn from a full window
        assert text(model, prompt, n, True, **how) == text(model, prompt, n, False, **how)


def test_a_bigram_needs_no_more_than_the_last_token():
    model = awake("bigram")
    assert text(model, [1], 50, True) == text(model, [1], 50, False)


class Witness(GPT):
    """A model that notes which tokens it was given, and how many its cache had before."""

    def forward(self, ids, targets=None):
        self.seen.append((past(), ids[0].tolist()))
        return super().forward(ids, targets)


@pytest.mark.parametrize("context", [8, 7, 2, 1])
def test_a_full_cache_begins_again_with_its_last_half(context):
    model = Witness(dataclasses.replace(SMALL, context=context))
    model.seen = []
    whole, length = [4, *text(model, [4], 3 * context + 1, True)], 0
    assert len(model.seen) == 3 * context + 1
    for position, seen in enumerate(model.seen, 1):
        if length == context:
            length = (context + 1) // 2
            assert seen == (0, whole[position - length : position])
        else:
            assert seen == (length, whole[position - 1 : position])
            length += 1


def test_after_that_the_predictions_are_those_of_the_part():
    model, prompt = awake("learned"), [1, 2, 3]
    whole = prompt + text(model, prompt, 10, True, temperature=0)
    for position in range(9, 13):  # 8 tokens filled the cache, and whole[8] came from them
        part = whole[5:position]  # the last 4 at that time, and what came after
        assert whole[position] == model(tt.tensor([part]))[0][0, -1].argmax().item()


def test_of_a_long_prompt_the_last_context_counts():
    model, prompt = awake(), [*range(11), *range(11)]
    assert text(model, prompt, 6, True) == text(model, prompt[-8:], 6, True)


def test_no_cache_is_a_flag(monkeypatch, capsys):
    model, seen = awake(), []

    def witness(*args, use_cache, **others):
        seen.append(use_cache)
        yield Piece(0, 0, "", "length")

    monkeypatch.setattr(generate, "stream", witness)
    found = Trained("run", TrainConfig(), CharTokenizer("abcdefghijk"), "these weights", lambda config: model)
    monkeypatch.setattr(generate, "find", lambda *_: found)
    for flags in ([], ["--no-cache"]):
        assert generate.main(["run", *flags]) == 0
    assert seen == [True, False]
    assert capsys.readouterr().out == "\n\n"


def test_text_needs_the_last_prediction_alone(monkeypatch):
    """Neither the prompt nor, without a cache, the text so far pays for predictions that nobody reads."""
    model, rows = awake(), []
    head = model.head.forward
    monkeypatch.setattr(model.head, "forward", lambda x: rows.append(x.shape[1]) or head(x))
    for use_cache in (True, False):
        assert len(list(sample(model, [1, 2, 3, 4], 3, 0.0, use_cache=use_cache))) == 3
    assert set(rows) == {1}
    assert model(ids_of(2, 8))[0].shape[:2] == (2, 8)
    with last_alone():
        last = model(ids_of(2, 8))[0]
    assert last.shape[:2] == (2, 1)


# ----------------------------------------------------------------------------------------- the twin


@pytest.fixture
def twin(one_torch_thread):
    """A function that makes ours and its twin on PyTorch, with the same weights."""
    from reference_torch import build as reference
    from reference_torch.weights import to_torch

    def make(variant):
        ours = awake(variant)
        theirs = reference.build(ours.config).double().eval()
        to_torch(ours, theirs)
        return ours, theirs

    return make


@each_variant
def test_the_twin_has_the_same_logits(twin, variant):
    import reference_torch.cache
    import torch

    ours, theirs = twin(variant)
    ids, cache, their_cache = ids_of(2, 8), Cache(8), reference_torch.cache.Cache(8)
    for part in ids.split([3, 1, 1, 3], 1):
        with tt.no_grad(), torch.inference_mode():
            logits, _ = cache.read(ours, part)
            expected, _ = their_cache.read(theirs, torch.from_numpy(part.numpy()))
        np.testing.assert_allclose(logits.numpy(), expected.numpy(), rtol=1e-11, atol=1e-12)
    for module, expected in zip(cache.layers.values(), their_cache.layers.values(), strict=True):
        for x, y in zip(module, expected, strict=True):
            np.testing.assert_allclose(x.numpy(), y.numpy(), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("use_cache", [True, False])
@each_variant
def test_the_twin_writes_the_same_text(twin, variant, use_cache):
    import reference_torch.generate

    ours, theirs = twin(variant)
    how = {"temperature": 0, "use_cache": use_cache}
    assert list(sample(ours, [1, 2], 30, **how)) == list(reference_torch.generate.sample(theirs, [1, 2], 30, **how))


def test_the_twin_draws_from_the_same_distribution(one_torch_thread):
    import reference_torch.generate
    import torch

    logits = [0.1, 2.0, -1.0, 2.0, 0.7]
    for how in ({"temperature": 0.7}, {"temperature": 1.3, "top_k": 3}, {"temperature": 1.0, "top_p": 0.8}):
        tokens, p = sampling.candidates(tt.tensor(logits), **how)
        their_tokens, q = reference_torch.generate.candidates(torch.tensor(logits), **how)
        by_token, by_their_token = (
            dict(zip(t.tolist(), x.tolist(), strict=True)) for t, x in ((tokens, p), (their_tokens, q))
        )
        assert by_token == pytest.approx(by_their_token, rel=1e-6)


def test_the_twins_loop_is_the_same_text(one_torch_thread):
    import reference_torch.generate

    assert inspect.getsource(sample) == inspect.getsource(reference_torch.generate.sample)


def test_the_twin_trains_after_it_generated(twin):
    """What inference mode made, autograd refuses: the table of angles has to be made outside."""
    import reference_torch.generate
    import reference_torch.rotary
    import torch

    _, theirs = twin("rotary")
    reference_torch.rotary.table.cache_clear()
    list(reference_torch.generate.sample(theirs, [1], 8))
    ids = torch.tensor([[1, 2, 3]])
    theirs(ids, ids)[1].backward()
    assert theirs.blocks[0].attention.qkv.weight.grad is not None
