"""What must hold whatever the numbers: linearity, transposes, round trips, causality, invariances, conserved sums."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from grouped import by_name, over
from hypothesis import given
from hypothesis import strategies as st
from profiles import cases

import gpt.rotary_samples  # noqa: F401  (a model may add primitives of its own)
import tinytensor as tt
from gpt.build import build
from gpt.config import GPTConfig
from gpt.model import GPT
from gpt.rotary import rotary
from tinytensor import tape
from tinytensor.gradcheck.samples import SAMPLES
from tinytensor.gradcheck.table import Sample, forward, play
from tinytensor.nn import functional as F
from tinytensor.primitive import PRIMITIVES, Primitive

shapes = st.lists(st.integers(0, 4), min_size=1, max_size=4).map(tuple)
lengths = st.integers(1, 6)
seeds = st.integers(0, 2**32 - 1)
ROUNDING = 1e-12  # float64: sums of a few dozen terms of the order of 1, each good to 1e-16


def rows(*names: str) -> Any:
    """Parametrize a test by the rows of samples.py, of all primitives or of some, at kinks excepted."""
    cases = {
        f"{name}-{i}": (PRIMITIVES[name], sample)
        for name in names or SAMPLES
        for i, sample in enumerate(SAMPLES[name])
        if sample.smooth
    }
    return over("primitive, sample", cases, by_name)


def leaf(*shape: int, seed: int = 0) -> tt.Tensor:
    return tt.tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


def dot(x: Any, y: Any) -> float:
    return sum(float((np.asarray(a) * np.asarray(b)).sum()) for a, b in zip(x, y, strict=True))


def pull(primitive: Primitive, sample: Sample, dys: list[np.ndarray]) -> list[np.ndarray | None]:
    """The backward of a fresh forward (it may overwrite what that saved), at dys."""
    return play(primitive, sample.arrays, sample.static, dys)[1]


def output_shapes(primitive: Primitive, sample: Sample) -> list[tuple[int, ...]]:
    return [y.shape for y in forward(primitive, sample.arrays, sample.static)]


# -------------------------------------------------------------------------------------------- linearity


@rows()
def test_backward_is_linear_in_dy(primitive: Primitive, sample: Sample) -> None:
    rng = np.random.default_rng(1)
    u, v = ([rng.standard_normal(s) for s in output_shapes(primitive, sample)] for _ in range(2))
    both = pull(primitive, sample, [2.5 * a - 0.75 * b for a, b in zip(u, v, strict=True)])
    each = (pull(primitive, sample, dys) for dys in (u, v))
    for got, a, b in zip(both, *each, strict=True):
        assert (got is None) == (a is None) == (b is None)
        if got is not None:
            np.testing.assert_allclose(got, 2.5 * a - 0.75 * b, rtol=ROUNDING, atol=ROUNDING)


LINEAR = [
    "add", "sub", "neg", "mul_scalar", "div_scalar", "where", "copy", "cast", "sum", "cumsum", "reshape", "permute",
    "expand", "cat", "split", "roll", "flip", "tril", "triu", "getitem", "setitem", "gather", "embedding", "dropout",
    "rotary",
]  # fmt: skip


@rows(*LINEAR)
def test_backward_is_the_transpose_of_a_linear_forward(primitive: Primitive, sample: Sample) -> None:
    """<A x, y> = <x, Aᵀ y>, where Aᵀ y is computed at another point than x: it depends on no values."""
    rng = np.random.default_rng(2)
    xs = [rng.standard_normal(np.shape(a)) for a in sample.arrays]
    ys = [rng.standard_normal(s) for s in output_shapes(primitive, sample)]
    transposed = pull(primitive, sample, ys)
    left = dot(forward(primitive, xs, sample.static), ys)
    assert left == pytest.approx(dot(xs, transposed), rel=ROUNDING, abs=ROUNDING)


@cases(50)
@given(shapes, st.data())
def test_sum_and_expand_are_each_others_transpose(shape: tuple[int, ...], data: st.DataObject) -> None:
    x = leaf(*shape)
    x.sum().backward()
    assert tt.equal(x.grad, tt.ones_like(x))
    dims = data.draw(st.lists(st.integers(-len(shape), len(shape) - 1), min_size=1, unique_by=lambda d: d % len(shape)))
    y = x.sum(dims, keepdim=True)
    seed = leaf(*y.shape, seed=1).detach()
    (dx,) = tt.autograd.grad(y, x, seed)
    assert tt.equal(dx, seed.expand(*shape))
    wide = seed.clone().requires_grad_()
    (dy,) = tt.autograd.grad(wide.expand(*shape), wide, x.detach())
    np.testing.assert_allclose(dy.array, y.detach().array, rtol=ROUNDING, atol=ROUNDING)


# ------------------------------------------------------------------------------------------ round trips


def assert_identity(x: tt.Tensor, y: tt.Tensor) -> None:
    """y is x again, and so is the gradient."""
    assert tt.equal(y, x)
    weights = leaf(*x.shape, seed=3).detach()
    (dx,) = tt.autograd.grad(y, x, weights)
    assert tt.equal(dx, weights)


def shares(x: tt.Tensor, y: tt.Tensor) -> bool:
    return np.shares_memory(x.array, y.array) or 0 in (x.numel(), y.numel())


@cases(50)
@given(shapes, st.data())
def test_permutations_and_shapes_are_undone(shape: tuple[int, ...], data: st.DataObject) -> None:
    x = leaf(*shape)
    order = data.draw(st.permutations(range(len(shape))))
    i, j = (data.draw(st.integers(-len(shape), len(shape) - 1)) for _ in range(2))
    for there, back in [
        (lambda t: t.permute(order), lambda t: t.permute([order.index(d) for d in range(len(shape))])),
        (lambda t: t.transpose(i, j), lambda t: t.transpose(i, j)),
        (lambda t: t.movedim(i, j), lambda t: t.movedim(j, i)),
        (lambda t: t.unsqueeze(i), lambda t: t.squeeze(i - 1 if i < 0 else i) if i >= 0 else t.reshape(shape)),
        (lambda t: t.flatten(), lambda t: t.view(shape)),
        (lambda t: t.reshape(*reversed(shape)), lambda t: t.view(*shape)),
    ]:
        y = there(x)
        assert shares(y, x)
        assert shares(back(y), x)
        assert_identity(x, back(y))
    for twice in (lambda t: t.flip(i), lambda t: t.mT.mT if t.ndim > 1 else t * 1):
        assert_identity(x, twice(twice(x)))
    assert_identity(x, x.roll(2, i).roll(-2, i))


@cases(50)
@given(shapes, st.data())
def test_what_is_cut_can_be_joined(shape: tuple[int, ...], data: st.DataObject) -> None:
    x = leaf(*shape)
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    n = shape[dim]
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=3)))
    sections = np.diff([0, *cuts, n]).tolist()
    size = data.draw(st.integers(1, 5))
    for pieces in (x.split(sections, dim), x.split(size, dim), x.chunk(size, dim)):
        assert all(shares(p, x) for p in pieces)
        assert_identity(x, tt.cat(pieces, dim))
    slices = x.unbind(dim)
    assert len(slices) == n
    assert all(shares(s, x) for s in slices)
    if n:
        assert_identity(x, tt.stack(slices, dim))
        assert_identity(x, tt.stack([x.movedim(dim, 0)[i] for i in range(n)], dim))


VIEWS = [
    "x.view(6)", "x.reshape(3, 2)", "x.t()", "x.T", "x.mT", "x.permute(1, 0)", "x.transpose(0, 1).reshape(6)", "x[0]",
    "x[:, 1:]", "x[None, ..., ::2]", "x[[0]]", "x[x > 0]", "x.expand(4, 2, 3)", "x.split(1)[1]", "x.chunk(2, 1)[0]",
    "x.unbind(1)[2]", "list(x)[0]", "x.flip(0)", "x.roll(1)", "x.contiguous()", "x.t().contiguous()", "x.detach()",
    "x.data", "x.clone()", "x.flatten()", "x.t().flatten()", "x.unsqueeze(0)", "x[:1].squeeze(0)", "x.movedim(0, 1)",
    "x.to(t.float32)", "x.float()", "x.double()", "x.cpu()", "x.repeat(1, 1)", "x.tril()", "x + 0", "x.view_as(x)",
    "x.expand_as(x)", "x.t()[1:].t()", "x.t().reshape(2, 3)", "x[:, :2].reshape(4)", "x[:, :2].reshape(2, 2, 1)",
    "t.cat([x])", "t.stack([x])", "x.masked_fill(x > 9, 0.0)", "t.as_tensor(x)", "x.gather(0, (x * 0).long())",
    "t.einsum('ij->ji', x)", "x.max(0).values", "x.type_as(x)", "t.nn.functional.dropout(x, 0.5, False)",
]  # fmt: skip


@pytest.mark.parametrize("expression", VIEWS)
def test_memory_is_shared_where_pytorch_shares_it(expression: str) -> None:
    torch = pytest.importorskip("torch")
    sharing = []
    for t in (torch, tt):
        x = t.arange(6.0).view(2, 3)
        y = eval(expression, {"t": t, "x": x})
        sharing.append(np.shares_memory(x.numpy(), y.numpy()))
    assert sharing[1] == sharing[0]


@rows()
def test_what_shares_memory_with_a_leaf_cannot_be_written_to(primitive: Primitive, sample: Sample) -> None:
    xs = [None if a is None else tt.tensor(a, requires_grad=True) for a in sample.arrays]
    ys = tape.apply(primitive, *xs, **sample.static)
    for y in ys if isinstance(ys, tuple) else [ys]:
        if any(x is not None and np.shares_memory(x.array, y.array) for x in xs):
            with pytest.raises(RuntimeError, match=r"view of a leaf|one of several outputs"):
                y.fill_(0)


# -------------------------------------------------------------------------------------------- causality


@cases(40)
@given(st.integers(1, 3), lengths, lengths, st.sampled_from(["float32", "float64"]), st.data())
def test_attention_is_causal(heads: int, length: int, width: int, dtype: str, data: st.DataObject) -> None:
    """Bit for bit: what comes later enters with weight 0, not with a small one."""
    t = data.draw(st.integers(0, length - 1))
    rng = np.random.default_rng(length)
    q, k, v = (rng.standard_normal((2, heads, length, width)).astype(dtype) for _ in range(3))
    inputs = [tt.tensor(x, requires_grad=True) for x in (q, k, v)]
    before = F.scaled_dot_product_attention(*inputs, is_causal=True)
    before[..., t, :].sum().backward()
    for x in inputs:
        assert not x.grad[..., t + 1 :, :].array.any()
    assert inputs[2].grad[..., : t + 1, :].array.all()
    for x in (q, k, v):
        x[..., t:, :] = 10 * rng.standard_normal(x[..., t:, :].shape)
    after = F.scaled_dot_product_attention(*map(tt.tensor, (q, k, v)), is_causal=True).numpy()
    np.testing.assert_array_equal(after[..., :t, :], before.detach().numpy()[..., :t, :])
    assert not np.array_equal(after[..., t:, :], before.detach().numpy()[..., t:, :])


TINY = GPTConfig(vocab_size=12, context=6, width=8, layers=2, heads=2)


@pytest.mark.parametrize("positions", ["rotary", "learned"])
@pytest.mark.parametrize("t", range(6))
def test_the_model_is_causal(positions: str, t: int) -> None:
    """Position s has character s, so row s of the embedding's gradient is that of position s alone."""
    model = GPT(dataclasses.replace(TINY, positions=positions))
    for p in model.parameters():
        tt.nn.init.normal_(p, std=0.5)  # as it begins, a block is the identity
    ids = np.arange(6)[None]
    changed = np.where(np.arange(6) >= t, ids + 6, ids)
    before, after = (model(tt.from_numpy(x))[0].detach().numpy()[0] for x in (ids, changed))
    np.testing.assert_array_equal(after[:t], before[:t])
    assert not any(np.array_equal(after[s], before[s]) for s in range(t, 6))
    model(tt.from_numpy(ids))[0][0, t].sum().backward()
    gradient = model.embedding.weight.grad.array
    assert gradient[: t + 1].any(axis=1).all()
    assert not gradient[t + 1 :].any()
    if positions == "learned":
        assert not model.position_embedding.weight.grad.array[t + 1 :].any()


@cases(30)
@given(lengths, lengths, seeds)
def test_attention_without_a_mask_does_not_see_the_order_of_keys(length: int, width: int, seed: int) -> None:
    q, k, v = (leaf(length, width, seed=s).detach() for s in range(3))
    order = tt.from_numpy(np.random.default_rng(seed).permutation(length))
    y, z = F.scaled_dot_product_attention(q, k, v), F.scaled_dot_product_attention(q, k[order], v[order])
    np.testing.assert_allclose(z.array, y.array, rtol=ROUNDING, atol=ROUNDING)


# --------------------------------------------------------------------------------- probabilities, losses


@cases(50)
@given(lengths, st.integers(1, 9), st.floats(-500, 500), st.floats(1e-3, 50), seeds)
def test_softmax_sums_to_one_and_does_not_see_a_shift(n: int, c: int, shift: float, scale: float, seed: int) -> None:
    x = leaf(n, c, seed=seed) * scale
    shifted = x + shift  # which rounds x to 500 · 1e-16
    for function in (F.softmax, F.log_softmax):
        y, z = function(x, -1).detach().array, function(shifted, -1).detach().array
        np.testing.assert_allclose(z, y, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(F.softmax(x, -1).sum(-1).detach().array, 1, rtol=ROUNDING)
    np.testing.assert_allclose(F.log_softmax(x, -1).exp().sum(-1).detach().array, 1, rtol=ROUNDING)
    (dx,) = tt.autograd.grad(F.softmax(x, -1), x, leaf(n, c, seed=1).detach())
    np.testing.assert_allclose(dx.sum(-1).array, 0, atol=ROUNDING)  # a shift is no direction


@cases(50)
@given(lengths, st.integers(1, 9), seeds, st.sampled_from(["mean", "sum", "none"]))
def test_cross_entropy_is_minus_log_softmax_at_the_target(n: int, c: int, seed: int, reduction: str) -> None:
    x = leaf(n, c, seed=seed)
    target = np.random.default_rng(seed).integers(0, c, n)
    target[1:] = np.where(np.random.default_rng(seed + 1).random(n - 1) < 0.2, -100, target[1:])
    kept = target >= 0
    each = -F.log_softmax(x, 1).detach().array[np.arange(n), target * kept] * kept
    expected = {"none": each, "sum": each.sum(), "mean": each.sum() / kept.sum()}[reduction]
    loss = F.cross_entropy(x, tt.from_numpy(target), reduction=reduction)
    np.testing.assert_allclose(loss.detach().array, expected, rtol=ROUNDING, atol=ROUNDING)
    loss.sum().backward()
    np.testing.assert_allclose(x.grad.sum(1).array, 0, atol=ROUNDING)
    assert not x.grad.array[~kept].any()
    onehot = np.eye(c)[target * kept] * kept[:, None]
    dx = (F.softmax(x, 1).detach().array * kept[:, None] - onehot) / (kept.sum() if reduction == "mean" else 1)
    np.testing.assert_allclose(x.grad.array, dx, rtol=ROUNDING, atol=ROUNDING)


LOGITS_VARIANCE = {  # of a fresh model: logits of variance v cost ln V + v / 2, the mean of ln Σ eˣ over normal x
    ("gpt", "gpt2", False): 128 * 0.02**2,  # a normalised vector of 128 by weights of N(0, 0.02²)
    ("gpt", "gpt2", True): 128 * 0.02**2,
    ("gpt", "fan-in", False): 1.0,  # by weights of N(0, 1/128): docs/recipe.md says why it begins so
    ("bigram", "fan-in", False): 1 / 3,  # N(0, 1) by uniform weights of variance 1 / (3 · 128)
}


@pytest.mark.parametrize("positions", ["rotary", "learned"])
@pytest.mark.parametrize("model, init, tied", LOGITS_VARIANCE)
def test_the_loss_of_a_fresh_model(model: str, init: str, tied: bool, positions: str) -> None:
    """Within 0.05: over 2,048 predictions of logits with deviation v^½ the mean has deviation (v / 2048)^½ = 0.02."""
    config = GPTConfig(vocab_size=65, model=model, init=init, tied=tied, positions=positions, context=64, width=128)
    ids = np.random.default_rng(0).integers(0, 65, (32, 65))
    with tt.no_grad():
        _, loss = build(config)(tt.from_numpy(ids[:, :-1].copy()), tt.from_numpy(ids[:, 1:].copy()))
    variance = LOGITS_VARIANCE[model, init, tied]
    assert loss.item() == pytest.approx(math.log(65) + variance / 2, abs=0.05)


# --------------------------------------------------------------------------------- layers and gradients


@cases(50)
@given(lengths, st.integers(2, 9), st.floats(-9, 9), st.floats(0.1, 10), seeds)
def test_layer_norm_does_not_see_shift_and_scale(n: int, c: int, shift: float, scale: float, seed: int) -> None:
    """So its gradient is orthogonal to both: Σ dx = 0, and, without ε, Σ dx·x = 0."""
    x, weight, bias = leaf(n, c, seed=seed), leaf(c, seed=1), leaf(c, seed=2)
    y = F.layer_norm(x, (c,), weight, bias, eps=0.0)
    moved = F.layer_norm(x * scale + shift, (c,), weight, bias, eps=0.0)
    spread = x.detach().array.std(-1).min()
    tolerance = 1e-13 * (1 + 10 / spread) ** 2  # two numbers close together lose digits when centred
    np.testing.assert_allclose(moved.detach().array, y.detach().array, rtol=tolerance, atol=tolerance)
    plain = F.layer_norm(x, (c,), eps=0.0).detach().array
    np.testing.assert_allclose([plain.mean(-1), plain.var(-1)], [[0] * n, [1] * n], atol=tolerance)
    y.backward(leaf(n, c, seed=3).detach())
    dx = x.grad.array
    np.testing.assert_allclose([dx.sum(-1), (dx * x.detach().array).sum(-1)], 0, atol=tolerance * 10)


@cases(30)
@given(st.integers(2, 9), st.integers(1, 5).map(lambda n: 2 * n), seeds)
def test_rotary_products_depend_on_the_distance_alone(length: int, width: int, seed: int) -> None:
    q, k = (leaf(width, seed=seed + i).detach() for i in range(2))
    turned = [rotary(x.expand(length, width).contiguous()).array for x in (q, k)]
    products = turned[0] @ turned[1].T  # (T, T), the same along each diagonal
    np.testing.assert_allclose(products[1:, 1:], products[:-1, :-1], rtol=1e-11, atol=1e-11)
    assert products[0, 0] == pytest.approx((q * k).sum().item(), rel=ROUNDING, abs=ROUNDING)
    assert not np.allclose(products[0, 1], products[0, 0])
    np.testing.assert_allclose(np.linalg.norm(turned[0], axis=1), np.linalg.norm(q.array), rtol=ROUNDING)


@cases(20)
@given(st.floats(0.05, 0.95), seeds)
def test_dropout_keeps_the_mean(p: float, seed: int) -> None:
    """An element is 0 or 1/(1−p): mean 1, deviation (p / (1−p))^½. Six deviations of the mean: one in 10⁹ runs."""
    tt.manual_seed(seed)
    n = 20_000
    y = F.dropout(tt.ones(n, dtype=tt.float64), p).array
    assert set(np.unique(y)) <= {0, 1 / (1 - p)}
    assert abs(y.mean() - 1) < 6 * math.sqrt(p / (1 - p) / n)


@cases(40)
@given(shapes, st.integers(1, 2000), st.integers(1, 4), seeds)
def test_embedding_is_a_product_with_one_hot_rows(shape: tuple[int, ...], v: int, c: int, seed: int) -> None:
    """Up to 1,024 rows its backward is such a product, beyond them sums over sorted runs."""
    ids = tt.from_numpy(np.random.default_rng(seed).integers(0, v, shape))
    weight = leaf(v, c, seed=seed)
    one, two = F.embedding(ids, weight), F.one_hot(ids, v).double() @ weight
    np.testing.assert_allclose(one.detach().array, two.detach().array, rtol=ROUNDING, atol=ROUNDING)
    dy = leaf(*shape, c, seed=1).detach()
    (a,), (b,) = tt.autograd.grad(one, weight, dy), tt.autograd.grad(two, weight, dy)
    np.testing.assert_allclose(a.array, b.array, rtol=ROUNDING, atol=ROUNDING)


@cases(40)
@given(st.lists(shapes, min_size=1, max_size=4), st.floats(0.01, 10), st.sampled_from([1.0, 2.0, 3.0, math.inf]))
def test_clipped_gradients_keep_their_direction(sizes: list[tuple[int, ...]], bound: float, p: float) -> None:
    sizes = [tuple(max(n, 1) for n in shape) for shape in sizes]
    parameters = [leaf(*shape, seed=i) for i, shape in enumerate(sizes)]
    for x in parameters:
        (x * x).sum().backward()
    flat = np.concatenate([x.grad.array.ravel() for x in parameters])
    norm = tt.nn.utils.clip_grad_norm_(parameters, bound, p).item()
    clipped = np.concatenate([x.grad.array.ravel() for x in parameters])
    assert norm == pytest.approx(np.linalg.norm(flat, p), rel=ROUNDING)
    assert np.linalg.norm(clipped, p) == pytest.approx(min(norm, bound), rel=1e-6 / min(norm, 1) + ROUNDING)
    np.testing.assert_allclose(clipped * norm, flat * np.linalg.norm(clipped, p), rtol=ROUNDING, atol=ROUNDING)


@cases(40)
@given(lengths, lengths, lengths, seeds)
def test_products_transpose_associate_and_are_einsums(n: int, k: int, m: int, seed: int) -> None:
    a, b, c = leaf(n, k, seed=seed), leaf(k, m, seed=seed + 1), leaf(m, n, seed=seed + 2)
    seed_y = leaf(n, n, seed=3).detach()
    results = []
    for y in ((a @ b) @ c, a @ (b @ c), (c.t() @ (b.t() @ a.t())).t(), tt.einsum("ij,jk,kl->il", a, b, c)):
        gradients = tt.autograd.grad(y, [a, b, c], seed_y)
        results.append([y.detach().array, *(g.array for g in gradients)])
    for other in results[1:]:
        for x, y in zip(other, results[0], strict=True):
            np.testing.assert_allclose(x, y, rtol=ROUNDING, atol=ROUNDING)
