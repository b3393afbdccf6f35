"""trace: values by name, their gradients, edits; and the calls that a watch sees."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import inside_models
import numpy as np
import pytest
from inside_models import batch

import tinytensor as tt
from tinytensor import nn
from tinytensor.inside.watch import Call, Observer, call_of, observed
from tinytensor.modes import thread
from tinytensor.nn import functional as F


def gpt(**options: object) -> nn.Module:
    return inside_models.gpt(**options).double()


@pytest.mark.parametrize("options", [{}, {"positions": "learned", "tied": True}, {"kv_heads": 2, "qk_norm": True}])
def test_a_traced_model_computes_the_same(options):
    model = gpt(**options)
    x, y = batch()
    logits, loss = model(x, y)
    loss.backward()
    plain = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    with tt.trace(model) as t:
        traced, loss = model(x, y)
        loss.backward()
    assert np.allclose(traced.numpy(force=True), logits.numpy(force=True), rtol=1e-12, atol=1e-12)
    for name, g in plain.items():
        assert np.allclose(t[name].grad.numpy(), g.numpy(), rtol=1e-9, atol=1e-12), name
    assert t["output.0"] is traced and t["blocks.1"] is t["blocks.1.output"]


def test_every_value_has_its_gradient():
    """The gradient of a value by central differences: add a small change to it by an edit, and look at the loss."""
    model = gpt()
    x, y = batch()
    with tt.trace(model) as t:
        model(x, y)[1].backward()
    rng = np.random.default_rng(2)
    names = [
        n for n in t.values if t[n].requires_grad and "input" not in n and n[:6] != "output"
    ]  # inputs have other uses
    assert {"blocks.0.attention.weights", "blocks.1.attention.scores", "blocks.0.feed_forward.activation.output"} <= {
        *names
    }
    for name in names:
        direction = rng.standard_normal(t[name].shape)
        small = tt.tensor(1e-5 * direction)
        finite = np.isfinite(t[name].numpy(force=True))
        losses = []
        for change in (small, -small):
            with tt.trace(model, calls=False) as again:
                again.edit(name, partial(tt.add, other=change))
                losses.append(model(x, y)[1].item())
        numeric = (losses[0] - losses[1]) / 2e-5
        exact = float((t[name].grad.numpy() * direction)[finite].sum())
        assert exact == pytest.approx(numeric, rel=1e-5, abs=1e-8), name


def test_weights_are_those_of_the_fused_operation():
    q, k, v = (tt.randn(2, 3, 5, 4, dtype=tt.float64) for _ in range(3))
    fused = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    with tt.trace() as t:
        traced = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    w = t["weights"].numpy()
    assert np.allclose(w.sum(-1), 1) and not np.triu(w, 1).any()
    assert np.allclose(w @ v.numpy(), fused.numpy()) and np.allclose(traced.numpy(), fused.numpy(), atol=1e-14)


def test_an_ablated_head_adds_nothing():
    """The same as a projection whose columns for that head are zero."""
    model = gpt()
    x, _ = batch()
    with tt.trace(model) as t:
        t.ablate("blocks.1.attention", head=2)
        ablated = model(x)[0]
    with tt.no_grad():
        model.blocks[1].attention.projection.weight[:, 8:12] = 0
    assert np.allclose(ablated.numpy(force=True), model(x)[0].numpy(force=True), atol=1e-13)
    assert not t["blocks.1.attention.weights"].numpy(force=True)[:, 2].any()


def test_a_patched_value_takes_the_way_of_the_other_text():
    """Patched after the last block, the model says what it says for the other text; at one position, for that alone."""
    model = gpt()
    x, other = batch()[0], batch()[0].flip(1)
    with tt.trace(model) as t:
        theirs = model(other)[0]
    for index, same in ((..., slice(None)), ((slice(None), 3), 3)):
        with tt.trace(model) as edited:
            edited.patch("blocks.1", t["blocks.1"].detach()[index], index)
            ours = model(x)[0]
        assert np.array_equal(ours.numpy(force=True)[:, same], theirs.numpy(force=True)[:, same])
        with tt.trace(model) as edited:  # the other trace itself
            edited.patch("blocks.1", t, index)
            assert (model(x)[0] == ours).all()
    assert not np.allclose(ours.numpy(force=True)[:, 4], theirs.numpy(force=True)[:, 4])
    with tt.trace(model) as edited:  # an array of another precision takes that of the value
        edited.patch("blocks.1", t["blocks.1"].numpy(force=True).astype(np.float32))
        assert np.allclose(model(x)[0].numpy(force=True), theirs.numpy(force=True), atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"norm": "rms"}])
def test_a_frozen_norm_is_linear(options):
    model = gpt(**options)
    x, _ = batch()
    with tt.trace(model) as t:
        logits = model(x)[0]
    with tt.trace(model) as frozen:
        frozen.freeze("norm", like=t)
        assert np.allclose(
            model(x)[0].numpy(force=True), logits.numpy(force=True), atol=1e-13
        )  # the same input: the same output

    def with_input(scale: float) -> np.ndarray:
        with tt.trace(model) as frozen:
            frozen.edit("blocks.1", lambda v: v * scale)
            frozen.freeze("norm", like=t)
            return model(x)[0].numpy(force=True)

    one, two, three = (with_input(s) for s in (1.0, 2.0, 3.0))
    assert np.allclose(three - two, two - one, atol=1e-12) and not np.allclose(two, one)


def test_a_module_that_is_called_twice():
    layer = nn.Linear(3, 3)
    model = nn.Sequential(layer, nn.Tanh(), layer)
    with tt.trace(model) as t:
        model(tt.ones(2, 3)).sum().backward()
    assert t["0#2"] is t["0.output#2"] is not t["0"] and t["0.input#2"] is t["1"]
    with tt.trace(model) as edited:
        edited.patch("0#2", 5.0)
        assert (model(tt.ones(2, 3)) == 5).all()


def test_what_is_said_of_wrong_names_and_values():
    model = gpt()
    x, _ = batch()

    def refused(edit: Callable[[tt.trace], object], kind: type[Exception], message: str) -> None:
        with pytest.raises(kind, match=message):
            traced(edit)

    def traced(edit: Callable[[tt.trace], object]) -> None:
        with tt.trace(model) as t:
            edit(t)
            model(x)

    refused(
        lambda t: t.patch("blocks.0.atention", 0.0),
        KeyError,
        r"^an edit met no value: 'blocks.0.atention' is no .* blocks.0.att",
    )
    refused(
        lambda t: t["a"], KeyError, r"^'a' is no name of a value: there are none yet; call the model inside of `with`$"
    )
    refused(lambda t: t.patch("head.weight", 0.0), ValueError, r"^head.weight is a parameter: change it itself")
    refused(lambda t: t.freeze("blocks.0"), ValueError, r"^blocks.0 is no LayerNorm or RMSNorm")
    refused(
        lambda t: t.edit("norm", lambda v: v[0]),
        ValueError,
        r"^the edit of norm.output must return a Tensor of \(2, 8, 16\)",
    )
    assert thread.mode.watch is None and not any(m._hooks for m in model.modules())


FILES = ["operands.py", "arithmetic.py", "test_trace.py"]


class Seen(Observer):
    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.played: list[Call] = []

    def forward(self, call: Call) -> None:
        self.calls.append(call)

    def backward(self, call: Call) -> None:
        self.played.append(call)


def test_a_call_knows_its_lines_its_arrays_and_its_gradients():
    seen = Seen()
    a, b = tt.tensor([1.0, 2.0], requires_grad=True), tt.tensor([3.0, 4.0], requires_grad=True)
    with observed(seen):
        line = inspect.currentframe().f_lineno + 1
        y = a * b
        y.sum().backward()
    assert [c.primitive.name for c in seen.calls] == ["mul", "sum"] and seen.played == seen.calls[::-1]
    call = seen.calls[0]
    assert (call.line.file, call.line.number) == (__file__, line) and [
        Path(each.file).name for each in call.lines
    ] == FILES
    assert call.inputs[0] is a.array and call.output is y.array and call_of(y) is call and call_of(a) is None
    assert call.dy.tolist() == [1, 1] and [g.tolist() for g in call.gradients] == [[3, 4], [1, 2]]
    assert call.again(*call.inputs).tolist() == [3, 8]
    assert call.is_intact()
    b.data[0] = 9.0
    assert not call.is_intact()


def test_gradients_of_a_call_are_its_own():
    """A value that is used often adds up in place; what each backward returned stays as it was."""
    seen = Seen()
    x = tt.tensor([2.0], requires_grad=True)
    with observed(seen):
        y = x * 1.0
        (y * 1 + y * 2 + y * 3 + y * 4).backward(retain_graph=True)
        (y * 5).backward()
    own = [float(c.gradients[0][0]) for c in seen.played if c.inputs[0] is y.array]
    assert sorted(own) == [1, 2, 3, 4, 5] and x.grad.item() == 15


def test_observers_of_one_thread_see_the_same_and_other_threads_are_not_seen():
    one, two = Seen(), Seen()
    with observed(one):
        tt.ones(2) + 1
        with observed(two):
            tt.ones(2) * 2
            other = threading.Thread(target=lambda: tt.ones(2) - 3)
            other.start()
            other.join()
        tt.ones(2) / 4
    assert [len(one.calls), len(two.calls)] == [3, 1] and one.calls[1] is two.calls[0]
    assert thread.mode.watch is None
    before = len(one.calls)
    tt.ones(2) + 1
    assert len(one.calls) == before


def test_several_outputs_and_modules():
    model = nn.Sequential(nn.Linear(4, 4), nn.GELU())
    with tt.trace(model) as t:
        a, b = model(tt.ones(2, 4)).split(2, 1)
        (a.sum() + 2 * b.sum()).backward()
    split = next(c for c in t.calls if c.primitive.name == "split")
    assert call_of(a) is call_of(b) is split and [d.flat[0] for d in split.dy] == [1, 2]
    assert [w.path for w in t.calls[0].within] == ["", "0"] and t.calls[0].path == "0" and split.within == ()
