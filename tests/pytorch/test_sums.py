"""All that adds up, in growing lengths, beside float64: its error is at most a few times that of PyTorch on the same data.

A matrix x (n, 3) or (3, n) is summed over its n, in row-major and in transposed memory. Added one by one, 0.1 thirty
thousand times is wrong by hundreds of rounding errors in float32; in float16 it stops at 256.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytensor as tt

torch = pytest.importorskip("torch")

Function = Callable[[Any, Any, int], Any]  # of a library, a matrix, and the dimension that is summed over
LENGTHS = {"float32": (10, 1_000, 30_000), "float16": (10, 1_000, 20_000)}
TIMES, ULPS = 4, 16  # our error is at most 4 times PyTorch's, plus 16 rounding errors


def F(t: Any) -> Any:
    return t.nn.functional


def gradient(function: Function) -> Function:
    """The gradient of x in Σ function(x)·weights; the weights differ, so that it does not vanish."""

    def call(t: Any, x: Any, d: int) -> Any:
        x = x.detach().clone().requires_grad_()
        y = function(t, x, d)
        weights = np.linspace(0.5, 1, y.numel()).reshape(tuple(y.shape))
        y.backward(t.from_numpy(weights).to(y.dtype))
        return x.grad

    return call


def of_operand(function: Callable[[Any, Any], Any]) -> Function:
    """The gradient of an operand of size 1 that was broadcast along d, for dy = x."""

    def call(t: Any, x: Any, d: int) -> Any:
        b = x.narrow(d, 0, 1).detach().clone().requires_grad_()
        function(x, b).backward(x)
        return b.grad

    return call


def of_parameter(shape: tuple[int, ...], function: Callable[[Any, Any, Any], Any]) -> Function:
    """The gradient of a parameter that meets each of the n rows of x, for dy = x."""

    def call(t: Any, x: Any, d: int) -> Any:
        p = t.ones(shape, dtype=x.dtype).requires_grad_()
        rows = x.transpose(d, 0)
        function(t, rows, p).backward(rows)
        return p.grad

    return call


def row(t: Any, x: Any, i: int = 1) -> Any:
    """For each row of x the position i."""
    return t.full((x.shape[0],), i, dtype=t.int64)


def grid(t: Any, x: Any, i: int = 1) -> Any:
    return t.full(tuple(x.shape), i, dtype=t.int64)


def clipped(t: Any, x: Any, d: int) -> Any:
    p = t.nn.Parameter(x.clone())
    p.grad = x.clone()
    return t.nn.utils.clip_grad_norm_([p], 1e9)


OVER_ROWS = {
    "dw of layer_norm": of_parameter((3,), lambda t, x, w: F(t).layer_norm(x, (3,), w)),
    "db of layer_norm": of_parameter((3,), lambda t, x, b: F(t).layer_norm(x, (3,), t.ones(3, dtype=x.dtype), b)),
    "dw of rms_norm": of_parameter((3,), lambda t, x, w: F(t).rms_norm(x, (3,), w)),
    "dw of linear": of_parameter((3, 3), lambda t, x, w: F(t).linear(x, w)),
    "db of linear": of_parameter((3,), lambda t, x, b: F(t).linear(x, t.ones(3, 3, dtype=x.dtype), b)),
    "dw of matmul": of_parameter((3, 3), lambda t, x, w: x @ w),
    "dw of einsum": of_parameter((3,), lambda t, x, w: t.einsum("nk,k->nk", x, w)),
    "dw of batch_norm": of_parameter((3,), lambda t, x, w: F(t).batch_norm(x, None, None, w, training=True)),
    "dw of embedding": of_parameter((5, 3), lambda t, x, w: F(t).embedding(row(t, x), w)),
    "dw of a large embedding": of_parameter((2000, 3), lambda t, x, w: F(t).embedding(row(t, x), w)),
    "dx of an index": of_parameter((5, 3), lambda t, x, w: w[row(t, x)]),
    "dx of gather": of_parameter((5, 3), lambda t, x, w: w.gather(0, grid(t, x))),
    "dx of index_select": of_parameter((5, 3), lambda t, x, w: w.index_select(0, row(t, x))),
    "dx of repeat_interleave": of_parameter((1, 3), lambda t, x, w: w.repeat_interleave(x.shape[0], 0)),
}
OPERANDS = {
    "db of add": of_operand(lambda x, b: x + b),
    "db of sub": of_operand(lambda x, b: x - b),
    "db of mul": of_operand(lambda x, b: x * b),
    "db of div": of_operand(lambda x, b: x / (b + 1)),
    "db of maximum": of_operand(lambda x, b: (x * 0).maximum(b)),
    "db of where": of_operand(lambda x, b: (x * 0).masked_fill(x < 0, 1) + b),
    "db of expand": of_operand(lambda x, b: b.expand(x.shape)),
    "db of repeat": of_operand(lambda x, b: b.repeat(*(m // n for m, n in zip(x.shape, b.shape, strict=True)))),
}
REDUCTIONS: dict[str, Function] = {
    "sum": lambda t, x, d: x.sum(d),
    "sum of all": lambda t, x, d: x.sum(),
    "mean": lambda t, x, d: x.mean(d),
    "mean of all": lambda t, x, d: x.mean(),
    "var": lambda t, x, d: x.var(d),
    "std": lambda t, x, d: x.std(d),
    "dx of std": gradient(lambda t, x, d: x.std(d)),
    "norm 1": lambda t, x, d: x.norm(1, d),
    "norm 2": lambda t, x, d: x.norm(2, d),
    "norm 3": lambda t, x, d: x.norm(3, d),
    "norm of all": lambda t, x, d: x.norm(),
    "prod": lambda t, x, d: (1 + (x - 0.5) / 50).narrow(d, 0, min(x.shape[d], 1000)).prod(d),
    "cumsum": lambda t, x, d: x.cumsum(d),
    "dx of cumsum": gradient(lambda t, x, d: x.cumsum(d)),
    "logsumexp": lambda t, x, d: x.logsumexp(d),
    "dx of logsumexp": gradient(lambda t, x, d: x.logsumexp(d)),
    "softmax": lambda t, x, d: x.softmax(d),
    "dx of softmax": gradient(lambda t, x, d: x.softmax(d)),
    "log_softmax": lambda t, x, d: x.log_softmax(d),
    "dx of log_softmax": gradient(lambda t, x, d: x.log_softmax(d)),
    "layer_norm": lambda t, x, d: F(t).layer_norm(x.transpose(d, -1), (x.shape[d],)),
    "rms_norm": lambda t, x, d: F(t).rms_norm(x.transpose(d, -1), (x.shape[d],)),
    "batch_norm": lambda t, x, d: F(t).batch_norm(x.transpose(d, 0), None, None, training=True),
    "normalize": lambda t, x, d: F(t).normalize(x, 2, d),
    "cosine_similarity": lambda t, x, d: F(t).cosine_similarity(x, x.roll(1, d), d),
    "mse_loss": lambda t, x, d: F(t).mse_loss(x, x * 0),
    "l1_loss": lambda t, x, d: F(t).l1_loss(x, x * 0),
    "huber_loss": lambda t, x, d: F(t).huber_loss(x, x * 0),
    "binary_cross_entropy": lambda t, x, d: F(t).binary_cross_entropy(x, x.roll(1, d)),
    "with_logits": lambda t, x, d: F(t).binary_cross_entropy_with_logits(x, x.roll(1, d)),
    "cross_entropy of many classes": lambda t, x, d: F(t).cross_entropy(x.transpose(d, -1), t.tensor([1, 2, 0])),
    "cross_entropy of many rows": lambda t, x, d: F(t).cross_entropy(x.transpose(d, 0), row(t, x.transpose(d, 0))),
    "cross_entropy of probabilities": lambda t, x, d: F(t).cross_entropy(x.transpose(d, -1), x.transpose(d, -1) / 9),
    "matmul": lambda t, x, d: x.transpose(d, -1) @ x.transpose(d, 0) / 9,
    "linear": lambda t, x, d: F(t).linear(x.transpose(d, -1), x.transpose(d, -1) / 9),
    "dot": lambda t, x, d: x.select(1 - d, 1) @ (x / 9).select(1 - d, 0),
    "einsum of one": lambda t, x, d: t.einsum(("ij->j", "ij->i")[d], x),
    "einsum of two": lambda t, x, d: t.einsum(("ij,ij->j", "ij,ij->i")[d], x, x),
    "index_add": lambda t, x, d: t.zeros(2, 3, dtype=x.dtype).index_add(0, row(t, y := x.transpose(d, 0)), y),
    "scatter_add": lambda t, x, d: t.zeros(2, 3, dtype=x.dtype).scatter_add(0, grid(t, y := x.transpose(d, 0)), y),
    "attention": lambda t, x, d: F(t).scaled_dot_product_attention(*[y := x.transpose(d, 0)[None]][:0], y[:, :2], y, y),
    "clip_grad_norm_": clipped,
    **OPERANDS,
    **OVER_ROWS,
}  # fmt: skip


def error(found: Any, exact: np.ndarray, ulp: float) -> float:
    """The largest difference, in rounding errors of the largest number."""
    with np.errstate(invalid="ignore"):
        off = np.abs(np.asarray(found.detach(), np.float64) - exact).max()
    return float(off / (ulp * (np.abs(exact).max() or 1)))


@pytest.mark.parametrize("dtype", LENGTHS)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_errors_grow_as_those_of_pytorch(name: str, dtype: str) -> None:
    ulp = float(np.finfo(dtype).eps)
    for n in LENGTHS[dtype]:
        worst, usual = np.resize([[0.1], [0.3]], (n, 3)), np.random.default_rng(n).random((n, 3)) / 2
        for data in (worst, usual) if n <= 1_000 else (worst,):  # over many terms, random errors cancel
            for d, order in ((0, "C"), (0, "F"), (1, "C"), (1, "F")):
                x = np.array(data.T if d else data, dtype, order=order)  # type: ignore[call-overload]
                exact = np.asarray(REDUCTIONS[name](torch, torch.from_numpy(x.copy("K")).double(), d).detach())
                theirs, ours = (
                    error(REDUCTIONS[name](t, t.from_numpy(x.copy("K")), d), exact, ulp) for t in (torch, tt)
                )
                if not np.isfinite(theirs):  # PyTorch overflows: it adds up these in float16
                    theirs = 0.0
                assert ours <= TIMES * theirs + ULPS, f"{n} numbers along {d}, memory {order}: PyTorch {theirs}"


@pytest.mark.parametrize("shape", [(300, 7, 300), (2, 300, 300), (300, 300, 2), (300, 1, 300), (5000, 3, 5)])
def test_all_axes_in_all_memory(shape: tuple[int, ...]) -> None:
    """Sums over any dimensions of permuted, sliced, expanded and reversed arrays; 0.1 is the worst of all numbers."""
    base = np.full(shape, 0.1, np.float32)
    some = np.random.default_rng(0).random(shape, np.float32)
    for x in (base, some, some[::-1], some[:, :, ::2], some[::2], np.broadcast_to(some[:1], shape)):
        for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2), (0, 2, 1)):
            y = x.transpose(order)
            for dims in ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)):
                exact = y.sum(dims, dtype=np.float64)
                found = tt.sum(tt.from_numpy(y), dims, keepdim=len(dims) == 2)
                assert found.is_contiguous()
                assert found.ndim == (3 if len(dims) == 2 else 3 - len(dims))
                np.testing.assert_allclose(found.numpy().reshape(exact.shape), exact, rtol=16 * 2.0**-23)


@pytest.mark.parametrize("n", [100, 513, 1_000, 5_000, 30_000])
@pytest.mark.parametrize(
    ("rows", "columns"),
    [((), ()), ((), (2,)), ((2,), ()), ((1,), (1,)), ((3,), (5,)), ((9,), (40,)), ((0,), (2,)), ((2,), (0,))],
)
def test_products_of_all_lengths_in_all_memory(n: int, rows: tuple[int, ...], columns: tuple[int, ...]) -> None:
    """a @ b of matrices and vectors, row-major, transposed and sliced; for batches that broadcast as well."""
    left, right = np.full((*rows, n), 0.1, np.float32), np.full((n, *columns), 0.3, np.float32)
    exact = left.astype(np.float64) @ right.astype(np.float64)
    if not exact.size:
        assert (tt.from_numpy(left) @ tt.from_numpy(right)).shape == exact.shape
        return
    for a in in_all_memory(left):
        for b in in_all_memory(right):
            theirs, ours = (error(t.from_numpy(a) @ t.from_numpy(b), exact, 2.0**-23) for t in (torch, tt))
            assert ours <= TIMES * theirs + ULPS, f"strides {a.strides} {b.strides}: PyTorch {theirs}"
    if rows and columns:
        b = np.stack([right] * 3)
        theirs = error(torch.from_numpy(left).expand(2, 1, -1, -1) @ torch.from_numpy(b), exact, 2.0**-23)
        ours = error(tt.from_numpy(np.broadcast_to(left, (2, 1, *left.shape))) @ tt.from_numpy(b), exact, 2.0**-23)
        assert ours <= TIMES * theirs + ULPS, f"batches that broadcast: PyTorch {theirs}"


def in_all_memory(x: np.ndarray) -> list[np.ndarray]:
    return [x, np.asfortranarray(x), np.repeat(x, 2, -1)[..., ::2], np.repeat(x, 2, 0)[::2]]
