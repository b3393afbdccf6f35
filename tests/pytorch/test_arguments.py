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
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calls import ROWS, Array, Call, strategy
from forms import ABSENT, absent, own_names
from grouped import over
from hypothesis import given
from hypothesis import strategies as st
from profiles import cases

import tinytensor as tt
from tinytensor.functions.signature import own_names as parameters_of

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


BEFORE = product(
    ["**", "//", "%", "&", "|", "^", "<<", ">>", "+", "-", "*", "/", "@"],
    [5, True, 2.5, -3, None, "a", [1]],
    ["int64", "uint8", "bool", "float32"],
)


@over("operator, number, dtype", {" ".join(map(str, case)): case for case in BEFORE})
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

    @cases(3)
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


OTHERS = {"torch.Size"}  # not public(): a class


@over("home", {home: home for home in FUNCTIONS if home not in OTHERS})
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

    if not is_property(home):
        check()


# ------------------------------------------------------------------------------------ wrong kinds

HUGE = 2**70
# what is taken and PyTorch refuses, or where another mistake is named first: the function, the parameter, and why
LENIENT = {
    **dict.fromkeys([("permute", "dims"), ("flip", "dims"), ("reshape", "shape")], "one by one, as the method takes them"),
    **dict.fromkeys([(name, "fill_value") for name in ("full", "full_like", "new_full")], "an int of any length"),
    **dict.fromkeys([("linspace", "start"), ("linspace", "end")], "an int of any length"),
    **dict.fromkeys([("var", "dim"), ("std", "dim")], "a bool by name as by position: it is `unbiased`"),
    ("backward", "gradient"): "(), with which PyTorch fails inside",
    **dict.fromkeys([("normalize", "eps"), ("normalize", "p")], "an int of any length"),
    **dict.fromkeys([("var", "correction"), ("std", "correction")], "an int of any length"),
    **dict.fromkeys([("cross_entropy", "ignore_index"), ("nll_loss", "ignore_index")], "2⁷⁰ is the index of no class too"),
    **dict.fromkeys([("scatter", "src"), ("scatter_", "src")], "a number, which PyTorch takes by position"),
    ("copy_", "src"): "a number, which is outside the subset",
    ("logsumexp", "dim"): "() is all, with which PyTorch fails inside unless keepdim=True",
    ("from_dlpack", "ext_tensor"): "what has no __dlpack__ may be a capsule, which is outside the subset",
    ("einsum", "operands"): "the equation is read before the operands",
    ("dropout", "p"): "nan is refused as 2 is",
}  # fmt: skip
WRONG = [None, "a", [1], {}, object(), np.ones(2), float("nan"), HUGE, -9, 1.5, True, 1j, (), ["a"], [None], float]


def born_here(error: BaseException) -> bool:
    """Whether a `raise` of ours raised it."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    lines = " ".join(linecache.getline(last.filename, n) for n in range(last.lineno or 0, (last.end_lineno or 0) + 1))
    return Path(tt.__file__).parent in Path(last.filename).parents and "raise" in lines


def parameter_at(home: str, place: int | str) -> str:
    """The name of the parameter to which the argument at a place goes."""
    placed, others = parameters_of(getattr(tt.Tensor, home[7:]) if home[:7] == "Tensor." else resolve(tt, home))
    return place if isinstance(place, str) else [*placed, *others[:1] * 9][place]


def is_property(home: str) -> bool:
    return isinstance(inspect.getattr_static(tt.Tensor, home.removeprefix("Tensor."), None), property)


@pytest.mark.parametrize("home", [h for h in FUNCTIONS if h not in OTHERS and not is_property(h)])
def test_a_wrong_kind_is_refused_as_pytorch_refuses_it(home: str) -> None:
    @cases(3, thorough=100)
    @given(strategy(ROW_OF[home]), st.data())
    def check(call: Call, data: Any) -> None:
        places = [*range(home.startswith("Tensor."), len(call.args)), *call.kwargs]  # a method has a Tensor before it
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
        known = (home.rpartition(".")[2], parameter_at(home, place)) in LENIENT
        if theirs is None or isinstance(here, NotImplementedError) or known:
            return
        kinds = {type(theirs)}
        if isinstance(theirs, (AttributeError, AssertionError)) or isinstance(wrong, (complex, np.ndarray)):
            kinds.add(TypeError)  # PyTorch's was born inside
        if wrong is HUGE:
            kinds |= {ValueError, OverflowError, RuntimeError, IndexError}
        assert type(here) in kinds, f"{call}\nPyTorch: {theirs!r}\ntinytensor: {here!r}"

    check()


def outcome(t: Any, function: Any) -> Any:
    """What a call of one library gives, in words that both share: the class of an error, or values and a dtype."""
    try:
        y = function(t)
    except Exception as error:
        return type(error)
    return (y.tolist(), str(y.dtype).partition(".")[2]) if isinstance(y, t.Tensor) else y


@pytest.mark.parametrize(
    "name", ["split", "chunk", "roll", "tril", "narrow", "select", "repeat_interleave", "unsqueeze"]
)
def test_a_number_beyond_64_bits_is_refused_after_a_small_one_as_well(name: str) -> None:
    """The kinds of arguments that fit are remembered, and 1 and 2⁷⁰ are of one kind."""
    more = {"narrow": (0, 0), "select": (0,)}.get(name, ())
    x = tt.ones(3, 3)
    for number in (1, 1, HUGE, -HUGE):
        try:
            getattr(x, name)(*more, number)
            assert number == 1
        except (ValueError, OverflowError, IndexError, RuntimeError):
            assert number != 1


MASKED = [((2, 2), "..., m(0)"), ((0, 2), "..., m(0)"), ((0, 2), "m(0)"), ((2, 3), "m(0)"), ((0, 0), "..., m(0)"),
          ((2, 0, 2), "0, m(0, 2)"), ((2, 0, 2), ":, :, m(0)"), ((0, 2), ":, m(1)"), ((2, 0, 3), "None, :, m(0)"),
          ((2, 0, 3), "m(2, 0), 1"), ((2, 0, 3), "m(2, 3)"), ((3, 0), "[0], m(0)"), ((3, 2), "0, m(0)")]  # fmt: skip


@pytest.mark.parametrize(("shape", "index"), MASKED)
def test_an_empty_mask_fits_what_is_empty(shape: tuple[int, ...], index: str) -> None:
    def read(t: Any) -> Any:
        return eval(f"x[{index}]", {"x": t.zeros(shape), "m": lambda *shape: t.zeros(shape, dtype=t.bool)})

    def write(t: Any) -> None:
        exec(f"x[{index}] = 1", {"x": t.zeros(shape), "m": lambda *shape: t.zeros(shape, dtype=t.bool)})

    assert outcome(tt, lambda t: list(read(t).shape)) == outcome(torch, lambda t: list(read(t).shape))
    assert outcome(tt, write) == outcome(torch, write)


TWICE_WRONG = [  # of x (2,) in float32, and integers as the value: PyTorch counts the indices before it looks at the dtype
    "[1, 0], 0", "[1, 0], 0, 0", "0, [1, 0]", "..., [1, 0], None", "m(1, 2)", "m(2)", "[5, 0]", "[1, 0], [0, 1]",
]  # fmt: skip


@pytest.mark.parametrize("index", TWICE_WRONG)
def test_too_many_indices_are_said_before_another_dtype(index: str) -> None:
    def write(t: Any) -> Any:
        x = t.ones(2)
        exec(f"x[{index}] = value", {"x": x, "value": t.tensor([3, 4]), "m": lambda *n: t.ones(n, dtype=t.bool)})
        return x.tolist()

    assert outcome(tt, write) == outcome(torch, write)


IN_PLACE = sorted(n for n in dir(tt.Tensor) if n[-1] == "_" != n[0] and n[:-1] in dir(tt.Tensor) and n != "detach_")


@over("name, dtype", {" ".join(case): case for case in product(IN_PLACE, ["bool", "uint8", "int64", "float32"])})
def test_an_expanded_tensor_is_not_written_to(name: str, dtype: str) -> None:
    """That it is expanded is said first, before what the function does not take."""
    for arguments in ((), (1,), (True,), (1.5,)):

        def write(t: Any, arguments: Any = arguments) -> Any:
            return getattr(t.ones(1, dtype=getattr(t, dtype)).expand(3), name)(*arguments)

        assert outcome(tt, write) == outcome(torch, write)
