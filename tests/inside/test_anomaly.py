"""Anomaly detection beside PyTorch's: which nan is an error, what is said of it, and how it is switched."""

from __future__ import annotations

import inspect
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import tinytensor as tt  # noqa: E402
from gpt.build import build  # noqa: E402
from gpt.config import TrainConfig  # noqa: E402
from tinytensor.autograd import anomaly_mode  # noqa: E402
from tinytensor.inside.watch import Observer, observed  # noqa: E402
from tinytensor.modes import thread  # noqa: E402

BEYOND = "of finite numbers", "of a finite gradient"  # warnings that PyTorch lacks


def leaf(t: Any, *values: float) -> Any:
    return t.tensor(list(values), dtype=t.float32, requires_grad=True)


def outcome(run: Callable[[], Any]) -> tuple[str, list[str]]:
    """How it ended, and the first line of each warning that PyTorch has too."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            ended = str(run())
        except Exception as error:
            ended = f"{type(error).__name__}: {error}".split(" output.")[0].split("\n")[0]
    said = [str(w.message).split("\n")[0].split(" (Triggered")[0] for w in caught]
    return ended, [text for text in said if not any(words in text for words in BEYOND)]


def root_at_zero(t: Any) -> Any:
    x = leaf(t, 0, 1)
    with t.autograd.detect_anomaly():
        (t.sqrt(x) * 0).sum().backward()


def recorded_before(t: Any) -> Any:
    y = t.sqrt(leaf(t, 0, 1)) * 0
    with t.autograd.set_detect_anomaly(True):
        y.sum().backward()


def no_look_at_numbers(t: Any) -> Any:
    x = leaf(t, 0, 1)
    with t.autograd.detect_anomaly(check_nan=False):
        (t.sqrt(x) * 0).sum().backward()
    return x.grad.tolist()


def only_a_forward(t: Any) -> Any:
    with t.autograd.set_detect_anomaly(True):
        return t.log(leaf(t, -1)).isnan().tolist()


def second_input(t: Any) -> Any:
    x, w = leaf(t, float("nan"), 1), leaf(t, 1, 2)
    with t.autograd.set_detect_anomaly(True):
        (x.detach() * w).sum().backward()


def one_of_several_outputs(t: Any) -> Any:
    a, b = leaf(t, 1, 2).split(1)
    with t.autograd.set_detect_anomaly(True):
        (a * float("nan") + b).sum().backward()


def gradient_given(t: Any) -> Any:
    x = leaf(t, 1, 2)
    with t.autograd.set_detect_anomaly(True):
        x.sum().backward(t.tensor(float("nan")))


def made_by_a_hook(t: Any) -> Any:
    with t.autograd.set_detect_anomaly(True):
        y = leaf(t, 1, 2) * leaf(t, 1, 2)
        y.register_hook(lambda g: g * float("nan"))
        y.sum().backward()


def with_grad(t: Any) -> Any:
    x = leaf(t, 0, 1)
    with t.autograd.set_detect_anomaly(True):
        t.autograd.grad((t.sqrt(x) * 0).sum(), x)


def nothing_wrong(t: Any) -> Any:
    x = leaf(t, 1, 2)
    with t.autograd.set_detect_anomaly(True):
        (x * x).sum().backward()
    return x.grad.tolist()


def infinity_is_none(t: Any) -> Any:
    x = leaf(t, 0, 1)
    with t.autograd.set_detect_anomaly(True):
        t.sqrt(x).sum().backward()
    return x.grad.tolist()


def switched(t: Any) -> Any:
    states = []

    def note() -> None:
        states.append((t.is_anomaly_enabled(), t.is_anomaly_check_nan_enabled()))

    note()
    t.autograd.set_detect_anomaly(True, check_nan=False)
    note()
    with t.autograd.set_detect_anomaly(False):
        note()
        with t.autograd.detect_anomaly():
            note()
        note()
    note()
    t.set_anomaly_enabled(False)
    note()
    return states


PROGRAMS = [
    root_at_zero, recorded_before, no_look_at_numbers, only_a_forward, second_input, one_of_several_outputs, gradient_given,
    made_by_a_hook, with_grad, nothing_wrong, infinity_is_none, switched,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_anomalies_are_pytorchs(program: Any) -> None:
    assert outcome(lambda: program(tt)) == outcome(lambda: program(torch))
    assert thread.mode.watch is None  # off again, at no cost


class Root(tt.nn.Module):
    def forward(self, x: Any) -> Any:
        return tt.sqrt(x)


def test_the_line_and_the_module_are_named() -> None:
    model = tt.nn.Sequential(tt.nn.Identity(), tt.nn.Sequential(Root()))
    line = inspect.getsourcelines(Root.forward)[1] + 1
    x = leaf(tt, 0, 1)
    with tt.autograd.set_detect_anomaly(True), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(
            RuntimeError, match=rf"'SqrtBackward0' returned nan.*test_anomaly.py:{line}, in forward.*module 1\.0"
        ):
            (model(x) * 0).sum().backward()
    assert (caught[-1].filename, caught[-1].lineno) == (__file__, line)
    assert str(caught[-1].message).endswith(f"{__file__}:{line}, in forward, in module 1.0")


def test_where_infinity_and_nan_begin_is_told_once() -> None:
    x = leaf(tt, 0, 1)
    with tt.autograd.set_detect_anomaly(True), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            y = tt.log(x)
            y = y * y
            z = y - y
        w = tt.sqrt(x)
        w.sum().backward()
    said = [str(w.message).partition(":")[0] for w in caught]
    assert said == ["log made infinity of finite numbers", "SqrtBackward0 made infinity of a finite gradient"]
    assert z.isnan().any()


def test_a_constant_infinity_is_no_anomaly() -> None:
    """As a mask of scores, or in what was given."""
    with tt.autograd.set_detect_anomaly(True), warnings.catch_warnings():
        warnings.simplefilter("error")
        x = leaf(tt, 1, 2, 3)
        masked = x.masked_fill(tt.tensor([True, False, False]), float("-inf"))
        (tt.softmax(masked, 0) * tt.tensor([1.0, 2.0, 3.0])).sum().backward()
        tt.log(tt.tensor([float("inf")]))


@pytest.mark.parametrize(
    "options", [{}, {"positions": "learned", "dropout": 0.1}, {"norm": "rms", "activation": "swiglu"}]
)
def test_a_healthy_model_raises_no_alarm(options: dict[str, Any]) -> None:
    model = build(TrainConfig(**{"vocab_size": 11, "layers": 2, "width": 16, "heads": 4, "context": 8} | options))
    ids = tt.randint(0, 11, (2, 9))
    with tt.autograd.set_detect_anomaly(True), warnings.catch_warnings():
        warnings.simplefilter("error")
        model(ids[:, :-1], ids[:, 1:])[1].backward()


def test_an_error_in_a_backward_is_placed() -> None:
    class Broken(tt.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 1

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            raise ValueError("mine")

    with tt.autograd.set_detect_anomaly(True, check_nan=False), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(ValueError, match="mine"):
            Broken.apply(leaf(tt, 1)).sum().backward()
    assert str(caught[0].message).startswith("Error detected in BrokenBackward0.")


def test_another_thread_is_not_watched() -> None:
    states: list[bool] = []
    with tt.autograd.set_detect_anomaly(True):
        other = threading.Thread(target=lambda: states.append(tt.is_anomaly_enabled()))
        other.start()
        other.join()
    assert states == [False]


def test_settings_are_bools() -> None:
    with pytest.raises(TypeError, match="must be bools"):
        anomaly_mode.set_anomaly_enabled(1)  # type: ignore[arg-type]
    assert not tt.is_anomaly_enabled()


def test_a_view_stays_a_view_when_its_backward_was_watched() -> None:
    """A watched node has a copy of its row: an in-place write to the base still finds the views."""
    x = leaf(tt, 1, 2)
    y = x * 2
    v = y[:1]
    with observed(Observer()):
        w = v[0]
        w.backward(retain_graph=True)
    y.mul_(3)
    w.backward()
    assert x.grad is not None and x.grad.tolist() == [2 + 6, 0]
