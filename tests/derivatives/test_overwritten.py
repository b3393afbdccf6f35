"""An input or a result that is overwritten before the backward: each primitive refuses where PyTorch does, or is right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import tape
from tinytensor.gradcheck.samples import SAMPLES
from tinytensor.gradcheck.table import Sample
from tinytensor.ops import load_all
from tinytensor.primitive import PRIMITIVES

torch = pytest.importorskip("torch")
load_all()

# What tinytensor refuses and PyTorch does not, for some samples, and why.
STRICTER = {
    "matmul": "PyTorch multiplies copies of operands that broadcast",
    "einsum": "PyTorch multiplies copies of permuted operands",
    "attention": "PyTorch saves scaled copies of q and k",
    "blockwise_attention": "PyTorch saves scaled copies, and the weights in place of the result",
}

ROWS = [
    (name, i) for name, samples in SAMPLES.items() for i, s in enumerate(samples) if all(np.size(a) for a in s.arrays)
]


def played(t: Any, name: str, sample: Sample, overwritten: int | None) -> list[Any] | None:
    """The gradients, with an input (by its place) or the first result (−1) overwritten; None if that is refused."""
    leaves = [None if a is None else t.tensor(a, requires_grad=a.dtype.kind == "f") for a in sample.arrays]
    xs = [x * 1 if x is not None and x.requires_grad else x for x in leaves]
    y = tape.apply(PRIMITIVES[name], *xs, **sample.static) if t is tt else sample.torch(*xs)
    ys = [y for y in (y if isinstance(y, tuple) else (y,)) if y is not None and y.requires_grad]
    if overwritten is not None:
        with t.no_grad():
            (ys[0] if overwritten == -1 else xs[overwritten]).fill_(0.37)
    try:
        t.autograd.backward(ys, [t.ones(y.shape, dtype=y.dtype) for y in ys])
    except RuntimeError as error:
        if "inplace" not in str(error):
            raise
        return None
    return [None if x is None or x.grad is None else x.grad.tolist() for x in leaves]


@pytest.mark.parametrize("name, i", ROWS)
def test_what_is_overwritten_is_refused_where_pytorch_refuses_it(name: str, i: int) -> None:
    sample = SAMPLES[name][i]
    floats = [k for k, a in enumerate(sample.arrays) if a is not None and a.dtype.kind == "f"]
    right = played(tt, name, sample, None)
    for place in [-1, *floats]:
        try:
            theirs = played(torch, name, sample, place)
        except RuntimeError as error:
            if "single memory location" not in str(error):  # an expanded result
                raise
            continue
        ours = played(tt, name, sample, place)
        assert ours is None or repr(ours) == repr(right), "used overwritten values"  # repr: nan is itself
        assert (ours is None) <= (theirs is None) or name in STRICTER, f"stricter than PyTorch: {place}"


def test_a_quotient_may_change_in_place() -> None:
    x = tt.tensor([1.0, 3.0], requires_grad=True)
    p = x / x.sum()
    p.mul_(2)
    p[0].backward()
    assert x.grad.tolist() == [0.375, -0.125]
