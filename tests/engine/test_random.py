"""Random numbers: the distributions, the seeds, the state. Bounds are five standard errors of a fixed seed's sample."""

from __future__ import annotations

import json
import math
import threading
from collections import Counter
from itertools import permutations
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor.random import kept, seed_rows

N = 40_000


def close_to(sample: np.ndarray, mean: float, std: float) -> None:
    """Mean and standard deviation within five standard errors (that of the std holds for kurtosis up to 3)."""
    assert abs(sample.mean() - mean) < 5 * std / math.sqrt(sample.size)
    assert abs(sample.std() - std) < 5 * std / math.sqrt(2 * sample.size)


def chi_square(counts: np.ndarray, probabilities: np.ndarray) -> float:
    """Pearson's statistic, in standard deviations from its mean: (χ² − k) / √(2k), k = cells − 1."""
    expected = counts.sum() * np.asarray(probabilities)
    k = counts.size - 1
    return float((((counts - expected) ** 2 / expected).sum() - k) / math.sqrt(2 * k))


def test_chi_square_tells_a_wrong_distribution() -> None:
    """The tester: a die that shows six one time in seven."""
    rng = np.random.default_rng(0)
    fair = np.bincount(rng.integers(0, 6, N), minlength=6)
    loaded = np.bincount(rng.choice(6, N, p=[6 / 35] * 5 + [5 / 35]), minlength=6)
    assert abs(chi_square(fair, np.full(6, 1 / 6))) < 5 < chi_square(loaded, np.full(6, 1 / 6))


# ------------------------------------------------------------------------------------ distributions


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_rand_is_uniform_on_0_to_1_without_1(dtype: str) -> None:
    x = tt.rand(N, dtype=getattr(tt, dtype)).numpy().astype(np.float64)
    close_to(x, 0.5, math.sqrt(1 / 12))
    assert x.min() >= 0
    assert x.max() < 1
    assert abs(chi_square(np.bincount((x * 50).astype(int), minlength=50), np.full(50, 1 / 50))) < 5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_randn_is_normal(dtype: str) -> None:
    x = tt.randn(N, dtype=getattr(tt, dtype)).numpy()
    assert x.dtype == dtype
    close_to(x, 0, 1)
    assert abs((x**3).mean()) < 5 * math.sqrt(15 / N)
    assert abs((x**4).mean() - 3) < 5 * math.sqrt(96 / N)
    edges = np.array([-2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2])
    cdf = np.array([0, *(0.5 * (1 + math.erf(e / math.sqrt(2))) for e in edges), 1])
    assert abs(chi_square(np.bincount(np.searchsorted(edges, x), minlength=10), np.diff(cdf))) < 5


def test_randint_is_uniform_from_low_to_high_minus_one() -> None:
    x = tt.randint(-3, 4, (N,))
    assert x.dtype is tt.int64
    assert sorted(set(x.tolist())) == [-3, -2, -1, 0, 1, 2, 3]
    assert abs(chi_square(np.bincount(x.numpy() + 3, minlength=7), np.full(7, 1 / 7))) < 5
    assert set(tt.randint(2, (100,)).tolist()) == {0, 1}
    assert tt.randint(10, (2, 3), dtype=tt.int32).dtype is tt.int32


def test_randint_takes_its_arguments_by_name() -> None:
    assert tt.randint(low=2, high=3, size=(3,)).tolist() == [2] * 3
    assert tt.randint(high=1, size=(3,)).tolist() == [0] * 3


def test_normal_and_uniform_in_place() -> None:
    close_to(tt.zeros(N).normal_(3, 0.5).numpy(), 3, 0.5)
    close_to(tt.zeros(N).normal_(mean=-1.0, std=2.0).numpy(), -1, 2)
    x = tt.zeros(N).uniform_(-2, 6).numpy()
    close_to(x, 2, 8 / math.sqrt(12))
    assert x.min() >= -2
    assert x.max() < 6
    assert tt.zeros(2, dtype=tt.float64).normal_().dtype is tt.float64


def test_like_takes_shape_and_dtype() -> None:
    like = tt.zeros(200, 100, dtype=tt.float64)
    uniform, normal = tt.rand_like(like), tt.randn_like(like)
    assert (uniform.shape, uniform.dtype, normal.shape, normal.dtype) == ((200, 100), tt.float64) * 2
    close_to(uniform.numpy(), 0.5, math.sqrt(1 / 12))
    close_to(normal.numpy(), 0, 1)


def test_draws_are_independent() -> None:
    x, y = tt.randn(N).numpy(), tt.randn(N).numpy()
    assert abs(np.corrcoef(x, y)[0, 1]) < 5 / math.sqrt(N)
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 5 / math.sqrt(N)


def test_randperm_is_a_permutation_and_all_are_as_likely() -> None:
    p = tt.randperm(1000)
    assert p.dtype is tt.int64
    assert sorted(p.tolist()) == list(range(1000))
    assert p.tolist() != list(range(1000))
    assert tt.randperm(0).shape == (0,)
    counts = Counter(tuple(tt.randperm(4).tolist()) for _ in range(6000))
    table = np.array([counts[p] for p in permutations(range(4))])
    assert abs(chi_square(table, np.full(24, 1 / 24))) < 5


# -------------------------------------------------------------------------------------- multinomial

WEIGHTS = [0.5, 0.0, 3.0, 1.0, 0.5]


def test_multinomial_with_replacement() -> None:
    p = np.array(WEIGHTS) / sum(WEIGHTS)
    x = tt.multinomial(tt.tensor(WEIGHTS), N, replacement=True)
    assert x.dtype is tt.int64
    counts = np.bincount(x.numpy(), minlength=5)
    assert counts[1] == 0
    assert abs(chi_square(counts[p > 0], p[p > 0])) < 5


def test_multinomial_draws_each_row_from_its_own() -> None:
    rows = tt.tensor([[1.0, 3.0, 0.0], [0.0, 1.0, 1.0]])
    for x in (
        tt.multinomial(rows, N, replacement=True).numpy(),
        tt.multinomial(rows.repeat(N, 1), 1).numpy().reshape(N, 2).T,
    ):
        assert x.shape == (2, N)
        for row, p in zip(x, ([0.25, 0.75], [0.5, 0.5]), strict=True):
            kinds, counts = np.unique(row, return_counts=True)
            assert len(kinds) == 2
            assert abs(chi_square(counts, np.array(p))) < 5
        assert set(x[1]) == {1, 2}
        assert abs(np.corrcoef(x)[0, 1]) < 5 / math.sqrt(N)


def test_multinomial_without_replacement_has_the_exact_probabilities() -> None:
    """P(i, then j) = pᵢ · pⱼ / (1 − pᵢ), for every ordered pair."""
    p = np.array([0.1, 0.2, 0.3, 0.4])
    x = tt.multinomial(tt.tensor(p).expand(N, 4), 2).numpy()
    assert (x[:, 0] != x[:, 1]).all()
    pairs = list(permutations(range(4), 2))
    exact = np.array([p[i] * p[j] / (1 - p[i]) for i, j in pairs])
    counts = Counter(map(tuple, x.tolist()))
    assert abs(chi_square(np.array([counts[pair] for pair in pairs]), exact)) < 5


def test_multinomial_of_all_is_a_permutation() -> None:
    assert sorted(tt.multinomial(tt.tensor([1.0, 2.0, 3.0]), 3).tolist()) == [0, 1, 2]
    assert tt.multinomial(tt.tensor([0.0, 0.0, 7.0]), 1).tolist() == [2]


def test_multinomial_takes_float16_and_tiny_weights() -> None:
    assert tt.multinomial(tt.tensor([0.0, 1.0]).half(), 5, replacement=True).tolist() == [1] * 5
    assert set(tt.multinomial(tt.tensor([1e-30, 1e-30]), 100, replacement=True).tolist()) == {0, 1}


def test_multinomial_refuses_to_draw_what_has_no_weight() -> None:
    with pytest.raises(RuntimeError, match="without replacement"):
        tt.multinomial(tt.tensor([1.0, 0.0, 0.0]), 2)


BAD = [
    "t.multinomial(t.tensor([-1., 2.]), 1)",
    "t.multinomial(t.tensor([float('nan'), 2.]), 1)",
    "t.multinomial(t.tensor([float('inf'), 2.]), 1)",
    "t.multinomial(t.tensor([0., 0.]), 1)",
    "t.multinomial(t.tensor([[1., 1.], [0., 0.]]), 1)",
    "t.multinomial(t.tensor([1., 1.]), 3)",
    "t.multinomial(t.tensor([1., 1.]), 0)",
    "t.multinomial(t.tensor([1, 1]), 1)",
    "t.multinomial(t.ones(2, 2, 2), 1)",
    "t.randint(3, 3, (1,))",
    "t.randint(5, 3, (1,))",
    "t.randn(-1)",
    "t.randperm(-1)",
    "t.Generator(device='tpu')",
    "t.nn.functional.dropout(t.ones(2), p=1.5)",
    "t.nn.functional.dropout(t.ones(2), p=-0.5)",
]


@pytest.mark.parametrize("expression", BAD)
def test_bad_calls_raise_pytorchs_kind_of_error(expression: str) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(Exception) as theirs:
        eval(expression, {"t": torch})
    with pytest.raises(theirs.type):
        eval(expression, {"t": tt})


# ----------------------------------------------------------------------------- seeds and generators

DRAWS: list[Any] = [
    lambda g: tt.rand(5, generator=g),
    lambda g: tt.randn(5, generator=g),
    lambda g: tt.randint(0, 1000, (5,), generator=g),
    lambda g: tt.randperm(20, generator=g),
    lambda g: tt.multinomial(tt.ones(50), 5, generator=g),
    lambda g: tt.multinomial(tt.ones(50), 5, replacement=True, generator=g),
    lambda g: tt.rand_like(tt.ones(5), generator=g),
    lambda g: tt.randn_like(tt.ones(5), generator=g),
    lambda g: tt.zeros(5).normal_(generator=g),
    lambda g: tt.zeros(5).uniform_(generator=g),
]


@pytest.mark.parametrize("draw", DRAWS)
def test_a_seed_repeats_a_draw_and_another_does_not(draw: Any) -> None:
    tt.manual_seed(1)
    once, after = draw(None).tolist(), draw(None).tolist()
    tt.manual_seed(1)
    assert draw(None).tolist() == once != after
    tt.manual_seed(2)
    assert draw(None).tolist() != once


@pytest.mark.parametrize("draw", DRAWS)
def test_a_generator_has_a_stream_of_its_own(draw: Any) -> None:
    g = tt.Generator().manual_seed(7)
    tt.manual_seed(3)
    expected_default = draw(None).tolist()
    tt.manual_seed(3)
    once = draw(g).tolist()
    assert draw(None).tolist() == expected_default, "a draw from g leaves the default stream alone"
    assert draw(tt.Generator().manual_seed(7)).tolist() == once


def test_layers_and_masks_come_from_the_default_stream() -> None:
    def model() -> list[Any]:
        layer = tt.nn.Linear(3, 2)
        return [layer.weight.tolist(), tt.nn.functional.dropout(tt.ones(50)).tolist()]

    tt.manual_seed(5)
    once = model()
    tt.manual_seed(5)
    assert model() == once != model()


def test_state_round_trip() -> None:
    g = tt.Generator().manual_seed(11)
    tt.rand(3, generator=g)  # an odd number of float32 leaves half of a 64-bit word over: part of the state
    state = json.loads(json.dumps(g.get_state()))
    expected = [draw(g).tolist() for draw in DRAWS]
    g.set_state(state)
    assert [draw(g).tolist() for draw in DRAWS] == expected
    other = tt.Generator()
    other.set_state(state)
    assert [draw(other).tolist() for draw in DRAWS] == expected


def test_a_state_does_not_move_on_with_its_generator() -> None:
    g = tt.Generator().manual_seed(11)
    state = g.get_state()
    before = json.dumps(state)
    tt.rand(10, generator=g)
    assert json.dumps(state) == before


def test_initial_seed_and_seed() -> None:
    g = tt.Generator()
    assert g.manual_seed(42) is g
    assert g.initial_seed() == 42
    fresh = g.seed()
    assert g.initial_seed() == fresh != 42
    assert tt.manual_seed(9).initial_seed() == tt.initial_seed() == 9
    assert tt.Generator().initial_seed() != tt.Generator().initial_seed()


def test_the_default_generator_is_per_thread() -> None:
    tt.manual_seed(1)
    expected = [tt.rand(1).item() for _ in range(4)]
    seen: list[float] = []

    def work() -> None:
        tt.manual_seed(1)
        seen.extend(tt.rand(1).item() for _ in range(4))

    tt.manual_seed(1)
    first = [tt.rand(1).item() for _ in range(2)]
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert first + [tt.rand(1).item() for _ in range(2)] == expected == seen


# ------------------------------------------------------------------------------------------ dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dropout_scales_what_it_keeps(p: float, dtype: str) -> None:
    x = tt.ones(N, dtype=getattr(tt, dtype), requires_grad=True)
    y = tt.nn.functional.dropout(x, p)
    assert y.dtype is x.dtype
    kept = y.detach().numpy() != 0
    np.testing.assert_allclose(y.detach().numpy()[kept], 1 / (1 - p), rtol=1e-6)
    assert abs(kept.mean() - (1 - p)) < 5 * math.sqrt(p * (1 - p) / N)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())  # the same mask


@pytest.mark.parametrize("shape", [(), (0,), (1,), (7,), (3, 0), (0, 3), (3, 5), (2, 3, 4)])
def test_a_row_has_bits_of_its_own_however_a_batch_is_split(shape: tuple[int, ...]) -> None:
    def masks(rows: range, shape: tuple[int, ...]) -> list[Any]:
        seed_rows(5, rows)
        return [kept(shape, 0.5).tolist() for _ in range(2)]

    tt.manual_seed(5)
    assert kept(shape, 0.5).shape == shape
    if shape:
        n = shape[0]
        whole = masks(range(n), shape)
        for cut in range(n + 1):
            parts = zip(masks(range(cut), (cut, *shape[1:])), masks(range(cut, n), (n - cut, *shape[1:])), strict=True)
            if 0 < cut < n:
                assert [a + b for a, b in parts] == whole
    tt.manual_seed(5)  # ends it
    assert kept((100, 2), 0.5).shape == (100, 2)


def test_rows_are_independent() -> None:
    seed_rows(1, range(50))
    mask = kept((50, 4001), 0.3)
    assert abs(mask.mean() - 0.7) < 5 * math.sqrt(0.3 * 0.7 / mask.size)
    correlations = np.corrcoef(mask)[np.triu_indices(50, 1)]
    assert abs(correlations).max() < 5 / math.sqrt(4001)
    tt.manual_seed(0)


def test_dropout_at_its_ends_and_outside_of_training() -> None:
    x = tt.arange(1.0, 6.0)
    dropout = tt.nn.functional.dropout
    assert dropout(x, 0.0).tolist() == x.tolist()
    assert dropout(x, 1.0).tolist() == [0] * 5
    assert dropout(x, 0.9, training=False).tolist() == x.tolist()
    assert tt.nn.Dropout(0.9).eval()(x).tolist() == x.tolist()
    assert len({tuple(dropout(tt.ones(30)).tolist()) for _ in range(5)}) == 5, "a new mask each time"


def test_attention_dropout_drops_weights_and_scales() -> None:
    q, k, v = tt.zeros(1, 100, 4), tt.zeros(1, 100, 4), tt.eye(100).unsqueeze(0)
    weights = tt.nn.functional.scaled_dot_product_attention(q, k, v, dropout_p=0.25)[0].numpy()
    kept = weights != 0
    np.testing.assert_allclose(weights[kept], 0.01 / 0.75, rtol=1e-5)
    assert abs(kept.mean() - 0.75) < 5 * math.sqrt(0.25 * 0.75 / 10_000)


@pytest.mark.parametrize("seed", [0, 2**31, 2**63, 2**64 - 5, 3.7, -3, -(2**63)])
def test_a_seed_has_64_bits(seed: float) -> None:
    assert tt.manual_seed(seed).initial_seed() == int(seed) % 2**64
    first = tt.rand(3).tolist()
    tt.manual_seed(seed)
    assert tt.rand(3).tolist() == first
