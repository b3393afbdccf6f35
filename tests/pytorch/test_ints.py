"""A bool is no int: where PyTorch takes whole numbers, it refuses True, or takes it as 1. So does tinytensor."""

from __future__ import annotations

from typing import Any

import pytest

import tinytensor as tt

torch = pytest.importorskip("torch")

# x is 2 × 2 × 2, i has ids; T is either library, F its nn.functional
CALLS = """
x.narrow(0, True, 1); x.narrow(0, 1, True); x.narrow(True, 0, 1); x.select(0, True); x.select(True, 0)
x.chunk(True); x.chunk(2, True); x.split(True); x.split([True, 1]); x.split(1, True); x.unbind(True)
x.cumsum(True); x.argmax(True); x.argsort(True); x.sort(True); x.topk(True); x.topk(1, True)
x.roll(True); x.roll(1, True); x.flip(True); x.flip((True,)); x.movedim(True, 0); x.transpose(True, 0)
x.unsqueeze(True); x.squeeze(True); x.squeeze((True,)); x.repeat(True, 1, 1)
x.repeat_interleave(True); x.repeat_interleave(2, True); x[0].tril(True); x[0].triu(True)
x.sum(True); x.sum((True, 0)); x.mean(True); x.prod(True); x.amax(True); x.max(True); x.min(True); x.all(True); x.any(True)
x.softmax(True); x.log_softmax(True); x.logsumexp(True); x.norm(2, True); x.var(1, True); x.std((True,))
x.view(True, 8); x.reshape(True, 8); x.flatten(True); x.flatten(0, True); x.expand(True, 2, 2, 2); x.permute(True, 0, 2)
x.gather(True, T.zeros(2, 2, 2, dtype=T.int64)); x.scatter(True, T.zeros(2, 2, 2, dtype=T.int64), 1)
x.index_select(True, i); x.index_add(True, i, x); x.index_fill(True, i, 1); x.size(True)
T.cat([x, x], True); T.stack([x, x], True); T.bincount(i, minlength=True); T.multinomial(i.float() + 1, True)
T.zeros(True); T.zeros(2, True); T.zeros((2, True)); T.ones(2, True); T.full((2, True), 1.0); T.full((2,), True)
T.eye(True); T.eye(2, True); T.arange(True); T.arange(0, True); T.linspace(0, 1, True); T.linspace(False, True, 3)
T.rand(2, True); T.randn(True); T.randint(True, (2,)); T.randint(3, (2, True)); T.randperm(True)
x.new_zeros(True); x.new_full((True,), 1); x.round(decimals=True)
F.one_hot(i, True); F.pad(x, (True, 1)); F.glu(x, True); F.normalize(x, 2, True); F.cosine_similarity(x, x, True)
F.embedding(i, x[0], True); F.layer_norm(x, (True,)); F.cross_entropy(x[0], i, ignore_index=True)
T.nn.Softmax(True)(x); T.nn.Flatten(True)(x); T.nn.Embedding(True, 3); T.nn.Embedding(2, True); T.nn.LayerNorm(True)
"""


def outcome(T: Any, call: str) -> Any:
    names = {"T": T, "F": T.nn.functional, "x": T.ones(2, 2, 2), "i": T.tensor([0, 1])}
    try:
        y = eval(call, names)
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        return next(k for k in (TypeError, ValueError, IndexError, RuntimeError) if isinstance(error, k))
    return [tuple(part.shape) for part in y] if isinstance(y, (tuple, list)) else tuple(getattr(y, "shape", ()))


@pytest.mark.parametrize("call", [call.strip() for line in CALLS.strip().splitlines() for call in line.split(";")])
def test_true_where_an_int_belongs(call: str) -> None:
    assert outcome(tt, call) == outcome(torch, call)
