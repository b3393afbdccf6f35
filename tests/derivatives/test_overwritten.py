"""An input or a result that is overwritten before the backward: each primitive refuses where PyTorch does, or is right."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from grouped import by_name, over

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


@over("name, i", {f"{name}-{i}": (name, i) for name, i in ROWS}, by_name)
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


# ----------------------------------------------------------------------- elements that share their memory

NAMES = "abs exp expm1 log log2 log10 log1p sqrt rsqrt square reciprocal sin cos tanh sigmoid relu erf sign floor ceil"
ALONE = [*NAMES.split(), "trunc", "neg", "round", "zero", "tril", "triu", "logical_not"]
NUMBERS = ["add", "sub", "mul", "div", "pow", "floor_divide", "remainder", "eq", "ne", "lt", "le", "gt", "ge"]
TENSORS = ["copy", "logical_and", "logical_or", "logical_xor"]


def rows(t: Any, x: Any, n: int, value: float = 2.0) -> Any:
    """n rows of the width of x."""
    return t.full((n, x.shape[1]), value, dtype=x.dtype)


WRITES: dict[str, Callable[[Any, Any], Any]] = {
    **{name: lambda t, x, n=name: getattr(x, f"{n}_")() for name in ALONE},
    **{f"{name} number": lambda t, x, n=name: getattr(x, f"{n}_")(2) for name in [*NUMBERS, "fill"]},
    **{f"{name} Tensor": lambda t, x, n=name: getattr(x, f"{n}_")(rows(t, x, len(x))) for name in NUMBERS + TENSORS},
    **{f"{name} itself": lambda t, x, n=name: getattr(x, f"{n}_")(x) for name in NUMBERS + TENSORS},
    "clamp": lambda t, x: x.clamp_(0, 1),
    "fill Tensor": lambda t, x: x.fill_(t.tensor(2.0, dtype=x.dtype)),
    "masked_fill": lambda t, x: x.masked_fill_(x > 1, 7.0),
    "masked_fill Tensor": lambda t, x: x.masked_fill_(x > 1, t.tensor(7.0)),
    "masked_fill nothing": lambda t, x: x.masked_fill_(x > 9, 7.0),
    "masked_fill beside nan": lambda t, x: x.masked_fill_(t.ones(len(x), 1, dtype=t.bool), math.nan).masked_fill_(
        x > 1, 2.0
    ),
    "index_fill": lambda t, x: x.index_fill_(0, t.tensor([0]), 7.0),
    "index_fill columns": lambda t, x: x.index_fill_(1, t.tensor([0]), 7.0),
    "index_fill Tensor": lambda t, x: x.index_fill_(0, t.tensor([0]), t.tensor(7.0)),
    "index_add": lambda t, x: x.index_add_(0, t.tensor([0]), rows(t, x, 1)),
    "index_copy": lambda t, x: x.index_copy_(0, t.tensor([0]), rows(t, x, 1)),
    "scatter": lambda t, x: x.scatter_(0, t.zeros(1, x.shape[1], dtype=t.int64), rows(t, x, 1)),
    "scatter number": lambda t, x: x.scatter_(0, t.zeros(1, x.shape[1], dtype=t.int64), 2.0),
    "scatter_add": lambda t, x: x.scatter_add_(0, t.zeros(1, x.shape[1], dtype=t.int64), rows(t, x, 1)),
    "cumsum": lambda t, x: x.cumsum_(0),
    "lerp": lambda t, x: x.lerp_(rows(t, x, len(x)), 0.3),
    "addcmul": lambda t, x: x.addcmul_(rows(t, x, len(x)), rows(t, x, len(x))),
    "addcdiv": lambda t, x: x.addcdiv_(rows(t, x, len(x)), rows(t, x, len(x))),
    "addmm": lambda t, x: x.addmm_(rows(t, x, len(x))[:, :1], rows(t, x, 1)),
    "elu": lambda t, x: t.nn.functional.elu_(x),
    "x[0:1]": lambda t, x: x.__setitem__(slice(0, 1), 7.0),
    "x[:, 0]": lambda t, x: x.__setitem__((slice(None), 0), 7.0),
    "x[0, 0]": lambda t, x: x.__setitem__((0, 0), 7.0),
    "x[0] of a Tensor": lambda t, x: x.__setitem__(0, rows(t, x, 1)[0]),
    "x[[0]]": lambda t, x: x.__setitem__([0], 7.0),
    "x[mask]": lambda t, x: x.__setitem__(x > 1, 7.0),
    "x[:]": lambda t, x: x.__setitem__(slice(None), 7.0),
}
SHARED: dict[str, Callable[[Any, Any], Any]] = {
    "rows": lambda t, x: x[:1].expand(2, 3),
    "columns": lambda t, x: x[:, :1].expand(2, 3),
    "all": lambda t, x: x[0, 0].expand(2, 3),
    "one of the rows": lambda t, x: x[:1].expand(2, 3)[1:],
    "turned": lambda t, x: x[:1].expand(2, 3).t(),
    "nothing": lambda t, x: x[:1].expand(2, 3)[:, :0],
    "a size of 1": lambda t, x: x[:1, :1].expand(1, 1),
}


def written(t: Any, write: str, memory: str, of: str) -> Any:
    """x, the memory that it is a view of, and the gradient of that; or the kind of the error."""
    leaf = t.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype=t.float64, requires_grad=of == "result")
    base = leaf * 1
    x = SHARED[memory](t, base)
    try:
        WRITES[write](t, x)
        if x.requires_grad:  # some that are recorded PyTorch refuses only here
            base.sum().backward()
    except (RuntimeError, IndexError, TypeError) as error:
        return "outside" if isinstance(error, NotImplementedError) else type(error).__name__
    return [x.tolist(), base.tolist(), [] if leaf.grad is None else leaf.grad.tolist()]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("of", ["constant", "result"])
def test_a_write_to_elements_that_share_memory_is_refused_where_pytorch_refuses_it(write: str, of: str) -> None:
    for memory in SHARED:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch announces that it will refuse more of them
            theirs = written(torch, write, memory, of)
        ours = written(tt, write, memory, of)
        if ours == "outside" or isinstance(theirs, str):
            assert ours in ("outside", theirs), memory
            continue
        assert not isinstance(ours, str), f"PyTorch accepts {memory}: {theirs}"
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, err_msg=memory)
