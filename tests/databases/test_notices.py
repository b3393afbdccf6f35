"""That the comparison notices what it is there for: each mistake, made on purpose in a function of tinytensor."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from torch_databases import database

torch = pytest.importorskip("torch")

from compare import Outcome, call, differences  # noqa: E402
from exceptions import Row, excuse  # noqa: E402
from report import Tally  # noqa: E402
from translate import freeze, thaw, translated  # noqa: E402

import tinytensor as tt  # noqa: E402

Function = Callable[..., Any]


def outcomes(
    theirs: Function, ours: Function, *, inplace: bool = False, dtype: str = "float64"
) -> tuple[Outcome, Outcome]:
    x = torch.arange(6.0, dtype=getattr(torch, dtype)).reshape(2, 3).requires_grad_(dtype == "float64")
    frozen = freeze(((x,), {}))
    grad = dtype == "float64"
    return call("tiny", ours, frozen, grad=grad, inplace=inplace), call(
        "torch", theirs, frozen, grad=grad, inplace=inplace
    )


def kinds(theirs: Function, ours: Function, **how: Any) -> set[str]:
    return {difference.kind for difference in differences(*outcomes(theirs, ours, **how))}


def refuse(error: type[Exception]) -> Function:
    def function(*_: Any) -> Any:
        raise error("no")

    return function


def written(x: Any) -> Any:
    x.array[0, 0] = 7
    return x * 1


@pytest.mark.parametrize(
    "kind, theirs, ours",
    [
        ("value", lambda x: x * 2, lambda x: x * (2 + 1e-9)),
        ("gradient", lambda x: x * 1, lambda x: x * 2 - x.detach()),
        ("gradient", lambda x: x * 1 + 0 * x.sum(), lambda x: x * (1 + 1e-9)),
        ("requires_grad", lambda x: x * 2, lambda x: (x * 2).detach()),
        ("dtype", lambda x: x.long(), lambda x: x.int()),
        ("shape", lambda x: x.sum(0), lambda x: x.sum(0, keepdim=True)),
        ("view", lambda x: x.t(), lambda x: x.t() * 1),
        ("view", lambda x: x.t() * 1, lambda x: x.t()),
        ("view", lambda x: x[:, :2], lambda x: x[:, ::2]),
        ("contiguous", lambda x: x.detach().t().contiguous(), lambda x: x.detach().t() * 1),
        ("input changed", lambda x: x * 1, written),
        ("results", lambda x: (x, x), lambda x: x),
        ("type", lambda x: 1, lambda x: 1.0),
        ("accepts", refuse(RuntimeError), lambda x: x),
        ("refuses", lambda x: x, refuse(RuntimeError)),
        ("error", refuse(RuntimeError), refuse(ValueError)),
        ("error", refuse(RuntimeError), refuse(NotImplementedError)),
        ("born inside", refuse(ValueError), lambda x: tt.ops.arithmetic.add_forward(np.ones(2), np.ones(3))),
        ("born inside", refuse(AttributeError), lambda x: tt.functions.operands.cast(3, x.array.dtype)),
    ],
)  # fmt: skip
def test_a_mistake_is_noticed(kind: str, theirs: Function, ours: Function) -> None:
    assert kind in kinds(theirs, ours)


@pytest.mark.parametrize("function", [lambda x: x * 2, lambda x: x.t(), lambda x: x.sum(0), lambda x: x.max(1)])
def test_no_mistake(function: Function) -> None:
    assert not kinds(function, function)


@pytest.mark.parametrize(
    "ours, kind", [(lambda x: x.mul_(2), None), (lambda x: x * 2, "value"), (lambda x: x.mul_(3), "value")]
)
def test_an_in_place_form_writes_to_its_first_argument(ours: Function, kind: str | None) -> None:
    found = kinds(lambda x: x.mul_(2), ours, inplace=True)
    assert kind in found if kind else not found


def test_a_refusal_is_told_from_a_mistake() -> None:
    def outside(x: Any) -> Any:
        raise NotImplementedError("outside tinytensor's subset of PyTorch")

    ours, theirs = outcomes(lambda x: x, outside)
    assert ours.refused and not list(differences(ours, theirs))


def test_callables_are_translated_by_their_names() -> None:
    assert translated(torch.add) is tt.add
    assert translated(torch.Tensor.add_) is tt.Tensor.add_
    assert translated(torch.nn.functional.relu) is tt.nn.functional.relu
    with pytest.raises(AttributeError, match="subset"):
        translated(torch.lgamma)


def test_the_memory_of_arguments_is_translated() -> None:
    x = torch.arange(12.0).reshape(3, 4)
    (y, z, same), _ = freeze(((x.t()[1:], x[0], x), {}))
    a, b, c = thaw((y, z, same), "tiny", {})
    assert a.array.strides == (4, 16) and a.tolist() == x.t()[1:].tolist()
    b.array[1] = 50  # one storage for all three
    assert c.array[0, 1] == 50 and a.array[0, 0] == 50


def test_the_import_of_a_database_leaves_hypothesis_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's modules load a profile with few examples, and all later tests of the process would have it."""

    def imported(name: str) -> Any:
        settings.register_profile("few", max_examples=1)
        settings.load_profile("few")
        return SimpleNamespace(op_db=[name])

    before = settings.get_current_profile_name()
    monkeypatch.setattr("importlib.import_module", imported)
    assert database("op_db") == ["torch.testing._internal.common_methods_invocations"]
    assert settings.get_current_profile_name() == before != "few"


def test_exceptions_cannot_rot() -> None:
    tally = Tally({"add", "mul"})
    ours, theirs = outcomes(lambda x: x.long(), lambda x: x.int())
    tally.count("add", differences(ours, theirs), ours, "function", "float64", "add(x)")
    row = Row("a reason", "dtype", "int32, PyTorch int64", "add mul")
    (stale,) = excuse(tally, [row])
    assert stale.startswith("mul: no longer differs") and not tally.wrong and tally.excepted == 1
