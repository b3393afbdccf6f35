"""Attention: the range of its exponentials, and the layout of its heads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from samples import normal

import tinytensor as tt
from tinytensor.gradcheck import table
from tinytensor.gradcheck.table import play
from tinytensor.nn import functional as F
from tinytensor.ops.attention import ATTENTION, weights


def qkv(T: int, S: int | None = None, batch: tuple[int, ...] = (), D: int = 4, dtype: str = "float64") -> list[Any]:
    return [normal(*batch, n, D, seed=i).astype(dtype) for i, n in enumerate([T, S or T, S or T])]


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
        found = weights(a.copy(), False)
        beside = weights(np.concatenate([0 * a[:1], a[1:-1], a[-1:] + 2 * largest * np.eye(1, 7, 3, a.dtype)]), False)
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
        np.testing.assert_allclose(weights(a.copy(), False), torch.from_numpy(a).softmax(-1), rtol=1e-15)


# -------------------------------------------------------------------------------------------------- layout


def test_heads_that_were_split_are_merged_without_a_copy() -> None:
    T = 5
    qkv = tt.randn(2, T, 3 * 4).split(4, 2)
    q, k, v = (x.view(2, T, 2, 2).transpose(1, 2) for x in qkv)
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    assert y.transpose(1, 2).is_contiguous()
