"""trace in unusual use: containers and keywords, other threads, exceptions, names of children, float16, backwards again."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import threading
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn
from tinytensor.inside.watch import Observer, call_of_node, observed
from tinytensor.modes import thread
from tinytensor.nn import functional as F

Pair = namedtuple("Pair", "a b")


@dataclasses.dataclass(frozen=True)
class Output:
    a: Any
    b: Any
    about: str = ""


CONTAINERS: dict[str, tuple[Callable[[Any, Any], Any], list[str], Callable[[Any], Any]]] = {
    "tuple": (lambda a, b: (a, b), ["0", "1"], lambda y: y[1]),
    "named tuple": (Pair, ["a", "b"], lambda y: y.b),
    "list": (lambda a, b: [a, b], ["0", "1"], lambda y: y[1]),
    "dict": (lambda a, b: OrderedDict(a=a, b=b, n=2), ["a", "b"], lambda y: y["b"]),
    "dataclass": (lambda a, b: Output(a, b, "said"), ["a", "b"], lambda y: y.b),
    "nested": (lambda a, b: (a, ({"b": [b]}, 3)), ["0", "1.0.b.0"], lambda y: y[1][0]["b"][0]),
}


class Returns(nn.Module):
    def __init__(self, make: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.make = make

    def forward(self, x: Any, *, scale: Any = 1.0) -> Any:
        self.made = self.make(x * scale, x * 2)
        return self.made


@pytest.mark.parametrize("kind", CONTAINERS)
def test_values_in_containers_have_names_and_can_be_edited(kind: str) -> None:
    make, names, second = CONTAINERS[kind]
    model, x, scale = Returns(make), tt.tensor([1.0, 2.0], requires_grad=True), tt.tensor([5.0])
    with tt.trace(model) as t:
        y = model(x, scale=scale)
        second(y).sum().backward()
    assert y is model.made, "without an edit the container is that of the model"
    assert list(t.values) == ["input", "input.scale", *(f"output.{name}" for name in names)]
    last = f"output.{names[1]}"
    assert t[last] is second(y) and t[last].grad.tolist() == [1, 1] and t["input.scale"] is scale
    with tt.trace(model) as t:
        t.patch(last, 7.0)
        t.patch("input.scale", 3.0)
        y = model(x, scale=scale)
    assert type(y) is type(model.made) and second(y).tolist() == [7, 7] and second(model.made).tolist() == [2, 4]
    assert t[f"output.{names[0]}"].tolist() == [3, 6]
    assert getattr(y, "about", "said") == "said"


def test_a_list_that_holds_itself() -> None:
    def make(a: Any, b: Any) -> Any:
        made = [a, b]
        made.append(made)
        return made

    with tt.trace(Returns(make)) as t:
        t.model(tt.ones(2))
    assert list(t.values) == ["input", "output.0", "output.1"]


def test_another_thread_runs_the_traced_model_as_it_is() -> None:
    model, found = nn.Sequential(nn.Linear(3, 3), nn.ReLU()), []
    with tt.trace(model) as t:
        t.ablate("0")
        model(tt.ones(2, 3))
        other = threading.Thread(target=lambda: found.append(model(tt.ones(5, 3))))
        other.start()
        other.join()
    assert [*t.values] == ["input", "0.input", "0.output", "1.input", "1.output", "output"]
    assert found[0].equal(model(tt.ones(5, 3)))


class Caught(nn.Module):
    """A model that goes on where a child fails."""

    def __init__(self) -> None:
        super().__init__()
        self.bad, self.good = nn.Linear(7, 3), nn.Linear(3, 3)

    def forward(self, x: Any) -> Any:
        try:
            self.bad(x)
        except RuntimeError:
            x = F.scaled_dot_product_attention(x, x, x)
        return self.good(x)


def test_a_child_that_fails_gives_its_name_to_nothing_else() -> None:
    with tt.trace(Caught()) as t:
        t.model(tt.ones(2, 3))
    assert [*t.values] == ["input", "bad.input", "scores", "weights", "good.input", "good.output", "output"]


def test_a_hook_that_fails_before_the_trace_has_seen_the_call() -> None:
    model = Caught()

    def boom(*_: Any) -> None:
        raise RuntimeError("boom")

    model.bad.register_forward_pre_hook(boom)
    with tt.trace(model) as t:
        model(tt.ones(2, 3))
    assert [*t.values] == ["input", "scores", "weights", "good.input", "good.output", "output"]


def test_an_open_trace_is_not_opened_again() -> None:
    model = nn.Sequential(nn.Linear(3, 3))
    t = tt.trace(model)
    with t:
        with pytest.raises(RuntimeError, match=r"^this trace is open already"), t:
            pass
        model(tt.ones(3))
    assert thread.mode.watch is None and not any(m._hooks for m in model.modules())
    with t:
        model(tt.ones(3))
    assert "0#2" in t


def test_a_copy_of_the_model_is_not_traced() -> None:
    model = nn.Sequential(nn.Linear(3, 3))
    with tt.trace(model) as t:
        t.ablate("0")
        copies = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
        found = [each(tt.ones(3)) for each in copies]
        model(tt.ones(3))
    assert [*t.values] == ["input", "0.input", "0.output", "output"]
    for y in found:
        assert y.equal(model(tt.ones(3)))


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.output = nn.Linear(3, 3)

    def forward(self, x: Any) -> Any:
        return self.output(x) * 2 + 1


def test_an_edit_means_the_value_that_the_name_reads() -> None:
    """A child may be called "output": its own output is PATH.output.output."""
    model = nn.Sequential(Named())
    for name, result in {"0.output": 0.0, "0.output.output": 1.0, "output": 0.0}.items():
        with tt.trace(model) as t:
            t.ablate(name)
            y = model(tt.ones(2, 3))
        assert (y == result).all() and (t[name] == 0).all(), name


def test_a_norm_is_not_frozen_like_a_trace_without_values() -> None:
    model = nn.Sequential(nn.LayerNorm(3))

    def frozen() -> None:
        with tt.trace(model) as t:
            t.freeze("0", like=tt.trace())
            model(tt.ones(2, 3))

    with pytest.raises(KeyError, match="there are none yet"):
        frozen()


def test_traced_attention_in_float16_is_as_wide_as_the_fused_one() -> None:
    """Scores above 65,504 before they are scaled."""
    q = tt.tensor(60 * np.ones((1, 4, 64)) + np.arange(4)[:, None]).half().requires_grad_()
    mask = tt.tensor(np.zeros((4, 4), np.float16))
    for options in ({"is_causal": True}, {"attn_mask": mask}):
        y = F.scaled_dot_product_attention(q, q, q, **options)
        with tt.trace() as t:
            traced = F.scaled_dot_product_attention(q, q, q, **options)
        assert traced.dtype == tt.float16 and "weights" in t
        assert np.allclose(traced.numpy(force=True), y.numpy(force=True), rtol=2e-3)
        (g,) = tt.autograd.grad(traced.sum(), q)
        assert g.dtype == tt.float16 and g.isfinite().all()


class Counts(Observer):
    every_node = True

    def __init__(self) -> None:
        self.played: list[str] = []

    def backward(self, call: Any) -> None:
        self.played.append(call.primitive.name)


def test_each_backward_is_told_once_to_those_who_watch_it() -> None:
    """Also one that was watched before, by another observer, and got a hook in between."""
    x = tt.ones(2, requires_grad=True)
    first = Counts()
    with observed(first):
        y = x * x
        loss = y.sum()
        loss.backward(retain_graph=True)
        call = call_of_node(y.grad_fn)
        y.grad_fn.register_hook(lambda *_: None)
        loss.backward(retain_graph=True)
    assert first.played == ["sum", "mul", "sum", "mul"] and call is call_of_node(y.grad_fn) is not None
    second = Counts()
    with observed(second):
        loss.backward(retain_graph=True)
    loss.backward()
    assert len(first.played) == 4 and second.played == ["sum", "mul"]


def test_a_backward_that_a_trace_saw_is_searched_for_anomalies() -> None:
    x = tt.zeros(1, requires_grad=True)
    with tt.trace():
        y = (x.sqrt() * 0).sum()
        y.backward(retain_graph=True)
    with tt.autograd.set_detect_anomaly(True), pytest.warns(UserWarning, match="Error detected"):  # noqa: SIM117
        with pytest.raises(RuntimeError, match="'SqrtBackward0' returned nan"):
            y.backward()
