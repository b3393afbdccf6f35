"""Attention in blocks: which calls take it, what it keeps, and that it is attention; and the range of its exponentials."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor.gradcheck import table
from tinytensor.gradcheck.sample import normal
from tinytensor.gradcheck.table import LIMITS, Sample, play
from tinytensor.nn import functional as F
from tinytensor.nn.functional import CAUSAL_IN_BLOCKS, IN_BLOCKS
from tinytensor.ops.attention import ATTENTION
from tinytensor.ops.attention_speed import softmax_rows, transposed
from tinytensor.ops.blockwise_attention import BLOCKWISE_ATTENTION
from tinytensor.primitive import Primitive

both = pytest.mark.parametrize("causal", [False, True])


def qkv(T: int, S: int | None = None, batch: tuple[int, ...] = (), D: int = 4, dtype: str = "float64") -> list[Any]:
    return [normal(*batch, n, D, seed=i).astype(dtype) for i, n in enumerate([T, S or T, S or T])]


def sample(T: int, S: int, causal: bool) -> Sample:
    def in_pytorch(q: Any, k: Any, v: Any) -> Any:
        import torch

        return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=0.5)

    return Sample(tuple(qkv(T, S, (2,))), in_pytorch, {"scale": 0.5, "causal": causal})


def run(primitive: Primitive, arrays: list[Any], causal: bool) -> tuple[Any, list[Any]]:
    """The output and the gradients of its sum."""
    inputs = arrays if primitive is BLOCKWISE_ATTENTION else [*arrays, None]
    ys, dxs = play(primitive, inputs, {"scale": 0.5, "causal": causal}, [np.ones_like(arrays[0])])
    return ys[0], dxs[:3]


# ------------------------------------------------------------------------------------------ which calls


def recorded(*shapes: tuple[int, ...], **how: Any) -> str:
    q, k, v = (tt.ones(shape, requires_grad=True) for shape in shapes)
    return str(F.scaled_dot_product_attention(q, k, v, **how).grad_fn.primitive.name)


@pytest.mark.parametrize("causal, n", [(True, CAUSAL_IN_BLOCKS), (False, IN_BLOCKS)])
def test_long_sequences_are_attended_in_blocks(causal: bool, n: int) -> None:
    assert recorded((2, n, 1), (2, n + 1, 1), (2, n + 1, 1), is_causal=causal) == "blockwise_attention"
    assert recorded((2, n + 1, 1), (2, n, 1), (2, n, 1), is_causal=causal) == "blockwise_attention"
    assert recorded((2, n - 1, 1), (2, n, 1), (2, n, 1), is_causal=causal) == "attention"
    assert recorded((2, n, 1), (2, n - 1, 1), (2, n - 1, 1), is_causal=causal) == "attention"


def test_what_blocks_cannot_do_is_done_without_them() -> None:
    n = (IN_BLOCKS, 1)
    assert recorded(n, n, n, attn_mask=tt.ones(1, IN_BLOCKS)) == "attention"
    assert recorded(n, n, n, dropout_p=0.5) == "attention"
    for batches in [(2, 1, 1), (1, 2, 2), (1, 1, 2)]:
        assert recorded(*((b, *n) for b in batches)) == "attention"


def test_sizes_that_do_not_fit_are_refused_at_any_length() -> None:
    n = IN_BLOCKS
    with pytest.raises(RuntimeError, match=r"blockwise_attention: shapes .* do not fit; what fits: q \(…, T, D\), k"):
        recorded((n, 2), (n + 1, 2), (n, 2))
    with pytest.raises(RuntimeError, match="blockwise_attention: shapes"):
        recorded((n, 2), (n, 3), (n, 3))
    with pytest.raises(ValueError, match="a span of 6 is not a multiple of a block of 4"):
        BLOCKWISE_ATTENTION.forward(*qkv(9), scale=1.0, causal=True, block=4, span=6)
    with pytest.raises(ValueError, match="differ in their batches, or k and v in their lengths"):
        BLOCKWISE_ATTENTION.forward(*(np.ones((b, 9, 2)) for b in (2, 1, 1)), scale=1.0, causal=True)


# ------------------------------------------------------------------------------------------ what is kept


def saved_bytes(primitive: Primitive, T: int) -> int:
    arrays = qkv(T) if primitive is BLOCKWISE_ATTENTION else [*qkv(T), None]
    return table.saved_bytes(primitive, Sample(tuple(arrays), print, {"scale": 0.5, "causal": True}))


def test_blocks_keep_inputs_output_and_a_number_for_each_query() -> None:
    for T in (300, 600, 1200):
        assert saved_bytes(BLOCKWISE_ATTENTION, T) == 8 * T * (4 * 4 + 1)
    assert saved_bytes(ATTENTION, 600) > 3 * saved_bytes(ATTENTION, 300)


def peak(primitive: Primitive, T: int, causal: bool) -> int:
    arrays = qkv(T, dtype="float32")
    tracemalloc.start()
    try:
        run(primitive, arrays, causal)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@both
def test_memory_of_blocks_grows_with_the_length_and_not_its_square(causal: bool) -> None:
    peak(BLOCKWISE_ATTENTION, 300, causal)  # the mask's tiles are kept from the first time on
    assert peak(BLOCKWISE_ATTENTION, 2048, causal) < 2.1 * peak(BLOCKWISE_ATTENTION, 1024, causal)
    assert peak(ATTENTION, 1024, causal) > 3.5 * peak(ATTENTION, 512, causal)


# ------------------------------------------------------------------------------------- that it is attention


@both
@pytest.mark.parametrize("T, S", [(300, 300), (130, 523), (523, 130)])
def test_many_blocks_are_attention(T: int, S: int, causal: bool) -> None:
    """By its composed form, and by PyTorch; the lengths are no multiples of a block."""
    assert table.composed(BLOCKWISE_ATTENTION, sample(T, S, causal)) <= LIMITS["composed"]
    pytest.importorskip("torch")
    assert table.pytorch(BLOCKWISE_ATTENTION, sample(T, S, causal)) <= LIMITS["pytorch"]


@both
def test_many_blocks_in_float32_are_within_a_few_rounding_errors(causal: bool) -> None:
    assert table.ulps(BLOCKWISE_ATTENTION, sample(300, 300, causal)) <= LIMITS["ulps"]


@both
def test_scores_may_grow_from_span_to_span(causal: bool) -> None:
    """e^a alone would overflow, and what was summed first counts for nothing in the end."""
    q, k, v = qkv(600)
    k *= np.linspace(0, 400, 600)[:, None]
    for found, wanted in zip(
        [*run(BLOCKWISE_ATTENTION, [q, k, v], causal)[1]], [*run(ATTENTION, [q, k, v], causal)[1]], strict=True
    ):
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-10 * np.abs(wanted).max())


@pytest.mark.parametrize("t", [0, 31, 32, 100, 255, 256, 299])
def test_blocks_are_causal(t: int) -> None:
    """Bit for bit, as attention is."""
    arrays = qkv(300, dtype="float32")
    before, _ = run(BLOCKWISE_ATTENTION, arrays, True)
    for x in arrays:
        x[t:] = 10 * normal(*x[t:].shape, seed=9)
    after, _ = run(BLOCKWISE_ATTENTION, arrays, True)
    np.testing.assert_array_equal(after[:t], before[:t])
    assert (after[t:] != before[t:]).any(-1).all()


@pytest.mark.parametrize("primitive", [ATTENTION, BLOCKWISE_ATTENTION])
def test_float16(primitive: Primitive) -> None:
    """Where the sum of a row's exponentials is soon out of range, and 600 of them not far from it."""
    arrays = qkv(600, dtype="float16")
    exact, dexact = run(ATTENTION, [x.astype("float64") for x in arrays], True)
    y, dxs = run(primitive, arrays, True)
    np.testing.assert_allclose(y, exact, rtol=0, atol=4e-3)
    for dx, wanted in zip(dxs, dexact, strict=True):
        assert dx.dtype == np.float16
        np.testing.assert_allclose(dx, wanted, rtol=0, atol=1e-2 * np.abs(wanted).max())


# ----------------------------------------------------------------------------- the range of exponentials


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("size", [0.1, 0.5, 0.9, 1.0, 1.1, 50])  # as a part of what e^a can stand
def test_weights_stand_scores_of_any_size(dtype: str, size: float) -> None:
    """Above the first of the row and below; and a row does not see, in any bit, whether another one is out of range."""
    largest = float(np.log(np.finfo(dtype).max))
    a = 3 * normal(5, 7)
    a[:, 3:] += np.array([[0], [1], [-1], [0.1], [-0.1]]) * size * largest
    a = a.astype(dtype)
    wide = a.astype(np.float64)
    wanted = np.exp(wide - wide.max(-1, keepdims=True))
    wanted /= wanted.sum(-1, keepdims=True)
    with np.errstate(all="ignore"):
        found = softmax_rows(a.copy(), False)
        beside = softmax_rows(
            np.concatenate([0 * a[:1], a[1:-1], a[-1:] + 2 * largest * np.eye(1, 7, 3, a.dtype)]), False
        )
    assert found.dtype == beside.dtype == dtype
    rounding = float(np.finfo(dtype).eps) * largest  # of a score that is just in range, when the first is taken off
    np.testing.assert_allclose(found, wanted, rtol=0, atol=rounding)
    np.testing.assert_array_equal(found[1:-1], beside[1:-1])


def test_a_number_added_to_all_scores_of_a_row_changes_nothing() -> None:
    q, k, v = qkv(5)
    shift = np.array([0, 300, -300, 1000, -1000])[:, None] + np.zeros((5, 5))
    static, u = {"scale": 0.5, "causal": False}, [normal(5, 4, seed=3)]
    plain, shifted = (play(ATTENTION, [q, k, v, mask], static, u) for mask in (np.zeros((5, 5)), shift))
    assert table.worst(shifted, plain) <= 1e-12  # a score of 1000 is good to 1e-13


def test_weights_of_what_is_not_finite_are_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    inf, nan = np.inf, np.nan
    a = np.array([[inf, 1, 2], [nan, 1, 2], [-inf, 1, 2], [-inf, -inf, 800], [0.0, 1, 2]])
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(softmax_rows(a.copy(), False), torch.from_numpy(a).softmax(-1), rtol=1e-15)


# -------------------------------------------------------------------------------------------------- layout


@pytest.mark.parametrize("T", [5, CAUSAL_IN_BLOCKS])
def test_heads_that_were_split_are_merged_without_a_copy(T: int) -> None:
    qkv = tt.randn(2, T, 3 * 4).split(4, 2)
    q, k, v = (x.view(2, T, 2, 2).transpose(1, 2) for x in qkv)
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    assert y.transpose(1, 2).is_contiguous()


def test_rows_that_overflow_are_found_in_any_batch() -> None:
    a = normal(2, 3, 5, 7).astype("float32")
    a[1, 2, 3, 4] += 1000  # one row of thirty
    wanted = np.exp(a.astype("float64") - a.max(-1, keepdims=True))
    wanted /= wanted.sum(-1, keepdims=True)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(softmax_rows(a, masked=False), wanted, rtol=1e-5, atol=1e-30)


@pytest.mark.parametrize("rows, matrix, copied", [
    (32, (64, 64), True), (31, (64, 64), False), (32, (64, 65), False), (33, (4096, 1), True), (32, (4097, 1), False),
])  # fmt: skip
def test_the_right_side_of_a_product_is_copied_where_that_pays(
    rows: int, matrix: tuple[int, int], copied: bool
) -> None:
    x = np.arange(float(2 * matrix[0] * matrix[1])).reshape(2, *matrix)
    xt = transposed(x, rows)
    assert np.array_equal(xt, x.swapaxes(-1, -2))
    assert np.shares_memory(xt, x) is not copied
    assert xt.flags.c_contiguous or not copied
