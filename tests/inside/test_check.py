"""check_call: right for every primitive of the table, wrong for each that is broken on purpose; kinks are left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor.base import wrap
from tinytensor.gradcheck.sample import Sample
from tinytensor.gradcheck.samples import SAMPLES
from tinytensor.inside.check import Check, check_call
from tinytensor.nn import functional as F
from tinytensor.ops import load_all
from tinytensor.primitive import PRIMITIVES, Primitive
from tinytensor.tape import apply

load_all()


def has_elements(sample: Sample) -> bool:
    return all(a is None or a.size for a in sample.arrays)


def checked(primitive: Primitive, sample: Sample, backward: bool = False, **options: Any) -> Check:
    """The check of one call; with a backward if so wanted."""
    with tt.trace() as t:
        xs = [None if a is None else wrap(np.array(a)).requires_grad_(a.dtype.kind == "f") for a in sample.arrays]
        y = apply(primitive, *xs, **sample.static)
        ys = [z for z in (y if isinstance(y, tuple) else (y,)) if z.requires_grad]
        if backward and ys:
            rng = np.random.default_rng(1)
            tt.autograd.backward(ys, [wrap(rng.standard_normal(z.shape).astype(z.array.dtype)) for z in ys])
    return check_call(t.calls[0], **options)


@pytest.mark.parametrize("name", SAMPLES)
def test_every_primitive_is_right(name: str) -> None:
    compared = 0
    for sample in filter(lambda s: s.smooth, SAMPLES[name]):
        for dtype in sample.dtypes:
            check = checked(PRIMITIVES[name], sample.cast(dtype), backward=dtype != "float64", elements=4, directions=1)
            assert check.ok is not False, f"{dtype}: {check}"
            assert check.ok or not has_elements(sample), f"{dtype}: {check}"
            compared += check.elements
    assert compared


def broken(row: Primitive, position: int, by: Callable[[Any], Any]) -> Primitive:
    """The pair, with another gradient for one input."""

    def backward(dy: Any, *saved: Any) -> Any:
        gradients = list(row.backward(dy, *saved))
        gradients[position] = by(np.asarray(gradients[position]))
        return tuple(gradients)

    return Primitive(row.name, row.forward, backward, row.formula)


def one_off(g: Any) -> Any:
    """A hundredth of the largest element too much, in its place."""
    wrong = g.copy()
    wrong.reshape(-1)[np.argmax(np.abs(g))] *= g.dtype.type(1.01)
    return wrong


NAMES = [
    "linear",
    "matmul",
    "gelu_tanh",
    "layer_norm",
    "softmax",
    "cross_entropy",
    "embedding",
    "attention",
    "exp",
    "mul",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_element_is_noticed(name: str) -> None:
    for sample in [s for s in SAMPLES[name] if s.smooth and has_elements(s) and s.arrays[0].size > 3][:2]:
        for dtype in ("float32", "float64"):
            for position, x in enumerate(sample.arrays):
                if x is not None:
                    check = checked(broken(PRIMITIVES[name], position, one_off), sample.cast(dtype))
                    assert check.ok is False, f"{position} {dtype}: {check}"
                    assert not check.error <= check.tolerance
                    assert "backward says" in str(check)


SINE = Sample((np.linspace(0.3, 1.2, 8),), None)
WRONGS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "nan": (lambda g: np.where(g == g.max(), np.nan, g).astype(g.dtype), "nan"),
    "infinite": (lambda g: g * np.inf, "inf"),
    "zero": (np.zeros_like, "backward says 0"),
    "another shape": (lambda g: g[:-1], "is of (7,), the input of (8,)"),
    "a thousandth": (lambda g: g * g.dtype.type(1.001), "largest error 1.0e-03"),
}


@pytest.mark.parametrize("wrong", WRONGS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_wrong_gradients(wrong: str, dtype: str) -> None:
    by, said = WRONGS[wrong]
    check = checked(broken(PRIMITIVES["sin"], 0, by), SINE.cast(dtype))
    assert check.ok is False
    assert said in str(check)


def test_a_gradient_that_is_wrong_in_float32_alone() -> None:
    row = broken(PRIMITIVES["sin"], 0, lambda g: g * 1.01 if g.dtype == np.float32 else g)
    assert checked(row, SINE.cast("float32")).ok is False
    assert checked(row, SINE).ok is True


def test_a_backward_that_fails() -> None:
    def fails(_: Any) -> Any:
        raise KeyError("saved")

    check = checked(broken(PRIMITIVES["sin"], 0, fails), SINE)
    assert check.ok is False
    assert "the backward fails: KeyError" in str(check)


def test_the_gradients_that_were_recorded_are_checked() -> None:
    """Not those of another run of the backward."""
    check = checked(PRIMITIVES["sin"], SINE, backward=True)
    assert check.ok
    assert check.recorded
    with tt.trace() as t:
        x = tt.tensor([0.5, 1.0], requires_grad=True)
        x.sin().sum().backward()
    call = t.calls[0]
    call.gradients = (call.gradients[0] * 1.01,)
    assert check_call(call).ok is False


KINKS = {
    "relu": (lambda x: F.relu(x), [0.0, 1.0, -2.0], 1),
    "abs": (lambda x: x.abs(), [0.0, 0.0, 3.0], 0),  # the backward takes the mean of both slopes, and so do differences
    "ties": (lambda x: x.max(), [1.0, 1.0, 0.5], 0),
    "clamp": (lambda x: x.clamp(0, 1), [0.0, 1.0, 0.5], 2),
    "floor": (lambda x: x.floor(), [1.0, 2.0, 2.5], 2),
}


@pytest.mark.parametrize("name", KINKS)
def test_kinks_are_left_out(name: str) -> None:
    function, values, count = KINKS[name]
    with tt.trace() as t:
        function(tt.tensor(values, requires_grad=True)).sum().backward()
    check = check_call(t.calls[0], directions=0)
    assert check.ok
    assert (check.kinks, check.elements) == (count, 3 - count)


def test_a_wrong_relu_is_wrong_beside_its_kink() -> None:
    row = broken(PRIMITIVES["relu"], 0, lambda g: g * 1.1)
    assert checked(row, Sample((np.array([0.0, 1.0, -1.0, 1e-9]),), None)).ok is False


def test_samples_at_kinks_are_no_errors() -> None:
    for name, samples in SAMPLES.items():
        for sample in samples:
            if not sample.smooth and name != "binary_cross_entropy":  # its forward clamps −ln 0, its backward does not
                check = checked(PRIMITIVES[name], sample, elements=6)
                assert check.ok is not False, f"{name}: {check}"


def test_digits_that_rounding_takes_are_no_error() -> None:
    """p − 1 of a sure prediction, in float32: few digits are right."""
    with tt.trace() as t:
        logits = tt.tensor([[14.0, 0.3, -0.2], [0.1, 15.0, 0.4]], requires_grad=True)
        F.cross_entropy(logits, tt.tensor([0, 1])).backward()
    call = next(call for call in t.calls if call.primitive.name == "cross_entropy")
    check = check_call(call)
    assert check.ok, str(check)
    assert "rounding takes digits" in str(check)
    call.gradients = (call.gradients[0] * 2,)
    assert check_call(call).ok is False


@pytest.mark.parametrize("dtypes", [("float64", "float32"), ("float32", "float16"), ("float16", "float32")])
def test_a_cast_is_checked_in_float64_on_both_sides(dtypes: tuple[str, str]) -> None:
    one, other = (getattr(tt, name) for name in dtypes)
    with tt.trace() as t:
        tt.randn(6).to(one).requires_grad_().to(other).sum().backward()
    call = next(call for call in t.calls if call.primitive.name == "cast" and call.needs[0])
    check = check_call(call)
    assert check.ok, str(check)
    assert check.error < 1e-9


def test_what_cannot_be_checked() -> None:
    with tt.trace() as t:
        tt.tensor([1, 2]) + 1
        x = tt.ones(3, requires_grad=True)
        (x * 2).sum().backward()
    assert str(check_call(t.calls[0])).startswith("not checked: its output is no floating point number")
    mul = next(call for call in t.calls if call.primitive.name == "mul_scalar")
    assert check_call(mul).ok
    x.data[0] = 5.0
    assert str(check_call(mul)) == "not checked: an array of this call was overwritten in place since"


def test_without_a_backward_its_own_runs_and_changes_nothing() -> None:
    x = tt.randn(4, 3, requires_grad=True)
    with tt.trace() as t:
        y = x.softmax(-1)
    before = y.numpy(force=True).copy()
    check = check_call(t.calls[0])
    assert check.ok
    assert not check.recorded
    assert "no backward has run" in str(check)
    assert t.calls[0].gradients is None
    assert np.array_equal(y.numpy(force=True), before)
    y.sum().backward()
