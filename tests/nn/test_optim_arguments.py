"""What optimizers and clipping take and refuse, beside PyTorch: names, groups, flags, gradients, states, wrong input."""

from __future__ import annotations

import inspect
import io
import itertools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import cases

import tinytensor as tt
from tinytensor import optim

torch = pytest.importorskip("torch")

NAMES = ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad")
LIBRARIES = (tt, torch)


def both(run: Callable[[Any], Any]) -> Any:
    """The result of run(library), which is the same for both libraries."""
    ours, theirs = map(run, LIBRARIES)
    assert ours == theirs
    return ours


def outcome(call: Callable[[], Any]) -> Any:
    """The class of the error of a call, or what it returns. A warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return call()
        except Exception as error:
            return type(error).__name__


def parameters(lib: Any, *shapes: Any, dtype: str = "float64") -> list[Any]:
    """Parameters with values that depend on their place."""
    made = [np.arange(1.0, 1 + np.prod(shape, dtype=int)).reshape(shape).astype(dtype) / 8 for shape in shapes]
    return [lib.nn.Parameter(lib.tensor(x)) for x in made]


# ---------------------------------------------------------------------------------------------- arguments

NEUTRAL = {
    "foreach": (None, False), "differentiable": (False,), "fused": (None, False), "maximize": (False,),
    "capturable": (False,), "amsgrad": (False,), "centered": (False,), "decoupled_weight_decay": (False,),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_argument_of_pytorch_at_its_neutral_value(name: str) -> None:
    """They are taken, in PyTorch's places, and the groups, defaults and the printed form are PyTorch's."""
    theirs = inspect.signature(getattr(torch.optim, name)).parameters
    ours = inspect.signature(getattr(optim, name)).parameters
    places = [p for p in theirs.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert list(ours)[: len(places)] == [p.name for p in places]
    for p in theirs.values():
        assert p.name in ours and ours[p.name].default == p.default
    values = [NEUTRAL.get(argument, ()) for argument in list(theirs)[1:]]
    for argument, value in [(a, v) for a, vs in zip(list(theirs)[1:], values, strict=True) for v in vs]:

        def run(lib: Any, argument: str = argument, value: Any = value) -> Any:
            made = getattr(lib.optim, name)(parameters(lib, (2,)), **{argument: value})
            return made.defaults, made.state_dict()["param_groups"], repr(made)

        defaults, groups, _ = both(run)
        assert defaults[argument] == value and groups[0][argument] == value


@pytest.mark.parametrize("name", NAMES)
def test_what_is_outside_says_so(name: str) -> None:
    flags = [a for a in inspect.signature(getattr(torch.optim, name)).parameters if a in NEUTRAL]
    here = {"SGD": {"maximize"}, "Adam": {"fused", "capturable"}, "AdamW": {"fused", "capturable"}}.get(name, set())
    for flag in flags:
        make = lambda flag=flag: getattr(optim, name)(parameters(tt, (2,)), **{flag: True})  # noqa: E731
        if flag in here:
            assert make().param_groups[0][flag] is True
            continue
        with pytest.raises(NotImplementedError, match=rf"^{name}\({flag}=True\) is outside tinytensor's subset: \w"):
            make()
        group = {"params": parameters(tt, (2,)), flag: True}  # also in a group, and in a state
        with pytest.raises(NotImplementedError, match=f"{flag}=True"):
            getattr(optim, name)([group])
        made = getattr(optim, name)(parameters(tt, (2,)))
        state = made.state_dict()
        state["param_groups"][0][flag] = True
        with pytest.raises(NotImplementedError, match=f"{flag}=True"):
            made.load_state_dict(state)
        assert not made.param_groups[0][flag]
    assert set(flags) >= here
    hooks = [n for n in dir(torch.optim.Optimizer) if n.startswith("register_")]
    for hook in hooks:
        with pytest.raises(AttributeError, match=f"^hooks of {name} are outside tinytensor's subset: c"):
            getattr(getattr(optim, name)(parameters(tt, (2,))), hook)
    assert len(hooks) == 6


def test_an_adamw_is_no_adam() -> None:
    state = optim.Adam(parameters(tt, (2,))).state_dict()
    made = optim.AdamW(parameters(tt, (2,)))
    made.load_state_dict(state)
    assert made.param_groups[0]["decoupled_weight_decay"] is True
    with pytest.raises(NotImplementedError, match=r"AdamW\(decoupled_weight_decay=False\) is outside"):
        optim.AdamW([{"params": parameters(tt, (2,)), "decoupled_weight_decay": False}])
    with pytest.raises(NotImplementedError, match=r"Adam\(decoupled_weight_decay=True\) is outside"):
        optim.Adam(parameters(tt, (2,))).load_state_dict(made.state_dict())


WRONG: dict[str, list[Callable[[Any], Any]]] = {
    "lr": [
        lambda lib: -1,
        lambda lib: "0.1",
        lambda lib: None,
        lambda lib: [0.1],
        lambda lib: 1j,
        lambda lib: lib.tensor([0.1, 0.2]),
        lambda lib: lib.tensor(-0.1),
    ],
    "betas": [
        lambda lib: (1.0, 0.9),
        lambda lib: (0.9, -0.1),
        lambda lib: (float("nan"), 0.9),
        lambda lib: (0, 0),
        lambda lib: (0.9, 1),
        lambda lib: ("a", "b"),
        lambda lib: None,
        lambda lib: 0.9,
        lambda lib: (0.9, lib.tensor(0.9)),
        lambda lib: (lib.tensor([0.9, 0.9]), lib.tensor(0.9)),
        lambda lib: (np.float32(0.9), np.float32(0.9)),
    ],
}
WRONG |= {
    name: [lambda lib: -0.5, lambda lib: "0.1", lambda lib: None, lambda lib: [0.1], lambda lib: {}]
    for name in ("momentum", "weight_decay", "eps", "alpha", "lr_decay", "initial_accumulator_value")
}


@pytest.mark.parametrize("name", NAMES)
def test_wrong_numbers_raise_pytorchs_class_of_error(name: str) -> None:
    for argument in set(WRONG) & set(inspect.signature(getattr(torch.optim, name)).parameters):
        for value in WRONG[argument]:
            make = lambda lib, a=argument, v=value: getattr(lib.optim, name)(parameters(lib, (2,)), **{a: v(lib)})  # noqa: E731
            error = both(lambda lib, make=make: outcome(lambda: make(lib)))
            assert isinstance(error, str), (argument, error)
        if argument != "betas":  # PyTorch's SGD alone takes nan
            with pytest.raises(ValueError, match="Invalid"):
                getattr(optim, name)(parameters(tt, (2,)), **{argument: float("nan")})


def test_tensors_with_foreach_are_refused_as_by_pytorch() -> None:
    for name in ("Adam", "AdamW"):
        for settings in ({"lr": 0.1}, {"betas": (0.9, 0.99)}):
            for lib in LIBRARIES:
                (key, value), *_ = settings.items()
                tensors = tuple(map(lib.tensor, value)) if isinstance(value, tuple) else lib.tensor(value)
                with pytest.raises(
                    ValueError, match="as a Tensor is not supported for capturable=False and foreach=True"
                ):
                    getattr(lib.optim, name)(parameters(lib, (2,)), **{key: tensors}, foreach=True)


@pytest.mark.parametrize("name", NAMES)
def test_settings_may_be_tensors(name: str) -> None:
    ends = []
    for lib in LIBRARIES:
        (p,) = parameters(lib, (3,))
        more = {"betas": (lib.tensor([0.8]), lib.tensor(0.9))} if "Adam" in name else {}
        made = getattr(lib.optim, name)([p], lr=lib.tensor([0.25]), **more)
        for _ in range(3):
            p.grad = p.detach().clone() - 1
            made.step()
        made.param_groups[0]["lr"].fill_(0.5)
        made.step()
        ends.append(p.tolist())
    np.testing.assert_allclose(*ends, rtol=1e-6)  # PyTorch computes 1 - β in float32


# --------------------------------------------------------------------------------------- groups and names


def named(lib: Any) -> list[tuple[str, Any]]:
    """What model.named_parameters() yields."""
    return list(zip(["a", "b", "c"], parameters(lib, (2,), (), (0,)), strict=True))


@pytest.mark.filterwarnings("ignore:optimizer contains a parameter group with duplicate")
def test_parameters_in_every_form() -> None:
    forms: list[Callable[[Any, list[Any], list[Any]], Any]] = [
        lambda lib, p, n: p,
        lambda lib, p, n: tuple(p),
        lambda lib, p, n: iter(p),
        lambda lib, p, n: {"x": p[0]}.values(),
        lambda lib, p, n: n,
        lambda lib, p, n: iter(n),
        lambda lib, p, n: [{"params": p[0]}],
        lambda lib, p, n: [{"params": []}],
        lambda lib, p, n: [{"params": []}, {"params": p, "lr": 0.5}],
        lambda lib, p, n: ({"params": iter(p[i : i + 1]), "lr": i} for i in range(3)),
        lambda lib, p, n: [{"params": n[:1], "name": "first"}, {"params": iter(n[1:])}],
        lambda lib, p, n: [p[0], p[1], p[0]],
        lambda lib, p, n: [{"params": [p[0], p[0]]}, {"params": p[1:]}],
        # and these are refused
        lambda lib, p, n: [],
        lambda lib, p, n: iter([]),
        lambda lib, p, n: p[0],
        lambda lib, p, n: None,
        lambda lib, p, n: 3,
        lambda lib, p, n: {"params": p},
        lambda lib, p, n: [3],
        lambda lib, p, n: [None],
        lambda lib, p, n: ["weight"],
        lambda lib, p, n: [p[0], {"params": p[1:]}],
        lambda lib, p, n: [{"params": p[:1]}, p[1]],
        lambda lib, p, n: [{"lr": 0.1}],
        lambda lib, p, n: [{"params": None}],
        lambda lib, p, n: [{"params": set(p)}],
        lambda lib, p, n: [p[0] * 2],
        lambda lib, p, n: [n[0], p[1]],
        lambda lib, p, n: [p[1], n[0]],
        lambda lib, p, n: [{"params": p[:1]}, {"params": n[1:]}],
        lambda lib, p, n: [{"params": n[:1]}, {"params": p[1:]}],
        lambda lib, p, n: [{"params": p}, {"params": p[:1]}],
        lambda lib, p, n: [("a", 3)],
    ]
    refused = 0
    for name, form in itertools.product(NAMES, forms):

        def run(lib: Any, name: str = name, form: Any = form) -> Any:
            pairs = named(lib)
            try:
                given = form(lib, [p for _, p in pairs], pairs)
                made = getattr(lib.optim, name)(given)
                return made.state_dict()["param_groups"]
            except Exception as error:
                return (type(error).__name__,)

        refused += isinstance(both(run), tuple)
    assert refused == 21 * len(NAMES)


@pytest.mark.parametrize("fused", [False, True])
def test_a_parameter_that_comes_twice_is_updated_twice(fused: bool) -> None:
    ends = []
    for lib in LIBRARIES:
        p, q = parameters(lib, (2,), (3,))
        with pytest.warns(UserWarning, match="a parameter group with duplicate parameters"):
            made = lib.optim.AdamW([p, p, q], lr=0.1)
        if lib is tt and fused:
            with pytest.warns(UserWarning, match="a parameter group with duplicate parameters"):
                made = lib.optim.AdamW([p, p, q], lr=0.1, fused=True)
        for _ in range(3):
            p.grad, q.grad = p.detach().clone() - 1, q.detach().clone()
            made.step()
        ends.append([*p.tolist(), *q.tolist()])
        assert list(made.state_dict()["state"]) == [1, 2]
    np.testing.assert_allclose(*ends, rtol=1e-12)


def test_an_optimizer_as_pytorchs_documents_write_it() -> None:
    """With a step and settings of its own, of which the base class expects nothing."""

    def run(lib: Any) -> Any:
        class Lion(lib.optim.Optimizer):  # type: ignore[name-defined,misc]
            def __init__(self, params: Any, lr: Any = None, eps: Any = (1e-30, 1e-3), **more: Any) -> None:
                super().__init__(params, {"lr": lr, "eps": eps, "weight_decay": -0.5, "maximize": True, **more})

            @lib.no_grad()
            def step(self, closure: Any = None) -> None:
                for group in self.param_groups:
                    for p in group["params"]:
                        if p.grad is not None:
                            mean = self.state[p].setdefault("mean", lib.zeros_like(p))
                            p.add_(lib.sign(mean * 0.9 + p.grad), alpha=-0.25)
                            mean.mul_(0.5).add_(p.grad)

        p, q = parameters(lib, (3,), (2,))
        made = Lion([p, q], beta=0.9)
        for _ in range(3):
            made.zero_grad()
            (p * p * 2).sum().backward()
            made.step()
        twin = Lion([p, q])
        twin.load_state_dict(made.state_dict())
        twin.step()
        return p.tolist(), repr(twin), [{k: v.tolist() for k, v in s.items()} for s in twin.state.values()]

    both(run)


def test_a_group_is_the_callers_dictionary() -> None:
    """So a generator in it is read once, and a change of its rate counts."""

    def run(lib: Any) -> Any:
        group = {"params": iter(parameters(lib, (2,))), "lr": 0.5}
        made = lib.optim.SGD([group])
        assert made.param_groups[0] is group
        group["lr"] = 0.25
        again = lib.optim.SGD([group])
        return len(again.param_groups[0]["params"]), made.param_groups[0]["lr"]

    assert both(run) == (1, 0.25)


def test_names_are_saved_and_kept() -> None:
    def run(lib: Any) -> Any:
        made = lib.optim.SGD(named(lib), lr=0.1)
        plain = lib.optim.SGD([p for _, p in named(lib)], lr=0.2)
        made.load_state_dict(plain.state_dict())
        plain.load_state_dict(made.state_dict())
        return made.state_dict(), plain.state_dict()["param_groups"]

    assert both(run)[0]["param_groups"][0]["param_names"] == ["a", "b", "c"]


def test_a_model_by_its_names() -> None:
    model = tt.nn.Linear(2, 3)
    made = optim.AdamW(model.named_parameters(), lr=0.1)
    model(tt.ones(1, 2)).sum().backward()
    before = model.weight.tolist()
    made.step()
    assert made.param_groups[0]["param_names"] == ["weight", "bias"] and model.weight.tolist() != before


# ---------------------------------------------------------------------------------------------- gradients

SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.1}),
    ("AdamW", {"lr": 0.1, "fused": True}),
    ("RMSprop", {"lr": 0.1, "momentum": 0.5}),
    ("Adagrad", {"lr": 0.1}),
]
KINDS = st.tuples(
    st.sampled_from(["float64", "float32", "float16"]),
    st.sampled_from([(), (3,), (2, 2), (0,), (3, 0)]),
    st.sampled_from(["trained", "trained", "trained", "frozen"]),
)
TOLERANCE = {"float64": 1e-12, "float32": 1e-5, "float16": 4e-3}


@cases(150)
@given(st.data())
def test_parameters_of_every_kind(data: st.DataObject) -> None:
    """Of mixed dtypes, without elements, frozen, and with gradients in some steps only: values, states, zero_grad."""
    name, settings = data.draw(st.sampled_from(SETTINGS))
    if "Adam" in name or name == "RMSprop":
        settings = {**settings, "eps": 1e-2}  # float16 rounds 1e-8 to 0, so that 0 / 0 is nan in both
    kinds = data.draw(st.lists(KINDS, min_size=1, max_size=4))
    plans = st.lists(
        st.sampled_from(["gradient", "gradient", "none", "zero"]), min_size=len(kinds), max_size=len(kinds)
    )
    steps = data.draw(st.lists(plans, min_size=1, max_size=6))
    to_none = data.draw(st.booleans())
    sides = []
    for lib in LIBRARIES:
        params = [parameters(lib, shape, dtype=dtype)[0] for dtype, shape, _ in kinds]
        made = getattr(lib.optim, name)(params, **settings)
        for p, (_, _, kind) in zip(params, kinds, strict=True):
            p.requires_grad_(kind == "trained")
        for t, plan in enumerate(steps):
            made.zero_grad(set_to_none=to_none)
            for p, what in zip(params, plan, strict=True):
                if what == "none" or not p.requires_grad:
                    continue
                g = p.detach().clone() * (0 if what == "zero" else 0.5) + (0.25 * (t % 3) - 0.25) * (what != "zero")
                if p.grad is None:
                    p.grad = g
                else:
                    p.grad.copy_(g)
            made.step()
        sides.append((params, made.state_dict()["state"]))
    (ours, state), (theirs, expected) = sides
    assert state.keys() == expected.keys()
    for p, q, (dtype, _, _) in zip(ours, theirs, kinds, strict=True):
        assert str(p.dtype).split(".")[1] == dtype and (p.grad is None) == (q.grad is None)
        np.testing.assert_allclose(p.tolist(), q.tolist(), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    for i, entries in state.items():
        assert entries.keys() == expected[i].keys()
        for key, value in entries.items():
            limit = TOLERANCE[kinds[i][0]]
            np.testing.assert_allclose(value.tolist(), expected[i][key].tolist(), rtol=limit, atol=limit)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 6e4, 0.0])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("name, settings", SETTINGS)
def test_gradients_that_are_not_finite_are_no_warning(
    name: str, settings: dict[str, Any], dtype: str, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NumPy would warn of an overflow. The values are PyTorch's, also in the threads of `map`."""
    monkeypatch.setattr(optim.blocks, "BLOCK", 2)
    ends = []
    for lib in LIBRARIES:
        (p,) = parameters(lib, (5,), dtype=dtype)
        made = getattr(lib.optim, name)(
            [p], **{**settings, "fused": False} if lib is torch and "Adam" in name else settings
        )
        if lib is tt:
            made.map = in_threads
        for _ in range(2):
            p.grad = lib.full((5,), value, dtype=p.dtype)
            made.step()
        ends.append(p.detach().numpy())
    np.testing.assert_allclose(*ends, rtol=TOLERANCE[dtype])


def in_threads(function: Callable[[Any], Any], items: Any) -> list[Any]:
    """A map that runs each call in a thread of its own."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(function, items))


# ------------------------------------------------------------------------------------------------- states


def as_in(lib: Any, value: Any) -> Any:
    """The same value with the Tensors of the other library."""
    if isinstance(value, (tt.Tensor, torch.Tensor)):
        return lib.tensor(value.detach().numpy().copy())
    if isinstance(value, dict):
        return {key: as_in(lib, each) for key, each in value.items()}
    return type(value)(as_in(lib, each) for each in value) if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("name, settings", SETTINGS)
@pytest.mark.parametrize("before", [0, 3])
def test_each_library_goes_on_from_the_state_of_the_other(name: str, settings: dict[str, Any], before: int) -> None:
    """Before the first step Adagrad has a state as well."""

    def train(lib: Any, params: list[Any], made: Any, steps: int) -> list[Any]:
        for _ in range(steps):
            for p in params:
                p.grad = p.detach().clone() - 0.5
            made.step()
        return [p.tolist() for p in params]

    def start(lib: Any, fresh: bool) -> tuple[list[Any], Any]:
        params = parameters(lib, (2, 3), (4,))
        groups = [{"params": params[:1]}, {"params": params[1:], "lr": 0.3}]
        return params, getattr(lib.optim, name)(groups, **(settings if fresh else {"lr": 9.0}))

    bare, ends = settings == {"lr": 0.1} and name == "SGD", []  # without momentum there is nothing to keep
    for lib, other in ((tt, torch), (torch, tt)):
        params, made = start(lib, True)
        train(lib, params, made, before)
        assert len(made.state_dict()["state"]) == (0 if name != "Adagrad" and (before == 0 or bare) else 2)
        twins, twin = start(other, False)
        twin.load_state_dict(as_in(other, made.state_dict()))
        with other.no_grad():
            for p, q in zip(twins, params, strict=True):
                p.copy_(as_in(other, q))
        ends.append(train(other, twins, twin, 4))
        ends.append(train(lib, params, made, 4))
    for end in ends[1:]:
        for x, y in zip(ends[0], end, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_loaded_rate_is_not_judged(name: str) -> None:
    """LinearLR to 0 may end at −4e−19, by rounding, in both libraries; such a program can be saved and goes on."""

    def run(lib: Any) -> Any:
        made = getattr(lib.optim, name)(parameters(lib, (2,)))
        made.param_groups[0]["lr"] = -4e-19
        made.load_state_dict(made.state_dict())
        return made.param_groups[0]["lr"]

    assert both(run) == -4e-19
    with pytest.raises(ValueError, match="Invalid learning rate: -1"):
        getattr(optim, name)([{"params": parameters(tt, (2,)), "lr": -1}])


def test_a_state_can_be_saved() -> None:
    (p,) = parameters(tt, (2,))
    made = optim.AdamW([("weight", p)], lr=0.1)
    p.grad = tt.ones(2, dtype=tt.float64)
    made.step()
    file, state = io.BytesIO(), made.state_dict()
    tt.save(state, file)
    file.seek(0)
    loaded = tt.load(file)
    assert loaded["param_groups"] == state["param_groups"] and repr(loaded["state"]) == repr(state["state"])
    made.load_state_dict(loaded)


def test_a_state_under_a_name_stays() -> None:
    """An optimizer of one's own may keep what belongs to no parameter."""

    def run(lib: Any) -> Any:
        made = lib.optim.SGD(parameters(lib, (2,)))
        made.state["whole"] = {"count": 3}
        twin = lib.optim.SGD(parameters(lib, (2,)))
        twin.load_state_dict(made.state_dict())
        return dict(twin.state), twin.state_dict()["state"]

    assert both(run)[0] == {"whole": {"count": 3}}


# ----------------------------------------------------------------------------------------------- clipping

GRADIENTS: dict[str, Callable[[Any], list[Any]]] = {
    "two": lambda lib: [lib.tensor([3.0, 4.0]), lib.tensor([[1.0, -2.0]])],
    "none": lambda lib: [None],
    "one is none": lambda lib: [None, lib.tensor([3.0])],
    "nan": lambda lib: [lib.tensor([float("nan"), 1.0])],
    "inf": lambda lib: [lib.tensor([float("inf"), 1.0])],
    "zeros": lambda lib: [lib.zeros(2)],
    "empty beside": lambda lib: [lib.zeros(0), lib.ones(2)],
    "two dtypes": lambda lib: [lib.ones(2, dtype=lib.float64), lib.ones(3)],
    "0-d": lambda lib: [lib.tensor(3.0)],
}
ORDERS = [2.0, 2, 1, 0, -1, 3.5, "2", "inf", float("inf"), -float("inf"), np.float64(2), True, None, "two", [2]]
LIMITS: list[Any] = [1.0, 0, -1, 10, "1.0", "one", None, [1.0], float("nan"), float("inf"), np.float32(2), True]


def clipped(lib: Any, kind: str, how: str, *arguments: Any) -> Any:
    """What clip_grad_norm_ or clip_grad_value_ returns and leaves, as numbers, or the class of its error."""
    gradients = GRADIENTS[kind](lib)
    params = [lib.nn.Parameter(lib.zeros(3) if g is None else g.clone()) for g in gradients]
    for p, g in zip(params, gradients, strict=True):
        p.grad = g
    found = outcome(lambda: getattr(lib.nn.utils, how)(params, *arguments))
    if isinstance(found, str):
        return found
    left = [x for p in params if p.grad is not None for x in np.ravel(p.grad.tolist())]
    return np.array(left if found is None else [found.item(), *left])


@pytest.mark.parametrize("kind", GRADIENTS)
def test_clipping(kind: str) -> None:
    calls: list[tuple[Any, ...]] = [("clip_grad_norm_", limit) for limit in LIMITS]
    calls += [("clip_grad_norm_", 1.0, order, strict) for order in ORDERS for strict in (False, True)]
    calls += [("clip_grad_value_", limit) for limit in LIMITS]
    for call in calls:
        if kind == "none" and (call[0] == "clip_grad_value_" or not isinstance(call[1], float) or len(call) > 2):
            continue  # PyTorch fails in its own code, or checks arguments that nothing needs
        if kind == "empty beside" and len(call) > 2 and str(call[2]) in ("inf", "-inf", "-1"):
            continue  # PyTorch refuses such a norm; here gradients without elements are left out
        ours, theirs = (clipped(lib, kind, *call) for lib in LIBRARIES)
        if isinstance(theirs, str):
            assert ours == theirs, call
        else:
            np.testing.assert_allclose(ours, theirs, rtol=1e-6, err_msg=str(call))


def test_hints_and_empty_generators_of_clipping() -> None:
    for lib in LIBRARIES:
        (p,) = parameters(lib, (2,))
        p.grad = lib.ones(2, dtype=lib.float64)
        for foreach in (None, False):
            lib.nn.utils.clip_grad_norm_(p, 1.0, 2.0, False, foreach)
            lib.nn.utils.clip_grad_value_(p, 0.5, foreach)
        assert p.grad.tolist() == [0.5, 0.5]
        with pytest.warns(UserWarning, match="empty generator"):
            assert lib.nn.utils.clip_grad_norm_((x for x in ()), 1.0).item() == 0
    for clip in (tt.nn.utils.clip_grad_norm_, tt.nn.utils.clip_grad_value_):
        with pytest.raises(NotImplementedError, match="foreach=True is outside tinytensor's subset"):
            clip([], 1.0, foreach=True)
