"""explain: where a value comes from, and which numbers entered one of its elements."""

from __future__ import annotations

import gc
import inspect
import linecache
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inside_models import batch, gpt

import tinytensor as tt
from tinytensor import nn
from tinytensor.autograd import Function
from tinytensor.inside.element import Element, explain_element
from tinytensor.inside.explain import Explanation, explain_call
from tinytensor.nn import functional as F
from tinytensor.ops.linear import linear_backward, linear_forward


@pytest.fixture(scope="module")
def traced() -> tt.trace:
    model = gpt()
    x, y = batch()
    with tt.trace(model) as t:
        model(x, y)[1].backward()
    return t


def test_a_linear_layer(traced: tt.trace) -> None:
    y = traced["blocks.0.feed_forward.up"]
    e = tt.explain(y)
    assert isinstance(e, Explanation)
    assert (e.primitive, e.formula, e.module) == ("linear", "y = x Wᵀ + b", "blocks.0.feed_forward.up")
    assert [kind for _, kind in e.modules] == ["GPT", "Block", "FeedForward", "Linear"]
    for source, function in ((e.forward, linear_forward), (e.backward, linear_backward)):
        lines, first = inspect.getsourcelines(function)
        assert source is not None
        assert (source.first, source.last, source.text) == (first, first + len(lines) - 1, "".join(lines))
    assert e.lines[-1].file.endswith("model.py")
    assert "self.up(x)" in linecache.getline(e.lines[-1].file, e.lines[-1].number)
    assert [(x.name, x.kind, x.what) for x in e.inputs] == [
        ("x", "result", "of layer_norm in blocks.0.feed_forward_norm"),
        ("w", "parameter", "blocks.0.feed_forward.up.weight"),
        ("b", "parameter", "blocks.0.feed_forward.up.bias"),
    ]
    assert e.outputs[0].shape == (2, 8, 64)
    assert e.outputs[0].rms == pytest.approx(np.sqrt((y.numpy(force=True) ** 2).mean()))
    assert e.dy[0] is not None
    assert e.dy[0].high == pytest.approx(y.grad.numpy().max())
    assert e.inputs[1].gradient is not None
    assert e.inputs[1].gradient.low == pytest.approx(traced["blocks.0.feed_forward.up.weight"].grad.numpy().min())
    assert e.check is not None
    assert e.check.ok
    for word in (
        "y = x Wᵀ + b",
        "gpt/model.py:",
        "tinytensor/ops/linear.py:",
        "parameter blocks.0",
        "check",
        "right: ",
    ):
        assert word in repr(e)


def test_every_call_of_a_model_is_explained_and_right(traced: tt.trace) -> None:
    for call in traced.calls:
        e = explain_call(call)
        assert e.check is not None
        assert e.check.ok is not False, f"{call}: {e.check}"
        assert e.check.ok or "derivative" in e.check.reason or "floating" in e.check.reason, f"{call}: {e.check}"
        assert call.primitive.name in repr(e)
        for which, output in enumerate(call.outputs):
            element = explain_element(call, which, (-1,) * output.ndim)
            assert element.value == pytest.approx(float(output[(-1,) * output.ndim]), nan_ok=True)


EXACT = ["blocks.0.feed_forward.up", "blocks.1", "embedding", "head", "blocks.1.attention.scores"]


@given(name=st.sampled_from(EXACT), seed=st.integers(0, 10**6))
def test_the_parts_of_an_element_add_up(traced: tt.trace, name: str, seed: int) -> None:
    x = traced[name]
    at = tuple(map(int, np.unravel_index(seed % x.numel(), tuple(x.shape))))
    element = tt.explain(x, index=at)
    assert isinstance(element, Element)
    value = float(x.numpy(force=True)[at])
    assert element.value == pytest.approx(value, nan_ok=True)
    if np.isfinite(value):
        assert element.adds_up
        total = sum(p.contribution for p in element.parts) + element.rest
        assert abs(total - value) <= 1e-6 * sum(abs(p.contribution) for p in element.parts)  # the value is in float32
    sizes = [abs(p.contribution) for p in element.parts]
    assert sizes == sorted(sizes, reverse=True)
    assert repr(element) == repr(tt.explain(x)[at])


def test_the_largest_product_comes_first(traced: tt.trace) -> None:
    x, w = traced["blocks.0.feed_forward.up.input"], traced["blocks.0.feed_forward.up.weight"]
    products = x.numpy(force=True)[1, 2] * w.numpy(force=True)[5]
    k = int(np.argmax(np.abs(products)))
    first = tt.explain(traced["blocks.0.feed_forward.up"])[1, 2, 5].parts[0]
    assert first.what == f"x[1, 2, {k}] · w[5, {k}]"
    assert first.contribution == pytest.approx(products[k])


def test_batches_that_broadcast_in_a_product() -> None:
    with tt.trace() as t:
        y = tt.randn(3, 1, 2, 4) @ tt.randn(5, 4, 2)
    element = tt.explain(y)[2, 4, 1, 0]
    a, b = t.calls[0].inputs
    assert element.parts[0].contribution == pytest.approx(max(a[2, 0, 1] * b[4, :, 0], key=abs))
    assert element.parts[0].what.startswith("a[2, 0, 1, ")
    assert "b[4, " in element.parts[0].what


def test_first_order_parts_are_derivatives_times_values(traced: tt.trace) -> None:
    y = traced["blocks.1.feed_forward.activation"]
    x = traced["blocks.1.feed_forward.activation.input"].numpy(force=True)
    at = tuple(map(int, np.unravel_index(np.argmax(np.abs(x)), x.shape)))
    element = tt.explain(y)[at]
    (part,) = element.parts

    def gelu(v: float) -> float:
        return float(F.gelu(tt.tensor(v, dtype=tt.float64), approximate="tanh").item())

    v = float(x[at])
    slope = (gelu(v + 1e-5) - gelu(v - 1e-5)) / 2e-5
    assert part.contribution == pytest.approx(slope * v, rel=1e-6)
    assert not element.adds_up
    assert "need not add up" in repr(element)


def test_words_of_layer_norm_softmax_and_cross_entropy(traced: tt.trace) -> None:
    norm = repr(tt.explain(traced["norm"])[0, 0, 0])
    assert "x̂ = (x − mean) · rstd" in norm
    assert "· w" in norm
    with tt.trace() as t:
        w = tt.tensor([1.0, 2.0, 3.0]).softmax(0)
        loss = F.cross_entropy(tt.tensor([[0.0, 1.0], [2.0, 0.0], [1.0, 1.0]]), tt.tensor([1, 1, -100]))
    assert "e^(−1) = 0.3679" in repr(tt.explain(w)[1])
    element = tt.explain(loss)[()]
    assert [p.what for p in element.parts] == ["row 1, target 1", "row 0, target 1"]  # the third is ignored
    assert element.parts[0].contribution == pytest.approx(np.log(1 + np.exp(2)) / 2)
    assert len(t.calls) >= 2


def test_what_no_number_moves() -> None:
    with tt.trace() as t:
        y = tt.tensor([1.5, 2.5]).floor()
        b = tt.tensor([1, 2]) + 1
    assert "nothing moves it" in repr(tt.explain(y)[0])
    assert "nothing moves it" in repr(tt.explain(b)[1])
    assert t.calls


def test_numbers_that_are_not_finite() -> None:
    with tt.trace() as t:
        y = tt.tensor([1.0, float("nan"), float("inf"), 0.5]).exp()
        z = tt.tensor([0.0, 1.0]).log()
    check = tt.explain(y).check
    assert check.ok
    assert check.elements == 2
    assert [p.what for p in tt.explain(y)[3].parts] == ["x[3]"]
    assert "derivatives are nan, as 0 · ∞ is" in repr(tt.explain(y)[3])
    assert "log[0] = −∞" in repr(tt.explain(z)[0])
    assert tt.explain(y).outputs[0].infinite == 2
    assert t.calls


BAD: list[tuple[Any, str]] = [
    ((0, 0), "an element of (2, 8, 64) has 3 indices, not 2"),
    ((0, 8, 0), "index 8 is out of range for dimension 1 of size 8"),
    ((0, 0, -65), "index -65 is out of range for dimension 2 of size 64"),
    ((0, slice(2), 0), "an element has a whole number for each dimension"),
    (1.5, "an element has a whole number for each dimension"),
]


@pytest.mark.parametrize("index, message", BAD)
def test_indices_that_are_no_element(traced: tt.trace, index: Any, message: str) -> None:
    with pytest.raises(IndexError) as caught:
        tt.explain(traced["blocks.0.feed_forward.up"])[index]
    assert message in str(caught.value)


def test_what_is_no_tensor() -> None:
    with pytest.raises(TypeError, match=r"^explain takes a Tensor, not ndarray$"):
        tt.explain(np.ones(2))


# ------------------------------------------------------------------------------------------ without a call


def test_without_a_trace_the_tape_is_explained() -> None:
    x = tt.ones(2, requires_grad=True)
    y = x.exp() * 2
    e = tt.explain(y)
    assert (e.primitive, e.call, e.check) == ("mul_scalar", None, None)
    assert [str(i) for i in e.inputs] == ["result of exp"]
    assert "with tinytensor.trace() as t:" in repr(e)
    with pytest.raises(ValueError, match="its numbers were not kept"):
        e[0]
    y.sum().backward()
    assert "its backward has run" in repr(tt.explain(y))
    assert "a leaf that wants a gradient, of (2,)" in repr(tt.explain(x))
    assert "a constant" in repr(tt.explain(tt.ones(2)))


def test_calls_live_as_long_as_the_trace() -> None:
    x = tt.ones(2)
    with tt.trace() as t:
        y = x * 2
    assert tt.explain(y).call is t.calls[0]
    del t
    gc.collect()
    assert tt.explain(y).call is None


def test_a_kept_loss_keeps_no_other_call() -> None:
    model = gpt()
    x, y = batch()
    with tt.trace(model) as t:
        loss = model(x, y)[1]
        loss.backward()
    calls = [weakref.ref(call) for call in t.calls]
    assert t.calls[-1].sources[0] in t.calls
    del t
    gc.collect()
    assert [c().primitive.name for c in calls if c() is not None] == ["cross_entropy"]
    assert "result of a call that was not watched" in repr(tt.explain(loss))


class Double(Function):
    @staticmethod
    def forward(ctx: Any, x: tt.Tensor) -> tt.Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, dy: tt.Tensor) -> tt.Tensor:
        return dy * 2


def test_a_function_with_its_own_derivative() -> None:
    with tt.trace() as t:
        y = Double.apply(tt.ones(2, requires_grad=True))
    e = tt.explain(y)
    assert e.primitive == "Double"
    assert e.forward is not None
    assert e.backward is not None
    assert (e.forward.name, e.backward.name) == ("forward", "backward")
    assert "return dy * 2" in e.backward.text
    assert "its numbers are those of a <call of mul_scalar" in repr(e)
    y.sum().backward()
    assert tt.explain(y).primitive == "Double"
    assert t.calls


def test_in_place_results_views_and_several_outputs() -> None:
    with tt.trace() as t:
        x = tt.ones(4, requires_grad=True)
        y = x * 2
        y.add_(3.0)
        a, b = y.split(2)
        v = b.view(2, 1)
        (v.sum() + a.sum()).backward()
    assert tt.explain(y).primitive == "add_scalar"
    assert tt.explain(y).check.ok
    assert [p.what for p in tt.explain(b)[1].parts] == ["x[3]"]
    assert "output 1 (this one)" in repr(tt.explain(b))
    assert tt.explain(v).primitive == "reshape"
    assert tt.explain(v).inputs[0].what == "of split"
    detached = tt.explain(y.detach())
    assert t.calls
    assert detached.call is None or "detached" in repr(detached)


def test_overwritten_values_are_said() -> None:
    with tt.trace() as t:
        x = tt.ones(3)
        y = x * 2
    assert t.calls
    y.add_(1.0)
    text = repr(tt.explain(y))
    assert "was overwritten in place since" in text
    assert "not checked" in text
    assert "overwritten" in repr(tt.explain(y)[0])


def test_a_detached_alias_is_explained_by_its_memory() -> None:
    with tt.trace() as t:
        y = tt.ones(3, requires_grad=True) * 2
        z = y.detach()
    assert t.calls
    e = tt.explain(z)
    assert e.primitive == "mul_scalar"
    assert "no gradient flows back" in repr(e)


def test_frozen_parameters_and_constants_are_told_apart() -> None:
    model = nn.Linear(2, 2)
    model.weight.requires_grad_(False)
    with tt.trace(model) as t:
        y = model(tt.ones(1, 2))
    assert [x.kind for x in tt.explain(y).inputs] == ["constant", "parameter", "parameter"]
    assert [x.wanted for x in tt.explain(y).inputs] == [False, False, True]
    assert t.calls


@pytest.mark.parametrize("dtype", [tt.float16, tt.float64])
def test_other_precisions(dtype: tt.dtype) -> None:
    with tt.trace() as t:
        x = tt.randn(4, 6).to(dtype).requires_grad_()
        y = x.softmax(-1)
        (y * y).sum().backward()
    assert len(t.calls) > 2
    e = tt.explain(y)
    assert e.check.ok, str(e.check)
    assert e[1, 2].value == float(y.numpy(force=True)[1, 2])


def test_html_is_escaped_and_has_no_script() -> None:
    hostile = type("<script>alert(1)</script>", (nn.Linear,), {})
    model = nn.Sequential(hostile(2, 2))
    with tt.trace(model) as t:
        y = model(tt.ones(1, 2))
        y.sum().backward()
    assert t.calls
    for page in (tt.explain(y)._repr_html_(), tt.explain(y)[0, 1]._repr_html_()):
        assert "<script" not in page
        assert "color:" not in page.replace("border-color:", "")  # so that it reads on light and dark pages
    assert "&lt;script&gt;" in tt.explain(y)._repr_html_()
    assert "def linear_forward(" in tt.explain(y)._repr_html_()
