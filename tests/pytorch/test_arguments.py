"""How public functions read their arguments, beside PyTorch: its names for them, values that say nothing, wrong kinds.

Which arguments a function has there comes from PyTorch's own schemas; whether it takes one, from a call. The calls are
those of tests/pytorch/calls.py.
"""

from __future__ import annotations

import dataclasses
import inspect
import linecache
import traceback
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calls import COMPARISONS, ROWS, Array, Call, strategy
from forms import ABSENT, absent, own_names
from hypothesis import given
from hypothesis import strategies as st
from profiles import cases

import tinytensor as tt

torch = pytest.importorskip("torch")
from test_generated import CALLS, PUBLIC, Made, homes, resolve  # noqa: E402

# ------------------------------------------------------------------------------------ names


def test_a_function_has_the_forms_that_it_has_in_pytorch() -> None:
    """A method, a function, an in-place form: for each of our names, here if there. -m databases: its aliases too."""
    assert absent(own_names()) == set(ABSENT)


# ------------------------------------------------------------------------------------ operators


@pytest.mark.parametrize("operator", ["**", "//", "%", "&", "|", "^", "<<", ">>", "+", "-", "*", "/"])
@given(data=st.data())
@cases(20)
def test_an_operator_in_place_writes(operator: str, data: Any) -> None:
    """`x ∘= y` writes into the memory of x, as in PyTorch, or raises as there and leaves x alone."""
    dtype = data.draw(st.sampled_from(["int64", "int32", "uint8", "bool", "float32"]))
    x = data.draw(st.lists(st.integers(0, 5), min_size=3, max_size=3))
    y = data.draw(st.one_of(st.sampled_from([1, 2, 3, True, 2.5, 300, -1]), st.just([1, 2, 3])))
    found = []
    for t in (torch, tt):
        names = {"x": t.tensor(x, dtype=getattr(t, dtype)), "t": t}
        names["y"] = t.tensor(y, dtype=getattr(t, dtype)) if isinstance(y, list) else y
        names["same"] = names["x"]
        try:
            exec(f"x {operator}= y", names)
            found.append(("written", names["x"] is names["same"], names["same"].tolist()))
        except Exception as error:
            found.append(("refused", type(error), names["same"].tolist()))
    assert found[1] == found[0]


@pytest.mark.parametrize("operator", ["**", "//", "%", "&", "|", "^", "<<", ">>", "+", "-", "*", "/"])
def test_an_operator_in_place_refuses_a_leaf_that_requires_grad(operator: str) -> None:
    for t in (torch, tt):
        x = t.tensor([1.0, 2.0], requires_grad=True)
        with pytest.raises(RuntimeError):
            exec(f"x {operator}= 1", {"x": x})
        assert x.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("operator", ["**", "//", "%", "&", "|", "^", "<<", ">>", "+", "-", "*", "/", "@"])
@pytest.mark.parametrize("number", [5, True, 2.5, -3, None, "a", [1]])
@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool", "float32"])
def test_a_number_before_an_operator(operator: str, number: Any, dtype: str) -> None:
    found = []
    for t in (torch, tt):
        try:
            y = eval(f"c {operator} x", {"c": number, "x": t.tensor([1, 2, 1], dtype=getattr(t, dtype))})
            found.append((y.tolist(), str(y.dtype).partition(".")[2]))
        except Exception as error:
            found.append(type(error))
    if isinstance(found[0], tuple) and found[0][1] == "float32":
        assert found[1][1] == found[0][1]
        assert np.allclose(found[1][0], found[0][0], rtol=1e-6)
    else:
        assert found[1] == found[0]


# ------------------------------------------------------------------------------------ neutral arguments

SCHEMAS = defaultdict(list)
for _schema in torch._C._jit_get_all_schemas():
    if _schema.name.startswith("aten::"):
        SCHEMAS[_schema.name[6:]].append(_schema)
GENERAL = {
    "out": None, "dtype": None, "layout": torch.strided, "pin_memory": False, "device": None, "requires_grad": False,
    "memory_format": torch.contiguous_format, "non_blocking": False, "generator": None, "sorted": True, "stable": False,
    "return_counts": False, "return_inverse": False, "weight": None, "size_average": None, "reduce": None,
    "inplace": False, "rounding_mode": None, "copy": False, "correction": 1,
}  # fmt: skip
REFUSED = {
    ("torch.bernoulli", "p"),
    ("Tensor.bernoulli", "p"),
}  # it draws with p and ignores its input: outside the subset


def arguments(home: str) -> dict[str, Any]:
    """The arguments with a default that PyTorch's function may have."""
    found, name = dict(GENERAL), home.rpartition(".")[2]
    for schema in SCHEMAS[name]:
        found |= {a.name: a.default_value for a in schema.arguments if a.has_default_value() and a.name not in found}
    try:
        parameters = inspect.signature(resolve(torch, home)).parameters.values()
        found |= {p.name: p.default for p in parameters if p.default is not p.empty}
    except ValueError:  # a builtin
        pass
    return found


def ours(value: Any) -> Any:
    """A value of PyTorch's as it is here."""
    return (
        getattr(tt, str(value).partition(".")[2]) if isinstance(value, (torch.layout, torch.memory_format)) else value
    )


def called(t: Any, home: str, call: Call) -> Any:
    made = Made(t)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return resolve(t, home)(*made(call.args), **made(call.kwargs))


HOMES = sorted({home for name in ROWS for home in homes(name) if home.startswith(("torch.", "Tensor.", "F."))})
FUNCTIONS = [h for h in HOMES if h not in CALLS and "__" not in h and h in PUBLIC]
ROW_OF = {home: ROWS[name] for name in ROWS for home in homes(name)}


@pytest.mark.parametrize("home", FUNCTIONS)
def test_an_argument_that_says_nothing_is_taken_where_pytorch_has_it(home: str) -> None:
    taken: set[str] = set()

    @cases(4)
    @given(strategy(ROW_OF[home]))
    def check(call: Call) -> None:
        try:
            called(torch, home, call)
        except Exception:
            return
        for name, value in arguments(home).items():
            if name in call.kwargs or name in taken or (home, name) in REFUSED:
                continue
            try:
                called(torch, home, dataclasses.replace(call, kwargs={**call.kwargs, name: value}))
            except Exception:
                continue  # it has no such argument, or not beside these
            called(tt, home, dataclasses.replace(call, kwargs={**call.kwargs, name: ours(value)}))
            taken.add(name)

    check()


OTHERS = {"torch.Size", "torch.from_dlpack"}  # not public(): a class; a function that is imported on its first use


@pytest.mark.parametrize("home", [h for h in FUNCTIONS if h not in OTHERS])
def test_another_argument_is_refused_in_words(home: str) -> None:
    """A value outside of the subset, and a name that no function has."""

    @cases(1)
    @given(strategy(ROW_OF[home]))
    def check(call: Call) -> None:
        for name, error in (("out", NotImplementedError), ("no_such_argument", TypeError)):
            function = resolve(tt, home)
            if home.startswith("Tensor.") and len(inspect.signature(getattr(tt.Tensor, home[7:])).parameters) == 1:
                return  # Python's own words: it takes no arguments
            made = Made(tt)
            args, kwargs = made(call.args), {**made(call.kwargs), name: tt.ones(1)}
            with pytest.raises(error, match=r"subset|takes") as caught:
                function(*args, **kwargs)
            assert born_here(caught.value)

    if not isinstance(inspect.getattr_static(tt.Tensor, home[7:], None), property):
        check()


# ------------------------------------------------------------------------------------ wrong kinds

HUGE = 2**70
# functions that take what PyTorch refuses here and there, or name another mistake first; why
LENIENT = {
    **dict.fromkeys(["torch.permute", "torch.flip", "torch.reshape"], "numbers one by one, as the method takes them"),
    **dict.fromkeys(["torch.full_like", "torch.linspace", "F.normalize"], "floats from an int of any length"),
    **dict.fromkeys(["F.cross_entropy", "F.nll_loss"], "ignore_index of any length: it is the index of no class"),
    **dict.fromkeys([f"torch.{n}" for n in COMPARISONS], "arrays, as the operators"),
    **dict.fromkeys(["torch.prod", "torch.squeeze", "torch.max", "torch.min"], "dim=None is all"),
    **dict.fromkeys(["torch.sub", "torch.subtract", "torch.add"], "alpha=True is 1"),
    "torch.std": "unbiased=None is left out", "torch.var": "unbiased=None is left out", "torch.eye": "m=None is n",
    "torch.randint": "size is left out, or None", "torch.scatter": "src may be a number",
    "torch.einsum": "it reads the equation before the operands", "F.dropout": "nan is refused as 2 is",
}  # fmt: skip
WRONG = [None, "a", [1], {}, object(), np.ones(2), float("nan"), HUGE, -9, 1.5, True, 1j, (), ["a"], [None]]


def born_here(error: BaseException) -> bool:
    """Whether a `raise` of ours raised it."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    lines = " ".join(linecache.getline(last.filename, n) for n in range(last.lineno or 0, (last.end_lineno or 0) + 1))
    return Path(tt.__file__).parent in Path(last.filename).parents and "raise" in lines


@pytest.mark.parametrize("home", [h for h in FUNCTIONS if h.startswith(("torch.", "F.")) and h not in OTHERS])
def test_a_wrong_kind_is_refused_as_pytorch_refuses_it(home: str) -> None:
    @cases(10)
    @given(strategy(ROW_OF[home]), st.data())
    def check(call: Call, data: Any) -> None:
        places = [*range(len(call.args)), *call.kwargs]
        if not places or any(isinstance(x, Array) and x.special for x in call.args):
            return
        try:
            called(torch, home, call)
        except Exception:
            return  # wrong already
        place, wrong = data.draw(st.sampled_from(places)), data.draw(st.sampled_from(WRONG))
        if isinstance(place, int):
            call = dataclasses.replace(call, args=(*call.args[:place], wrong, *call.args[place + 1 :]))
        else:
            call = dataclasses.replace(call, kwargs={**call.kwargs, place: wrong})
        outcomes = []
        for t in (torch, tt):
            try:
                called(t, home, call)
                outcomes.append(None)
            except Exception as error:
                outcomes.append(error)
        theirs, here = outcomes
        assert here is None or (born_here(here) and "\n" not in str(here)), (
            f"{home} {call.args} {call.kwargs}: {here!r}"
        )
        if theirs is None or isinstance(here, NotImplementedError) or home in LENIENT:
            return
        kinds = {type(theirs)}
        if isinstance(theirs, AttributeError) or isinstance(wrong, (complex, np.ndarray)):
            kinds.add(TypeError)  # PyTorch's was born inside
        if wrong is HUGE:
            kinds |= {ValueError, OverflowError, RuntimeError, IndexError}
        assert type(here) in kinds, f"{call}\nPyTorch: {theirs!r}\ntinytensor: {here!r}"

    check()
