"""Where results lie in memory, beside PyTorch: of inputs that are permuted, sliced, expanded, in any combination.

Only what a program can see is compared: the strides of dimensions with more than one element.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import cases

import tinytensor as tt

torch = pytest.importorskip("torch")

Make = Callable[[Any], Any]  # of a library, a Tensor


@st.composite
def tensor(draw: st.DrawFn, shape: list[int], expanded: bool) -> Make:
    """One that broadcasts to the shape, or is expanded to it, in memory of any order, perhaps with gaps."""
    own = [draw(st.sampled_from([n, n, 1])) for n in shape] if expanded else shape
    order = draw(st.permutations(range(len(shape))))
    gap = draw(st.sampled_from([1, 1, 2]))
    dtype = draw(st.sampled_from(["float32", "int64"]))

    def make(t: Any) -> Any:
        x = t.ones([own[d] * gap for d in order], dtype=getattr(t, dtype))
        x = x.permute([order.index(d) for d in range(len(order))])
        x = x[tuple(slice(None, None, gap) for _ in order)]
        return x.expand(shape) if expanded else x

    return make


shapes = st.lists(st.integers(2, 4), min_size=1, max_size=4)


def strides(y: Any) -> list[int]:
    return [step for step, n in zip(y.detach().numpy().strides, y.shape, strict=True) if n > 1]


def assert_alike(function: Callable[[Any], Any]) -> None:
    theirs, ours = function(torch), function(tt)
    assert strides(ours) == strides(theirs)
    assert ours.is_contiguous() == theirs.is_contiguous()


PAIRS: list[Callable[[Any, Any, Any], Any]] = [
    *(lambda t, a, b, o=o: o(a, b) for o in (operator.add, operator.sub, operator.mul, operator.truediv, operator.pow)),
    *(lambda t, a, b, o=o: o(a, b) for o in (operator.floordiv, operator.mod, operator.lt, operator.eq, operator.ge)),
    lambda t, a, b: t.maximum(a, b),
    lambda t, a, b: t.logical_and(a, b),
    lambda t, a, b: t.logical_xor(a, b.double()),
    lambda t, a, b: t.bitwise_or(a.bool(), b.bool()),
    lambda t, a, b: a.bool().__rand__(b.bool()),
    lambda t, a, b: a.__rtruediv__(b),
    lambda t, a, b: t.where(t.ones(1, dtype=t.bool), a, b),
    lambda t, a, b: t.addcmul(a.float(), b.float(), a.float()),
    lambda t, a, b: t.addcdiv(a.float(), b.float(), a.float()),
    lambda t, a, b: t.lerp(a.float(), b.float(), 0.5),
    lambda t, a, b: t.clamp(a, b),
]


@pytest.mark.parametrize("function", PAIRS)
@given(data=st.data())
@cases(30)
def test_of_two_inputs_the_first_that_tells_decides(function: Callable[[Any, Any, Any], Any], data: Any) -> None:
    shape = data.draw(shapes)
    a, b = (data.draw(tensor(shape, data.draw(st.booleans()))) for _ in "ab")
    assert_alike(lambda t: function(t, a(t), b(t)))


EACH: list[Callable[[Any, Any], Any]] = [
    *(
        lambda t, x, n=n: getattr(x, n)()
        for n in ("abs", "exp", "log", "sqrt", "tanh", "sigmoid", "relu", "erf", "neg", "sign")
    ),
    *(
        lambda t, x, n=n: getattr(x, n)()
        for n in ("floor", "isnan", "isinf", "isfinite", "logical_not", "square", "rsqrt")
    ),
    *(lambda t, x, o=o: o(x, 2) for o in (operator.add, operator.sub, operator.mul, operator.truediv, operator.pow)),
    *(lambda t, x, o=o: o(x, 2) for o in (operator.floordiv, operator.mod, operator.lt, operator.eq, operator.ge)),
    *(lambda t, x, o=o: o(2, x) for o in (operator.sub, operator.truediv, operator.pow)),
    lambda t, x: x.clamp(0, 1),
    lambda t, x: x.masked_fill(t.zeros(1, dtype=t.bool), 2.0),
    *(lambda t, x, n=n: getattr(t.nn.functional, n)(x) for n in ("gelu", "silu", "elu", "softplus", "leaky_relu")),
    lambda t, x: t.nn.functional.gelu(x, approximate="tanh"),
    lambda t, x: t.nn.functional.dropout(x, 0.5),
    lambda t, x: x.index_fill(0, t.tensor([0]), 2.0),
]


@pytest.mark.parametrize("function", EACH)
@given(data=st.data())
@cases(40)
def test_of_one_input(function: Callable[[Any, Any], Any], data: Any) -> None:
    x = data.draw(tensor(data.draw(shapes), data.draw(st.booleans())))
    assert_alike(lambda t: function(t, x(t).float()))
    assert_alike(lambda t: function(t, expanded(t, x(t).float())))


def expanded(t: Any, x: Any) -> Any:
    """x, expanded to a new dimension in the middle."""
    return x.unsqueeze(x.ndim // 2).expand(*x.shape[: x.ndim // 2], 3, *x.shape[x.ndim // 2 :])


COPIES: list[Callable[[Any, Any], Any]] = [
    lambda t, x: x.clone(),
    lambda t, x: x.double(),
    lambda t, x: x.bool(),
    lambda t, x: x.to(t.float16),
    lambda t, x: x.double().sigmoid().half(),
    lambda t, x: t.zeros_like(x),
    lambda t, x: x.flip(0),
    lambda t, x: t.nn.functional.pad(x, (-1, 0)),
    lambda t, x: t.nn.functional.pad(x, ()),
    lambda t, x: t.nn.functional.logsigmoid(x.double()),
]


@pytest.mark.parametrize("function", COPIES)
@given(data=st.data())
@cases(60)
def test_copies(function: Callable[[Any, Any], Any], data: Any) -> None:
    x = data.draw(tensor(data.draw(shapes), data.draw(st.booleans())))
    assert_alike(lambda t: function(t, x(t)))


ROW_MAJOR: list[Callable[[Any, Any], Any]] = [
    *(lambda t, x, n=n: getattr(x, n)(0) for n in ("all", "any", "sum", "amax", "argmin", "prod", "cumsum")),
    *(lambda t, x, n=n: getattr(x.double(), n)(0) for n in ("mean", "var", "logsumexp", "softmax")),
    lambda t, x: x.max(0)[0],
    lambda t, x: x.double() @ t.ones(x.shape[-1], 2).double() if x.ndim > 1 else x,
    lambda t, x: t.ones(2, x.shape[-2]).double() @ x.double() if x.ndim > 1 else x,
    lambda t, x: t.nn.functional.pad(x, (1, 0)) if x.ndim != 4 else x,  # 4 may be PyTorch's channels_last
]


@pytest.mark.parametrize("function", ROW_MAJOR)
@given(data=st.data())
@cases(8)
def test_all_other_results(function: Callable[[Any, Any], Any], data: Any) -> None:
    x = data.draw(tensor(data.draw(shapes), data.draw(st.booleans())))
    assert_alike(lambda t: function(t, x(t)))


@pytest.mark.parametrize("name", ["float", "double", "half", "int", "long", "byte", "bool"])
def test_a_cast_to_its_own_dtype_returns_the_tensor(name: str) -> None:
    """In any memory format: also where it does not lie so."""
    for t in (torch, tt):
        x = getattr(t.ones(2, 6), name)()[:, ::2]
        assert getattr(x, name)(memory_format=t.contiguous_format) is x
        assert x.to(x.dtype, memory_format=t.contiguous_format) is x


def test_overlapping_memory() -> None:
    """Strides that are equal: the larger dimension lies closer."""
    for shape in ((5, 6, 2), (6, 5, 2)):
        theirs = torch.ones(40).as_strided(shape, (1, 1, 7))
        ours = tt.from_numpy(theirs.numpy())
        for y, z in ((ours.clone(), theirs.clone()), (ours + tt.ones(shape), theirs + torch.ones(shape))):
            assert strides(y) == strides(z)
