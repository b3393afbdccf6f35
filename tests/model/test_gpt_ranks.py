"""Training on ranks: whoever computes a shard, the gradient, the weights and the evaluations are those of one process.

The ranks are threads here (tests/helpers/thread_ranks.py). tests/ranks has the same with mpiexec.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import cases
from thread_ranks import Room, ThreadRanks, on_ranks

import tinytensor as tt
from gpt import data
from gpt.config import TrainConfig
from gpt.corpora.stored import StoredIds, open_corpus
from gpt.errors import UserError
from gpt.evaluate import mean_loss, windows
from gpt.fast.gpu import fast_update
from gpt.fast.half import make_scaler
from gpt.fast.shards import Shards
from gpt.model import GPT
from gpt.optimizer import Outcome, make_optimizer
from gpt.prepare import main as prepare
from gpt.ranks import drift
from gpt.ranks.exchange import Exchange
from gpt.ranks.sharded import MORE, ShardedAdamW, make_sharded
from gpt.run import checkpoint
from gpt.run.interrupt import Interrupt
from gpt.run.opening import threads_of
from gpt.run.state import Run
from gpt.train import shard_gradient, update
from tinytensor.distributed.ranks import ALONE

IDS = np.random.default_rng(0).integers(0, 11, 500)


def config_of(**changes: Any) -> TrainConfig:
    small = {"vocab_size": 11, "width": 8, "layers": 1, "heads": 2, "context": 8, "batch_size": 12, "threads": 1}
    return TrainConfig(**{**small, "dtype": "float64", "init": "gpt2", "warmup": 2, **changes})


def model_of(config: TrainConfig) -> GPT:
    tt.manual_seed(1)
    return GPT(config).to(dtype=getattr(tt, config.dtype))


def trained(config: TrainConfig, steps: int, ranks: Any = ALONE, sharded: bool = False, model: Any = None) -> Any:
    """(model, optimizer, outcomes) after so many steps of the loop of gpt.train."""
    model = model or model_of(config)
    optimizer = make_sharded(model, config, ranks) if sharded else make_optimizer(model, config)
    scaler = make_scaler(config)
    outcomes: list[Outcome] = []
    with Shards(model, config, shard_gradient, optimizer, ranks) as shards:
        for step in range(steps):
            batches = [data.batch(IDS, config, step, i, shards.rows) for i in range(config.grad_accumulation)]
            step_once = fast_update(shards, optimizer, scaler)
            outcomes.append(
                step_once(batches, step, 0.01) if step_once else update(shards, optimizer, batches, step, 0.01)
            )
    return model, optimizer, outcomes


def many(size: int, config: TrainConfig, steps: int, sharded: bool = False, room: Room | None = None) -> list[Any]:
    """The same on every rank. The models are drawn before, since threads share a generator."""
    models = [model_of(config) for _ in range(size)]
    return on_ranks(size, lambda r: trained(config, steps, r, sharded, models[r.rank]), room)


def weights(model: Any) -> np.ndarray:
    return np.concatenate([p.array.ravel() for p in model.parameters()])


# ------------------------------------------------------------------------------- one concept: a gradient is a sum


@cases(25)
@given(
    size=st.integers(2, 5), threads=st.integers(1, 2), accumulation=st.integers(1, 3), extra=st.integers(0, 5),
    dropout=st.sampled_from([0.0, 0.3]), sharded=st.booleans(), clip=st.sampled_from([0.0, 0.01, 100.0]),
)  # fmt: skip
def test_the_curve_does_not_depend_on_who_computes_a_shard(
    size: int, threads: int, accumulation: int, extra: int, dropout: float, sharded: bool, clip: float
) -> None:
    more = {"grad_accumulation": accumulation, "dropout": dropout, "grad_clip": clip}
    config = config_of(batch_size=size * threads + extra, **more)
    alone, _, expected = trained(config, 3)
    for model, _, outcomes in many(size, dataclasses.replace(config, threads=threads), 3, sharded):
        np.testing.assert_allclose(outcomes, expected, rtol=1e-11)
        np.testing.assert_allclose(weights(model), weights(alone), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_shared_out_optimizer_makes_the_same_weights_bit_for_bit(size: int, dtype: str) -> None:
    config = config_of(dtype=dtype, grad_clip=0.05)  # it clips
    whole, shared = many(size, config, 5), many(size, config, 5, sharded=True)
    for (model, _, outcomes), (twin, _, others) in zip(whole, shared, strict=True):
        assert outcomes == others
        assert max(outcome.norm for outcome in outcomes) > 0.05
        np.testing.assert_array_equal(weights(model), weights(twin))
        np.testing.assert_array_equal(weights(model), weights(whole[0][0]))


def test_one_all_reduce_a_step_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    config, room, places = config_of(threads=2, grad_accumulation=3), Room(2), set()
    all_reduce = ThreadRanks.all_reduce

    def noted(self: ThreadRanks, x: Any, op: str = "sum") -> None:
        places.add((self.rank, x.__array_interface__["data"][0], x.size))
        all_reduce(self, x, op)

    monkeypatch.setattr(ThreadRanks, "all_reduce", noted)
    (model, *_), _ = many(2, config, 4, room=room)
    assert room.calls == ["all_reduce"] * 4 + ["collect"]  # and one agreement at the end
    assert len(places) == 2  # one buffer on each rank, in every step
    assert {size for *_, size in places} == {weights(model).size + weights(model).size % 2 + MORE}


def test_exchanges_of_a_shared_out_step_are_three() -> None:
    room = Room(3)
    many(3, config_of(), 2, sharded=True, room=room)
    assert room.calls == ["reduce_scatter", "all_gather", "all_gather"] * 2 + ["collect"]


def test_gradients_lie_in_the_buffer_that_is_added_up() -> None:
    config = config_of()

    def work(ranks: ThreadRanks) -> None:
        model = models[ranks.rank]
        optimizer = make_optimizer(model, config)
        with Shards(model, config, shard_gradient, optimizer, ranks) as shards:
            assert shards.exchange is not None
            shards.gradient([data.batch(IDS, config, 0, 0, shards.rows)], 0)
            buffer = shards.exchange.joined.grad
            assert all(np.shares_memory(p.grad.array, buffer) for p in model.parameters() if p.grad is not None)
            assert all(np.shares_memory(p.array, shards.exchange.joined.data) for p in model.parameters())

    models = [model_of(config) for _ in range(2)]
    on_ranks(2, work)


def test_float16_is_added_up_in_float32() -> None:
    """1 + 2⁻¹¹ + 2⁻¹¹ is 1 in float16, where each sum is rounded, and 1 + 2⁻¹⁰ in float32."""

    def work(ranks: ThreadRanks) -> float:
        model = models[ranks.rank]
        exchange = Exchange(ranks, list(model.parameters()), make_optimizer(model, config), Interrupt())
        exchange.joined.grad[:] = [1.0, 2**-11, 2**-11][ranks.rank]
        for p, g in [pair for f in exchange.flats for pair in zip(f.parameters, f.gradients)]:
            p.grad = tt.from_numpy(g)
            p.grad.array = g
        loss = exchange.add_up(tt.tensor(float(ranks.rank)))
        assert loss.item() == 3
        return float(exchange.joined.grad[0])

    config = config_of(dtype="float16")
    models = [model_of(config) for _ in range(3)]
    assert on_ranks(3, work) == [1 + 2**-10] * 3


def test_float16_trains_on_ranks_as_in_one_process() -> None:
    config = config_of(dtype="float16")
    _, _, expected = trained(config, 3)
    for _, _, outcomes in many(2, config, 3):
        assert [o.scale for o in outcomes] == [o.scale for o in expected]
        np.testing.assert_allclose([o.loss for o in outcomes], [o.loss for o in expected], rtol=2e-3)


def test_a_gradient_that_is_not_finite_on_one_rank_stops_all_of_them() -> None:
    config = config_of()

    def work(ranks: ThreadRanks) -> Any:
        model = models[ranks.rank]
        before = weights(model).copy()

        def spoilt(*args: Any) -> Any:
            loss = shard_gradient(*args)
            if ranks.rank == 1:
                next(model.parameters()).grad.array[0] = np.inf  # type: ignore[union-attr]
            return loss

        optimizer = make_optimizer(model, config)
        with Shards(model, config, spoilt, optimizer, ranks) as shards:
            step_once = fast_update(shards, optimizer)
            assert step_once is not None
            outcome = step_once([data.batch(IDS, config, 0, 0, shards.rows)], 0, 0.01)
        np.testing.assert_array_equal(weights(model), before)
        return outcome

    models = [model_of(config) for _ in range(3)]
    outcomes = on_ranks(3, work)
    assert not any(math.isfinite(outcome.norm) for outcome in outcomes)
    assert len({outcome.loss for outcome in outcomes}) == 1


def test_a_parameter_that_is_no_longer_trained_adds_nothing() -> None:
    config = config_of()

    def work(ranks: Any) -> tuple[list[Outcome], np.ndarray]:
        model, outcomes = models.pop(), []
        optimizer = make_optimizer(model, config)
        frozen = model.embedding.weight
        with Shards(model, config, shard_gradient, optimizer, ranks) as shards:
            step_once = fast_update(shards, optimizer)
            for step in range(3):
                frozen.requires_grad_(step == 0)
                batches = [data.batch(IDS, config, step, 0, shards.rows)]
                outcomes.append(
                    step_once(batches, step, 0.01) if step_once else update(shards, optimizer, batches, step, 0.01)
                )
        return outcomes, weights(model)

    models = [model_of(config) for _ in range(3)]
    expected, whole = work(ALONE)
    for outcomes, found in on_ranks(2, work):
        np.testing.assert_allclose(outcomes, expected, rtol=1e-11)
        np.testing.assert_allclose(found, whole, rtol=1e-10, atol=1e-13)


@cases(30)
@given(size=st.integers(2, 5), threads=st.integers(1, 3), extra=st.integers(0, 9))
def test_ranks_read_every_window_once(size: int, threads: int, extra: int) -> None:
    config = config_of(batch_size=size * threads + extra, threads=threads)
    whole, _ = data.batch(IDS, config, 5, 1)
    model = model_of(config)

    def work(ranks: ThreadRanks) -> Any:
        own = copy.deepcopy(model)
        shards = Shards(own, config, shard_gradient, make_optimizer(own, config), ranks)
        return data.batch(IDS, config, 5, 1, shards.rows)[0]

    parts = on_ranks(size, work)
    assert max(map(len, parts)) - min(map(len, parts)) <= threads
    np.testing.assert_array_equal(np.concatenate(parts), whole)


# ----------------------------------------------------------------------------------- what a rank keeps, and a folder


@pytest.mark.parametrize("size", [2, 3, 5])
def test_a_rank_keeps_its_share_of_the_state(size: int) -> None:
    config = config_of()
    count = weights(model_of(config)).size

    def work(ranks: ThreadRanks) -> int:
        optimizer = make_sharded(models[ranks.rank], config, ranks)
        return optimizer.m.size + optimizer.v.size

    models = [model_of(config) for _ in range(size)]
    assert on_ranks(size, work) == [2 * -(-count // size)] * size


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("again", [1, 2, 4])
def test_a_saved_state_goes_on_shared_out_or_not(size: int, again: int) -> None:
    """Saved by a shared-out optimizer on `size` ranks, it is AdamW's; and continues on `again` ranks, shared out or not."""
    config = config_of()
    model, optimizer, _ = trained(config, 3)
    expected = checkpoint.optimizer_arrays(model, optimizer)

    def saved(ranks: ThreadRanks) -> Any:
        model, optimizer, _ = trained(config, 3, ranks, True, models[ranks.rank])
        arrays = checkpoint.optimizer_arrays(model, optimizer)
        assert not optimizer.state
        return arrays, checkpoint.weight_arrays(model)

    models = [model_of(config) for _ in range(size)]
    (arrays, kept), *others = on_ranks(size, saved)
    assert all(not each for each, _ in others)
    assert arrays.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(arrays[name], expected[name], rtol=1e-9, atol=1e-15, err_msg=name)

    def goes_on(ranks: Any, sharded: bool, model: GPT) -> Any:
        model.load_state_dict({name: tt.from_numpy(array) for name, array in kept.items()})
        optimizer: Any = make_sharded(model, config, ranks) if sharded else make_optimizer(model, config)
        checkpoint.restore_optimizer(model, optimizer, arrays)
        with Shards(model, config, shard_gradient, optimizer, ranks) as shards:
            step_once = fast_update(shards, optimizer)
            batches = [data.batch(IDS, config, 3, 0, shards.rows)]
            _ = step_once(batches, 3, 0.01) if step_once else update(shards, optimizer, batches, 3, 0.01)
        return weights(model)

    whole = goes_on(ALONE, False, model_of(config))
    if again > 1:
        models = [model_of(config) for _ in range(again)]
        for sharded in (False, True):
            for found in on_ranks(again, lambda r: goes_on(r, sharded, models[r.rank])):  # noqa: B023
                np.testing.assert_allclose(found, whole, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(whole, weights(trained(config, 4)[0]), rtol=1e-9, atol=1e-13)


def test_what_is_sharded_is_an_adamw() -> None:
    def work(ranks: ThreadRanks) -> None:
        optimizer = make_sharded(models[ranks.rank], config_of(), ranks)
        assert isinstance(optimizer, ShardedAdamW)
        assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]

    models = [model_of(config_of()) for _ in range(2)]
    on_ranks(2, work)


# --------------------------------------------------------------------------------------------------- evaluations


@cases(40)
@given(size=st.integers(1, 5), length=st.integers(2, 60), context=st.integers(1, 8), limit=st.integers(0, 5))
def test_an_evaluation_is_the_same_number_for_any_number_of_ranks(
    size: int, length: int, context: int, limit: int
) -> None:
    model = model_of(config_of(context=context))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gpt.evaluate.TOKENS_AT_ONCE", 2 * context)  # several batches of windows
        expected = mean_loss(model, IDS[:length], limit)
        models = [copy.deepcopy(model) for _ in range(size)]
        found = on_ranks(size, lambda ranks: mean_loss(models[ranks.rank], IDS[:length], limit, ranks=ranks))
    assert found == [expected] * size


@cases(60)
@given(size=st.integers(1, 6), length=st.integers(2, 80), context=st.integers(1, 9), limit=st.integers(0, 6))
def test_ranks_take_every_window_once(size: int, length: int, context: int, limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gpt.evaluate.TOKENS_AT_ONCE", 2 * context)
        whole = [x.tolist() for x, _ in windows(np.arange(length), context, limit)]
        parts = [[x.tolist() for x, _ in windows(np.arange(length), context, limit, r, size)] for r in range(size)]
    assert [part[i] for i in range(len(parts[0])) for part in parts if i < len(part)] == whole


# ------------------------------------------------------------------------------------------- stopping together


def test_a_signal_to_one_rank_stops_all_after_the_same_step() -> None:
    config = config_of()

    def work(ranks: ThreadRanks) -> tuple[int, int | None]:
        model, interrupt, step = models[ranks.rank], Interrupt(), 0
        optimizer = make_optimizer(model, config)
        with Shards(model, config, shard_gradient, optimizer, ranks, interrupt) as shards:
            step_once = fast_update(shards, optimizer)
            assert step_once is not None
            while interrupt.signal is None and step < 9:
                if step == 3 and ranks.rank == 1:
                    interrupt.received = signal.SIGTERM
                step_once([data.batch(IDS, config, step, 0, shards.rows)], step, 0.01)
                step += 1
        return step, interrupt.signal

    models = [model_of(config) for _ in range(3)]
    assert on_ranks(3, work) == [(4, signal.SIGTERM)] * 3


@pytest.mark.parametrize(("size", "spoilt", "named"), [(4, {2}, "rank 2 on host2"), (2, {1}, "rank 1 on host1"),
                                                       (5, {1, 3}, "rank 1 on host1, rank 3 on host3")])  # fmt: skip
def test_a_rank_whose_weights_drift_is_named(size: int, spoilt: set[int], named: str) -> None:
    config = config_of()

    def work(ranks: ThreadRanks) -> str:
        for step in range(1, 9):
            if step == 5 and ranks.rank in spoilt:
                weight = next(models[ranks.rank].parameters()).array  # by the last bit of a number
                weight.flat[3] = np.nextafter(weight.flat[3], 9)
            try:
                drift.check_equal(ranks, models[ranks.rank], step)
            except UserError as error:
                return str(error)
        return ""

    models = [model_of(config) for _ in range(size)]
    said = on_ranks(size, work)
    assert len(set(said)) == 1
    assert said[0].startswith(f"step 5: the weights on {named} are no longer those")


def test_weights_that_have_drifted_are_not_saved(tmp_path: Path) -> None:
    config, before = config_of(), sorted(tmp_path.iterdir())

    def work(ranks: ThreadRanks) -> str:
        run = Run.__new__(Run)
        run.ranks, run.model, run.config, run.step = ranks, models[ranks.rank], config, 3
        if ranks.rank == 0:  # the one that writes
            next(run.model.parameters()).array.flat[0] += 1
        with pytest.raises(UserError, match="are no longer those") as caught:
            run.save(tmp_path)
        return str(caught.value)

    models = [model_of(config) for _ in range(3)]
    assert len(set(on_ranks(3, work))) == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_signal_after_the_last_exchange_is_agreed_on() -> None:
    config = config_of()

    def work(ranks: ThreadRanks) -> int | None:
        interrupt, model = Interrupt(), models[ranks.rank]
        with Shards(model, config, shard_gradient, make_optimizer(model, config), ranks, interrupt):
            if ranks.rank == 2:
                interrupt.received = signal.SIGTERM
        return interrupt.signal

    models = [model_of(config) for _ in range(3)]
    assert on_ranks(3, work) == [signal.SIGTERM] * 3


def test_a_rank_reads_the_bytes_of_its_own_windows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("".join(chr(97 + (i * i) % 26) for i in range(5000)), "utf-8")
    assert prepare([str(text), "--out", str(tmp_path / "corpus")]) == 0
    ids = open_corpus(tmp_path / "corpus", 1).train
    config, places, read = config_of(), [], StoredIds.read
    monkeypatch.setattr(StoredIds, "read", lambda self, a, b: places.append((a, b)) or read(self, a, b))
    parts = [data.batch(ids, config, 5, 0, rows) for rows in (slice(0, 5), slice(5, 12))]
    assert len(places) == 12
    assert {b - a for a, b in places} == {config.context + 1}
    np.testing.assert_array_equal(np.concatenate([x for x, _ in parts]), data.batch(ids, config, 5)[0])


@pytest.mark.parametrize(("size", "batch", "threads", "expected"), [(2, 12, 0, 1), (3, 12, 2, 2), (12, 12, 0, 1)])
def test_threads_of_a_rank(size: int, batch: int, threads: int, expected: int) -> None:
    ranks = ThreadRanks(Room(size), 0)
    ranks.sharing = 1000
    assert threads_of(config_of(batch_size=batch, threads=threads), ranks) == expected


@pytest.mark.parametrize(("size", "threads", "said"), [(13, 1, "13 ranks cannot share --batch-size 12"),
                                                       (5, 3, "5 ranks with 3 threads each cannot share")])  # fmt: skip
def test_a_batch_that_is_too_small_for_all_is_refused(size: int, threads: int, said: str) -> None:
    with pytest.raises(UserError, match=said):
        threads_of(config_of(batch_size=12, threads=threads), ThreadRanks(Room(size), 0))
