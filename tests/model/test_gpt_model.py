"""The models' shapes, causality and beginnings, and a batch split over threads."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

import gpt
import tinytensor
import tinytensor as tt
from gpt import data
from gpt.bigram import Bigram
from gpt.build import build
from gpt.config import RECIPES, GPTConfig, TrainConfig
from gpt.errors import UserError
from gpt.fast.shards import Shards, rows_of, seed_of
from gpt.fast.threads import ordered_map, usable_cores
from gpt.model import GPT
from gpt.optimizer import make_optimizer
from gpt.rotary import rotary
from gpt.run.checks import check_memory, parameter_count, parameter_shapes, usable_memory
from gpt.train import shard_gradient
from tinytensor.nn import functional as F

SMALL = GPTConfig(vocab_size=11, context=8, width=16, layers=2, heads=2)


def ids_of(shape, vocab_size=11, seed=0):
    return tinytensor.from_numpy(np.random.default_rng(seed).integers(0, vocab_size, shape))


def awake(model):
    """Weights large enough that every part has a say: a fresh block is the identity."""
    for parameter in model.parameters():
        tinytensor.nn.init.normal_(parameter, std=0.5)
    return model


@pytest.mark.parametrize("changes", [
    {}, {"positions": "learned"}, {"tied": True, "bias": False}, {"model": "bigram"},
    {"activation": "gelu", "init": "gpt2", "dropout": 0.1},
])  # fmt: skip
def test_logits_and_loss(changes):
    model = build(dataclasses.replace(SMALL, **changes))
    ids, targets = ids_of((3, 8)), ids_of((3, 8), seed=1)
    logits, loss = model(ids, targets)
    assert logits.shape == (3, 8, 11)
    assert loss.shape == ()
    assert model(ids)[1] is None
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.dtype == parameter.grad.dtype == tinytensor.float32, name


@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_no_character_sees_a_later_one(positions):
    model = awake(GPT(dataclasses.replace(SMALL, positions=positions)))
    ids = np.random.default_rng(0).integers(0, 11, (1, 8))
    changed = ids.copy()
    changed[0, 5] = (ids[0, 5] + 1) % 11
    before, after = (model(tinytensor.from_numpy(x))[0].detach().numpy() for x in (ids, changed))
    assert np.array_equal(before[0, :5], after[0, :5])
    assert all(not np.allclose(before[0, t], after[0, t]) for t in (5, 6, 7))


@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_order_matters(positions):
    model = awake(GPT(dataclasses.replace(SMALL, positions=positions)))
    one, two = (model(tinytensor.tensor([x]))[0][0, -1] for x in ([1, 2, 3], [2, 1, 3]))
    assert not np.allclose(one.detach().numpy(), two.detach().numpy(), atol=1e-4)


def test_a_fresh_model_knows_nothing_and_its_blocks_are_the_identity():
    model = GPT(SMALL)
    _, loss = model(ids_of((4, 8)), ids_of((4, 8), seed=1))
    assert loss.item() == pytest.approx(math.log(11), abs=0.7)
    x = tinytensor.randn(1, 8, 16)
    assert tinytensor.equal(model.blocks[0](x), x)


def test_nanogpt_recipe_has_nanogpts_size_and_beginning():
    model = GPT(dataclasses.replace(RECIPES["nanogpt"], vocab_size=65))
    without_positions = 65 * 128 + 4 * (12 * 128**2 + 2 * 128) + 128  # 0.80M, as it prints
    assert sum(p.numel() for p in model.parameters()) == without_positions + 64 * 128
    assert model.head.weight is model.embedding.weight
    std = {name: float(p.detach().numpy().std()) for name, p in model.named_parameters()}
    assert std["blocks.0.attention.qkv.weight"] == pytest.approx(0.02, rel=0.05)
    assert std["blocks.0.feed_forward.projection.weight"] == pytest.approx(0.02 / 8**0.5, rel=0.05)
    assert not any(name.endswith("bias") for name in std)


def test_matrices_decay_and_vectors_do_not():
    model = GPT(SMALL)
    matrices, vectors = make_optimizer(model, TrainConfig(weight_decay=0.3)).param_groups
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.3, 0.0)
    assert {p.dim() for p in matrices["params"]} == {2}
    assert {p.dim() for p in vectors["params"]} == {1}
    count = len(matrices["params"]) + len(vectors["params"])
    assert count == len(list(model.parameters()))


def test_a_window_longer_than_the_context_is_refused():
    with pytest.raises(ValueError, match="9 tokens is longer than the context of 8"):
        GPT(SMALL)(ids_of((1, 9)))


def test_one_seed_gives_one_model():
    def weights():
        tinytensor.manual_seed(5)
        return np.concatenate([p.detach().numpy().ravel() for p in GPT(SMALL).parameters()])

    assert np.array_equal(weights(), weights())


def gradients(config, model, steps=1):
    ids = np.random.default_rng(0).integers(0, 11, 500)
    batches = [data.batch(ids, config, 0, micro) for micro in range(config.grad_accumulation)]
    with Shards(model, config, shard_gradient) as shards:
        losses = [shards.gradient(batches, step=7).item() for _ in range(steps)]
    return losses, [p.grad.detach().numpy().copy() for p in model.parameters()]


def train_config(**changes):
    return TrainConfig(**{**dataclasses.asdict(SMALL), "batch_size": 6, "threads": 1, **changes})


@pytest.mark.parametrize("threads", [2, 4, 6])
def test_threads_give_the_batchs_gradient(threads):
    model = GPT(dataclasses.replace(SMALL, init="gpt2")).double()
    (loss,), one = gradients(train_config(), model)
    (split_loss,), many = gradients(train_config(threads=threads), model)
    assert split_loss == pytest.approx(loss, rel=1e-12)
    for a, b in zip(one, many, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_accumulated_batches_average():
    model = Bigram(SMALL).double()
    config = train_config(grad_accumulation=3, threads=2)
    (loss,), mean = gradients(config, model)
    ids = np.random.default_rng(0).integers(0, 11, 500)
    losses, sums = [], [0.0] * len(mean)
    with Shards(model, train_config(), shard_gradient) as shards:
        for micro in range(3):
            losses.append(shards.gradient([data.batch(ids, config, 0, micro)], step=7).item())
            sums = [s + p.grad.detach().numpy() for s, p in zip(sums, model.parameters())]
    assert loss == pytest.approx(np.mean(losses), rel=1e-12)
    for a, b in zip(mean, sums, strict=True):
        np.testing.assert_allclose(a, b / 3, rtol=1e-9, atol=1e-12)


def test_threads_with_dropout_are_repeatable():
    config = train_config(threads=3, dropout=0.3)
    model = GPT(dataclasses.replace(SMALL, dropout=0.3, init="gpt2"))
    losses, first = gradients(config, model, steps=4)
    assert len(set(losses)) == 1  # the same step drops the same activations
    _, second = gradients(config, model)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("threads", [2, 3, 5])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_masks_of_dropout_do_not_depend_on_the_number_of_threads(threads, seed):
    """In float64 what is left is the order of the sums; another mask would change the loss in the second digit."""
    model = GPT(dataclasses.replace(SMALL, dropout=0.3)).double()
    changes = {"dropout": 0.3, "batch_size": 5, "grad_accumulation": 2, "seed": seed}
    (one,), expected = gradients(train_config(threads=1, **changes), model)
    (several,), found = gradients(train_config(threads=threads, **changes), model)
    assert several == pytest.approx(one, rel=1e-13)
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-13)


def test_masks_belong_to_seed_step_and_row():
    config = train_config(dropout=0.5, batch_size=4)
    with Shards(GPT(SMALL), config, shard_gradient) as shards:

        def masks(step, seed=0):
            shards.config = dataclasses.replace(config, seed=seed)
            shards.seed(step)
            return [[tuple(row) for row in F.dropout(tt.ones(4, 64), 0.5).tolist()] for _ in range(3)]

        first = masks(3)
        assert masks(3) == first
        every = [row for mask in (*first, *masks(4), *masks(3, seed=1)) for row in mask]
        assert len(set(every)) == len(every)  # 36 rows: no two of them are alike
        with pytest.raises(RuntimeError, match="for 4 rows, but a mask has shape"):
            F.dropout(tt.ones(3, 2), 0.5)
    tt.manual_seed(0)  # ends it


def test_replicas_follow_the_models_weights():
    model = GPT(dataclasses.replace(SMALL, tied=True))
    with Shards(model, train_config(threads=2, tied=True), shard_gradient) as shards:
        optimizer = make_optimizer(model, train_config(tied=True))
        ids = np.random.default_rng(0).integers(0, 11, 500)
        shards.gradient([data.batch(ids, shards.config, 0)], 0)
        optimizer.step()
        for a, b in zip(*(m.parameters() for m in shards.models), strict=True):
            assert np.shares_memory(a.detach().numpy(), b.detach().numpy())


def test_an_error_in_a_worker_reaches_the_caller():
    model = GPT(SMALL)
    with Shards(model, train_config(threads=2), shard_gradient) as shards:
        x = np.zeros((6, 8), np.int64)
        x[5, 0] = 99  # outside the vocabulary, in the second thread's half
        with pytest.raises(IndexError):
            shards.gradient([(x, x)], 0)


def test_ordered_map_keeps_the_order():
    assert list(ordered_map(lambda n: n * n, iter(range(20)), threads=3)) == [n * n for n in range(20)]


@pytest.mark.parametrize("length, shards", [(6, 1), (6, 4), (7, 3), (12, 2)])
def test_shards_are_the_parts_of_array_split(length, shards):
    rows = np.arange(length)
    for shard, expected in enumerate(np.array_split(rows, shards)):
        assert rows[rows_of(length, shard, shards)].tolist() == expected.tolist()


def test_seeds_differ_in_every_part():
    parts = [(1, 2, 3, 4), (2, 1, 3, 4), (1, 2, 4, 3), (1, 2, 3, 5)]
    numbers = [seed_of(*each) for each in parts]
    assert len(set(numbers)) == 4
    assert all(0 <= number < 2**63 for number in numbers)


def test_the_package_exports_lazily():
    assert gpt.GPT is GPT
    assert gpt.GPTConfig is GPTConfig
    assert gpt.load.__module__ == "gpt.trained"
    assert gpt.Bigram is Bigram
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        gpt.nothing  # noqa: B018


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model": "bigram"},
        {"bias": False, "tied": True},
        {"positions": "learned"},
        {"layers": 1},
        {"kv_heads": 1, "qk_norm": True},
        {"norm": "rms"},
        {"norm": "rms", "activation": "swiglu"},
        {"hidden": 3},
        {"activation": "swiglu", "bias": False, "tied": True},
    ],
)
def test_parameters_are_counted_before_they_are_made(changes):
    config = GPTConfig(**{"vocab_size": 7, "context": 5, "width": 8, "layers": 3, "heads": 2, **changes})
    model = build(config)
    assert parameter_shapes(config) == {name: tuple(p.shape) for name, p in model.named_parameters()}
    assert parameter_count(config) == sum(p.numel() for p in model.parameters())


def test_cores_are_counted_where_the_system_cannot_say_which_are_usable(monkeypatch):
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    for count, expected in ((8, 8), (None, 1)):
        monkeypatch.setattr("os.cpu_count", lambda count=count: count)
        assert usable_cores() == expected


def test_memory_is_checked_where_it_is_known(monkeypatch):
    huge = TrainConfig(width=10**6, heads=1)
    with pytest.raises(UserError, match="GiB to train"):
        check_memory(huge)
    check_memory(dataclasses.replace(huge, device="cuda"))  # the host's is not the GPU's
    monkeypatch.setattr("os.sysconf_names", {})
    monkeypatch.setattr("gpt.run.checks.usable_memory", lambda: usable_memory(Path("/nowhere"), Path("/nowhere")))
    check_memory(huge)


@pytest.mark.parametrize("names, limits, expected", [
    ("0::/\n", {"memory.max": "2000000"}, 2_000_000),  # inside a container
    ("0::/a/b\n", {"a/memory.max": "3000", "a/b/memory.max": "max"}, 3000),  # outside: what is above holds as well
    ("0::/a/b\n", {"a/memory.max": "3000", "a/b/memory.max": "2000"}, 2000),
    ("0::/docker/x\n", {"memory.max": "5000"}, 5000),  # the name of the host, the tree of the container
    ("4:cpu,memory:/a\n0::/\n", {"memory/a/memory.limit_in_bytes": "7000"}, 7000),  # version 1
    ("4:memory:/x\n1:cpu:/\n", {"memory/memory.limit_in_bytes": "7000"}, 7000),
    ("0::/\n", {"memory.max": "max"}, None),
    ("4:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712"}, None),
    ("nonsense", {"memory.max": "1"}, None),
    ("", {}, None),
])  # fmt: skip
def test_the_limit_of_a_container_is_seen(names, limits, expected, tmp_path):
    (tmp_path / "own").write_text(names)
    for name, limit in limits.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(limit + "\n")
    found = usable_memory(tmp_path / "cgroup", tmp_path / "own")
    computer = usable_memory(tmp_path, tmp_path / "absent")
    assert found == (computer if expected is None else expected)


def test_parameters_without_a_gradient_are_left_out_of_the_sum():
    model = GPT(SMALL)
    model.embedding.weight.requires_grad_(False)
    _, found = gradients_or_none(train_config(threads=2), model)
    _, alone = gradients_or_none(train_config(threads=1), model)
    assert found.pop("embedding.weight") is alone.pop("embedding.weight") is None
    for name, g in found.items():
        np.testing.assert_allclose(g, alone[name], rtol=1e-3, atol=1e-6, err_msg=name)


def gradients_or_none(config, model):
    ids = np.random.default_rng(0).integers(0, 11, 500)
    with Shards(model, config, shard_gradient) as shards:
        loss = shards.gradient([data.batch(ids, config, 0, 0)], step=7)
    return loss, {n: None if p.grad is None else p.grad.numpy().copy() for n, p in model.named_parameters()}


def test_the_threads_that_share_a_batch_share_the_update(monkeypatch):
    monkeypatch.setattr(tinytensor.optim.blocks, "BLOCK", 64)
    states = []
    for threads in (False, True):
        tinytensor.manual_seed(0)
        model, config = GPT(SMALL), train_config(threads=2)
        optimizer = make_optimizer(model, config)
        with Shards(model, config, shard_gradient, optimizer if threads else None) as shards:
            assert (optimizer.map == shards.map) is threads
            ids = np.random.default_rng(0).integers(0, 11, 500)
            for step in range(3):
                shards.gradient([data.batch(ids, config, step)], step)
                optimizer.step()
        assert optimizer.map is map
        states.append([p.array.copy() for p in model.parameters()])
    for alone, shared in zip(*states, strict=True):
        np.testing.assert_array_equal(alone, shared)


def test_rotary_starts_where_it_is_told() -> None:
    x = tt.randn(2, 5, 4)
    whole = rotary(x)
    assert tt.equal(rotary(x, 0), whole)
    assert tt.equal(rotary(x[:, 2:], 2), whole[:, 2:])
    assert not tt.equal(rotary(x[:, 2:]), whole[:, 2:])
