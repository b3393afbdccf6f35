"""Schedules beside PyTorch's: rates, momenta and states, after every action of generated sequences, to the last bit."""

from __future__ import annotations

import io
import itertools
import json
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import cases

import tinytensor as tt
from tinytensor.optim import SGD
from tinytensor.optim.lr_scheduler import LambdaLR, LRScheduler

torch = pytest.importorskip("torch")

# ---------------------------------------------------------------------------- generated sequences, side by side

NUMBERS = st.sampled_from([0.03, 0.1, 1 / 3, 0.5, 0.9, 1.0])
COUNTS = st.integers(1, 6)


class Decay:
    """A factor that is an object, whose rate a state_dict holds."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, t: float) -> float:
        return self.rate ** min(t, 5)


def arguments(**strategies: Any) -> Any:
    """Keyword arguments, each of which may be left out if its name ends in _."""
    needed = {name: value for name, value in strategies.items() if not name.endswith("_")}
    optional = {name[:-1]: value for name, value in strategies.items() if name.endswith("_")}
    return st.fixed_dictionaries(needed, optional=optional)


MOMENTA = {"base_momentum_": NUMBERS.filter(lambda x: x < 1), "max_momentum_": NUMBERS.filter(lambda x: x < 1)}
DECAY = st.builds(Decay, NUMBERS)
SCHEDULES = {
    "LambdaLR": arguments(lr_lambda=DECAY),
    "MultiplicativeLR": arguments(lr_lambda=DECAY),
    "StepLR": arguments(step_size=COUNTS, gamma_=NUMBERS),
    "MultiStepLR": arguments(milestones=st.lists(st.integers(0, 8), max_size=4), gamma_=NUMBERS),
    "ConstantLR": arguments(factor_=NUMBERS, total_iters_=st.integers(0, 6)),
    "LinearLR": arguments(start_factor_=NUMBERS, end_factor_=st.just(0.0) | NUMBERS, total_iters_=COUNTS),
    "ExponentialLR": arguments(gamma=NUMBERS),
    "PolynomialLR": arguments(total_iters_=COUNTS, power_=NUMBERS | st.just(2)),
    "CosineAnnealingLR": arguments(T_max=COUNTS, eta_min_=st.just(0.01)),
    "CosineAnnealingWarmRestarts": arguments(T_0=COUNTS, T_mult_=st.integers(1, 3), eta_min_=st.just(0.01)),
    "CyclicLR": arguments(
        base_lr=NUMBERS, max_lr=NUMBERS, step_size_up_=COUNTS, step_size_down_=st.none() | COUNTS,
        mode_=st.sampled_from(["triangular", "triangular2", "exp_range"]), gamma_=NUMBERS, cycle_momentum_=st.booleans(),
        scale_fn_=st.none() | DECAY, scale_mode_=st.sampled_from(["cycle", "iterations"]), **MOMENTA,
    ),
    "OneCycleLR": arguments(
        max_lr=NUMBERS, total_steps=st.integers(60, 90), pct_start_=st.sampled_from([0.1, 0.3, 0.5]),
        anneal_strategy_=st.sampled_from(["cos", "linear"]), cycle_momentum_=st.booleans(), three_phase_=st.booleans(),
        div_factor_=st.sampled_from([2, 25.0]), final_div_factor_=st.just(10.0), **MOMENTA,
    ),
    "ReduceLROnPlateau": arguments(
        mode_=st.sampled_from(["min", "max"]), factor_=NUMBERS.filter(lambda x: x < 1), patience=st.integers(0, 2),
        threshold_=st.sampled_from([1e-4, 0.1]), threshold_mode_=st.sampled_from(["rel", "abs"]),
        cooldown_=st.integers(0, 2), min_lr_=st.sampled_from([0, 0.02]), eps_=st.sampled_from([1e-8, 0.05]),
    ),
}  # fmt: skip
PLAIN = [name for name in SCHEDULES if name != "ReduceLROnPlateau"]
BY_FORMULA = ["StepLR", "MultiStepLR", "ConstantLR", "LinearLR", "ExponentialLR", "PolynomialLR", "CosineAnnealingLR"]

Make = Callable[[Any, Any], Any]


def made(name: str) -> st.SearchStrategy[Make]:
    """A function that makes the schedule, with drawn arguments, for an optimizer of either library."""

    def make(drawn: dict[str, Any]) -> Make:
        fresh = lambda: {n: Decay(v.rate) if isinstance(v, Decay) else v for n, v in drawn.items()}  # noqa: E731
        return lambda lib, optimizer: getattr(lib.optim.lr_scheduler, name)(optimizer, **fresh())

    return SCHEDULES[name].map(make)


def sequential(makes: list[Make], milestones: list[int]) -> Make:
    """SequentialLR of them."""
    return lambda lib, o: lib.optim.lr_scheduler.SequentialLR(o, [make(lib, o) for make in makes], milestones)


def chained(makes: list[Make]) -> Make:
    """ChainedScheduler of them."""
    return lambda lib, o: lib.optim.lr_scheduler.ChainedScheduler([make(lib, o) for make in makes])


class Side:
    """An optimizer of one library with its schedules."""

    def __init__(self, lib: Any, kind: str, rates: list[float], makes: list[Make]) -> None:
        self.lib, self.made_of = lib, (kind, rates, makes)
        self.groups = [{"params": [lib.nn.Parameter(lib.ones(1))], "lr": rate} for rate in rates]
        self.optimizer = getattr(lib.optim, kind)(self.groups, **({} if kind == "AdamW" else {"momentum": 0.5}))
        self.schedules = [make(lib, self.optimizer) for make in makes]

    def seen(self) -> Any:
        """Everything that a program reads of rates, momenta and epochs."""
        settings = ("lr", "momentum", "betas", "initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum")
        groups = [
            {n: float(g[n]) if n == "lr" else g[n] for n in settings if n in g} for g in self.optimizer.param_groups
        ]
        return groups, [(getattr(s, "last_epoch", None), [float(x) for x in s.get_last_lr()]) for s in self.schedules]

    def do(self, action: tuple[Any, ...]) -> Any:
        """One action of a program. Returns the error that it raises, or None."""
        what, which, value = action
        schedule = self.schedules[which % len(self.schedules)]
        plateau = hasattr(schedule, "num_bad_epochs")
        try:
            if what == "set":
                self.optimizer.param_groups[which % len(self.optimizer.param_groups)]["lr"] = value
            elif what == "jump" and not plateau:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    schedule.step(int(value * 10))
            else:
                self.optimizer.step()
                schedule.step(*[value] * plateau)
        except Exception as error:
            return type(error)

    def resumed(self, saved: tuple[Any, list[Any]]) -> Side:
        """Another program, which continues from the states of an optimizer and its schedules."""
        new = Side(self.lib, *self.made_of)
        for schedule, state in zip(new.schedules, saved[1], strict=True):
            schedule.load_state_dict(state)
        new.optimizer.load_state_dict(saved[0])
        new.optimizer.step()
        return new

    def saved(self) -> tuple[Any, list[Any]]:
        """The states."""
        return self.optimizer.state_dict(), [schedule.state_dict() for schedule in self.schedules]


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["step"] * 6 + ["set", "jump", "swap"]), st.integers(0, 5), NUMBERS),
    min_size=5,
    max_size=50,
)


def agree(kind: str, rates: list[float], makes: list[Make], actions: list[tuple[Any, ...]]) -> None:
    """Both libraries show the same after every action. After "swap" each goes on from the states of the other."""
    ours, theirs = (Side(lib, kind, rates, makes) for lib in (tt, torch))
    assert ours.seen() == theirs.seen()
    for action in actions:
        if action[0] == "swap":
            saved, expected = ours.saved(), theirs.saved()
            assert saved[1] == expected[1]
            ours, theirs = ours.resumed(expected), theirs.resumed(saved)
        else:
            failed = ours.do(action)
            assert failed == theirs.do(action), action
            if failed:
                return
        assert ours.seen() == theirs.seen(), action


GROUPS = st.lists(NUMBERS, min_size=1, max_size=3)
KINDS = st.sampled_from(["SGD", "AdamW", "RMSprop"])


@pytest.mark.parametrize("pair", list(itertools.combinations_with_replacement(SCHEDULES, 2)), ids=" and ".join)
def test_all_pairs(pair: tuple[str, str]) -> None:
    @cases(4)
    @given(KINDS, GROUPS, st.permutations(pair).flatmap(lambda names: st.tuples(*map(made, names))), ACTIONS)
    def run(kind: str, rates: list[float], makes: tuple[Make, ...], actions: list[Any]) -> None:
        agree(kind, rates, list(makes), actions)

    run()


@cases(150)
@given(st.data())
def test_combined(data: st.DataObject) -> None:
    """SequentialLR and ChainedScheduler of several, beside others: a plateau, a third."""
    several = st.lists(st.sampled_from(PLAIN).flatmap(made), min_size=1, max_size=4)

    def in_turn(makes: list[Make]) -> st.SearchStrategy[Make]:
        turns = st.lists(st.integers(0, 12), min_size=len(makes) - 1, max_size=len(makes) - 1).map(sorted)
        return turns.map(lambda milestones: sequential(makes, milestones))

    combined = several.flatmap(in_turn) | several.map(chained)
    others = st.lists(st.sampled_from([*SCHEDULES]).flatmap(made), max_size=2)
    makes = data.draw(st.tuples(others, combined, others))
    steps = ACTIONS.map(lambda actions: [a for a in actions if a[0] != "jump"])  # no epoch in their step
    agree(data.draw(KINDS), data.draw(GROUPS), [*makes[0], makes[1], *makes[2]], data.draw(steps))


@cases(60)
@given(st.data())
def test_a_rate_that_is_a_tensor(data: st.DataObject) -> None:
    """The schedules write into it, and compute in its dtype."""
    makes = data.draw(st.lists(st.sampled_from([*SCHEDULES]).flatmap(made), min_size=1, max_size=2))
    start, steps = data.draw(NUMBERS), data.draw(st.lists(st.integers(0, 1), max_size=12))
    seen: list[Any] = []
    for lib in (tt, torch):
        rate = lib.tensor(start)
        optimizer = lib.optim.SGD([lib.nn.Parameter(lib.ones(1))], lr=rate, momentum=0.5)
        schedules = [make(lib, optimizer) for make in makes]
        optimizer.step()
        for i in steps:
            schedule = schedules[i % len(schedules)]
            schedule.step(*[0.5] * hasattr(schedule, "num_bad_epochs"))
        assert optimizer.param_groups[0]["lr"] is rate
        last = [s.get_last_lr()[0] for s in schedules]
        assert all(x is not rate and x.shape == () for x in last)
        seen.append([rate.item(), *(x.item() for x in last)])
    assert seen[0] == pytest.approx(seen[1], rel=1e-6)


@pytest.mark.parametrize("name", BY_FORMULA)
@cases(20)
@given(st.data())
def test_a_schedule_that_resumes_at_an_epoch(name: str, data: st.DataObject) -> None:
    make, last = data.draw(SCHEDULES[name]), data.draw(st.integers(0, 5))
    seen = []
    for lib in (tt, torch):
        group = {"params": [lib.nn.Parameter(lib.ones(1))], "lr": 0.3, "initial_lr": 0.5}
        optimizer = lib.optim.SGD([group])
        schedule = getattr(lib.optim.lr_scheduler, name)(optimizer, **make, last_epoch=last)
        seen.append([(schedule.last_epoch, schedule.get_last_lr())])
        for _ in range(4):
            optimizer.step()
            schedule.step()
            seen[-1].append((schedule.last_epoch, schedule.get_last_lr()))
    assert seen[0] == seen[1]


def test_fractions_of_an_epoch() -> None:
    seen = []
    for lib in (tt, torch):
        for mult in (1, 2):
            optimizer = lib.optim.SGD([lib.nn.Parameter(lib.ones(1))], lr=0.5)
            schedule = lib.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 3, mult, 0.01)
            for moment in [0, 0.25, 2.75, 3, 3.5, 9.5, 20.125, None, 1, None]:
                schedule.step(moment)
                seen.append((schedule.get_last_lr(), schedule.last_epoch, schedule.T_cur, schedule.T_i))
    assert seen[:20] == seen[20:]


def test_two_schedules_multiply() -> None:
    optimizer = SGD([tt.nn.Parameter(tt.ones(1))], lr=1.0)
    s = tt.optim.lr_scheduler
    both = [s.LinearLR(optimizer, 0.1, 1.0, 4), s.ExponentialLR(optimizer, 0.9)]
    optimizer.step()
    for schedule in both:
        schedule.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.2925)  # 0.325 of the warm-up, times 0.9
    optimizer.param_groups[0]["lr"] = 0.5
    both[1].step()
    assert optimizer.param_groups[0]["lr"] == 0.45  # a rate that was set by hand is kept


@pytest.mark.parametrize("fused", [False, True])
def test_adamw_uses_the_beta_that_a_schedule_set(fused: bool) -> None:
    ends = []
    for lib in (tt, torch):
        p = lib.nn.Parameter(lib.ones(3))
        optimizer = lib.optim.AdamW([p], lr=0.1, fused=fused)
        schedule = lib.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=8)
        for step in range(8):
            optimizer.zero_grad()
            (p * lib.tensor([1.0, -2.0, 3.0]) * (step + 1) ** 2).sum().backward()
            optimizer.step()
            schedule.step()
        ends.append(p.tolist())
    assert ends[0] == pytest.approx(ends[1], rel=1e-5)
    constant = tt.nn.Parameter(tt.ones(3))
    optimizer = tt.optim.AdamW([constant], lr=0.1, fused=fused)
    schedule = tt.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=8, cycle_momentum=False)
    for step in range(8):
        optimizer.zero_grad()
        (constant * tt.tensor([1.0, -2.0, 3.0]) * (step + 1) ** 2).sum().backward()
        optimizer.step()
        schedule.step()
    assert constant.tolist() != pytest.approx(ends[0], rel=1e-3)


# ------------------------------------------------------------------------------------------------ states


def optimizer_of(lib: Any, groups: int = 1, **settings: Any) -> Any:
    """SGD of some groups."""
    return lib.optim.SGD([{"params": [lib.nn.Parameter(lib.ones(1))]} for _ in range(groups)], lr=0.1, **settings)


WARM_UP: Make = lambda lib, o: lib.optim.lr_scheduler.SequentialLR(  # noqa: E731
    o,
    [
        lib.optim.lr_scheduler.LinearLR(o, 0.1, total_iters=3),
        lib.optim.lr_scheduler.CosineAnnealingLR(o, 6),
        lib.optim.lr_scheduler.StepLR(o, 2),
    ],
    milestones=[3, 8],
)


def test_a_state_is_numbers_that_can_be_saved() -> None:
    optimizer = optimizer_of(tt, momentum=0.9)
    s = tt.optim.lr_scheduler
    schedules = [WARM_UP(tt, optimizer), s.OneCycleLR(optimizer, 0.1, 10), s.CyclicLR(optimizer, 0.1, 0.2)]
    for schedule in [*schedules, s.ReduceLROnPlateau(optimizer), s.LambdaLR(optimizer, lambda t: 1.0)]:
        state = schedule.state_dict()
        assert json.loads(json.dumps(state)) == state
        file = io.BytesIO()
        tt.save({"schedule": state, "optimizer": optimizer.state_dict()}, file)
        file.seek(0)
        schedule.load_state_dict(tt.load(file)["schedule"])
        assert schedule.state_dict() == state


def test_a_state_continues_another_schedule() -> None:
    optimizer, other = optimizer_of(tt), optimizer_of(tt)
    schedule, resumed = WARM_UP(tt, optimizer), WARM_UP(tt, other)
    optimizer.step()
    for _ in range(5):
        schedule.step()
    resumed.load_state_dict(schedule.state_dict())
    other.load_state_dict(optimizer.state_dict())
    rate = optimizer.param_groups[0]["lr"]
    for each in (schedule, resumed):
        each.step()
    assert other.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"] != rate


def test_lambda_lr_saves_what_callable_objects_hold() -> None:
    schedules = [LambdaLR(optimizer_of(tt), Decay(r)) for r in (0.5, 0.1)]
    schedules[1].load_state_dict(schedules[0].state_dict())
    schedules[1].optimizer.step()
    schedules[1].step()
    assert schedules[1].get_last_lr() == [0.05]


def test_lambda_lr_of_a_built_in_function() -> None:
    schedule = LambdaLR(optimizer_of(tt), abs)
    assert schedule.state_dict()["lr_lambdas"] == [None]
    schedule.load_state_dict(schedule.state_dict())
    schedule.optimizer.step()
    schedule.step()
    assert schedule.get_last_lr() == [0.1]


def test_a_schedule_for_another_number_of_groups_is_refused() -> None:
    for lib in (tt, torch):
        optimizer = optimizer_of(lib)
        schedule = lib.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 0.9**t)
        optimizer.add_param_group({"params": lib.nn.Parameter(lib.ones(1))})
        optimizer.step()
        with pytest.raises(ValueError, match="zip"):
            schedule.step()
    one, two = (LambdaLR(optimizer_of(tt, n), abs) for n in (1, 2))
    for ours, other in ((one, two), (two, one)):
        with pytest.raises(ValueError, match="zip"):
            ours.load_state_dict(other.state_dict())


def test_a_plateau_sees_a_new_group() -> None:
    for min_lr, refused in ((0.05, False), ([0.05], True)):
        outcomes = []
        for lib in (tt, torch):
            optimizer = optimizer_of(lib)
            schedule = lib.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, min_lr=min_lr)
            optimizer.add_param_group({"params": lib.nn.Parameter(lib.ones(1))})
            schedule.step(1.0)
            if refused:
                with pytest.raises(RuntimeError):
                    schedule.step(1.0)
            else:
                schedule.step(1.0)
            outcomes.append([group["lr"] for group in optimizer.param_groups])
        assert outcomes[0] == outcomes[1] == ([0.1, 0.1] if refused else [0.05, 0.05])


def test_a_schedule_of_ones_own() -> None:
    """`get_lr` alone, as PyTorch's documents say, or with a formula for `step(epoch)`."""
    rates = []
    for lib in (tt, torch):

        class Halving(lib.optim.lr_scheduler.LRScheduler):  # type: ignore[name-defined,misc]
            def get_lr(self) -> list[float]:
                return [group["lr"] / 2 for group in self.optimizer.param_groups]

            def _get_closed_form_lr(self) -> list[float]:
                return [base / 2**self.last_epoch for base in self.base_lrs]

        optimizer = optimizer_of(lib, 2)
        schedule = Halving(optimizer)
        optimizer.step()
        schedule.step()
        rates.append([schedule.get_last_lr()])
        with pytest.warns(UserWarning, match="epoch"):
            schedule.step(5)
        rates[-1].append(schedule.get_last_lr())
    assert rates[0] == rates[1]


# ------------------------------------------------------------------------------------- warnings and refusals


def test_a_step_before_the_optimizers_warns() -> None:
    for lib in (tt, torch):
        optimizer = optimizer_of(lib)
        schedule = lib.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        with pytest.warns(UserWarning, match=r"before `optimizer.step\(\)`"):
            schedule.step()
        schedule.step()  # once is enough
        assert schedule.get_last_lr() == [0.025]

    class Own(SGD):
        def step(self, closure: Any = None) -> None:
            pass

    schedule = tt.optim.lr_scheduler.ExponentialLR(Own([tt.nn.Parameter(tt.ones(1))]), 0.5)
    schedule.step()  # it cannot be known here


def test_reading_the_next_rates_and_naming_an_epoch_warn() -> None:
    for lib in (tt, torch):
        s, optimizer = lib.optim.lr_scheduler, optimizer_of(lib)
        schedule, plateau = s.ExponentialLR(optimizer, 0.5), s.ReduceLROnPlateau(optimizer)
        with pytest.warns(UserWarning, match=r"get_last_lr\(\)"):
            assert schedule.get_lr() == [0.05]
        optimizer.step()
        with pytest.warns(UserWarning, match="epoch"):
            schedule.step(3)
        with pytest.warns(UserWarning, match="epoch"):
            plateau.step(1.0, 3)
        assert optimizer.param_groups[0]["lr"] == 0.0125 and plateau.last_epoch == 3


def refused_calls(lib: Any) -> list[Callable[[], Any]]:
    """Bad arguments."""
    s, o, other, adagrad = lib.optim.lr_scheduler, optimizer_of(lib, 2), optimizer_of(lib), lib.optim.Adagrad
    without = adagrad([lib.nn.Parameter(lib.ones(1))])
    step = s.StepLR(o, 2)
    return [
        lambda: s.LRScheduler(o),
        lambda: s.StepLR(None, 2),
        lambda: s.StepLR([lib.ones(1)], 2),
        lambda: s.StepLR(o, "3").step(),
        lambda: s.StepLR(optimizer_of(lib), 3, last_epoch=4),
        lambda: (other.step(), s.StepLR(other, 0).step()),
        lambda: s.LambdaLR(o, [abs]),
        lambda: s.LambdaLR(o, 3),
        lambda: s.MultiplicativeLR(o, [abs]),
        lambda: s.MultiplicativeLR(o, 0.5),
        lambda: s.MultiplicativeLR(o, [abs, 0.5]),
        lambda: s.MultiStepLR(o, 3),
        lambda: s.ConstantLR(o, 1.5),
        lambda: s.ConstantLR(o, -0.5),
        lambda: s.LinearLR(o, 0.0),
        lambda: s.LinearLR(o, 1.5),
        lambda: s.LinearLR(o, 0.5, 2.0),
        lambda: s.LinearLR(o, 0.5, -0.1),
        lambda: s.CosineAnnealingWarmRestarts(o, 0),
        lambda: s.CosineAnnealingWarmRestarts(o, 2.5),
        lambda: s.CosineAnnealingWarmRestarts(o, 2, 0),
        lambda: s.CosineAnnealingWarmRestarts(o, 2, 1.5),
        lambda: s.CosineAnnealingWarmRestarts(o, 2, eta_min="0"),
        lambda: s.CosineAnnealingWarmRestarts(o, 2).step(-1),
        lambda: s.CyclicLR(o, 0.1, 0.2, mode="square"),
        lambda: s.CyclicLR(o, [0.1], 0.2),
        lambda: s.CyclicLR(o, 0.1, [0.2] * 3),
        lambda: s.CyclicLR(o, 0.1, 0.2, base_momentum=[0.1]),
        lambda: s.CyclicLR(without, 0.1, 0.2),
        lambda: s.CyclicLR(None, 0.1, 0.2),
        lambda: s.OneCycleLR(o, 0.1),
        lambda: s.OneCycleLR(o, 0.1, epochs=3),
        lambda: s.OneCycleLR(o, 0.1, 0),
        lambda: s.OneCycleLR(o, 0.1, 2.5),
        lambda: s.OneCycleLR(o, 0.1, epochs=-1, steps_per_epoch=2),
        lambda: s.OneCycleLR(o, 0.1, epochs=1, steps_per_epoch=1.5),
        lambda: s.OneCycleLR(o, 0.1, 9, pct_start=1.5),
        lambda: s.OneCycleLR(o, 0.1, 9, pct_start=1),
        lambda: s.OneCycleLR(o, 0.1, 9, anneal_strategy="square"),
        lambda: s.OneCycleLR(o, [0.1], 9),
        lambda: s.OneCycleLR(without, 0.1, 9),
        lambda: [s.OneCycleLR(o, 0.1, 9).step() for _ in [o.step()]] + [one.step() for one in [s.OneCycleLR(o, 0.1, 9)] * 11],
        lambda: s.OneCycleLR(None, 0.1, 9),
        lambda: s.ReduceLROnPlateau(o, factor=1.0),
        lambda: s.ReduceLROnPlateau(o, mode="least"),
        lambda: s.ReduceLROnPlateau(o, threshold_mode="least"),
        lambda: s.ReduceLROnPlateau(o, min_lr=[0.1]),
        lambda: s.ReduceLROnPlateau(None),
        lambda: s.ReduceLROnPlateau(o).step(),
        lambda: s.ReduceLROnPlateau(o).step("low"),
        lambda: s.ReduceLROnPlateau(o).step(lib.ones(2)),
        lambda: s.ReduceLROnPlateau(o).get_lr(),
        lambda: s.SequentialLR(o, [step], [3]),
        lambda: s.SequentialLR(o, [], []),
        lambda: s.SequentialLR(o, [3], []),
        lambda: s.SequentialLR(other, [step], []),
        lambda: s.SequentialLR(o, [s.ReduceLROnPlateau(o)], []),
        lambda: s.ChainedScheduler([]),
        lambda: s.ChainedScheduler([step, abs]),
        lambda: s.ChainedScheduler([s.ReduceLROnPlateau(o)]),
        lambda: s.ChainedScheduler([step, s.StepLR(other, 2)]),
        lambda: s.ChainedScheduler([step], other),
        lambda: s.ChainedScheduler([step]).step(3),
        lambda: step.momentum,
    ]  # fmt: skip


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_refusals_are_pytorchs() -> None:
    for i, (ours, theirs) in enumerate(zip(refused_calls(tt), refused_calls(torch), strict=True)):
        with pytest.raises(Exception) as expected:
            theirs()
        with pytest.raises(Exception) as caught:
            ours()
        assert caught.type is expected.type, (i, caught.value, expected.value)


def test_refusals_say_what_is_wrong() -> None:
    s, o = tt.optim.lr_scheduler, optimizer_of(tt)
    with pytest.raises(ValueError, match=r"^LinearLR: factors lie between 0 and 1, not at 0.5 and 2.0$"):
        s.LinearLR(o, 0.5, 2.0)
    with pytest.raises(ValueError, match=r"^ConstantLR: factor lies between 0 and 1, not at 2$"):
        s.ConstantLR(o, 2)
    with pytest.raises(ValueError, match=r"^2 schedulers need 1 milestones, not 3$"):
        s.SequentialLR(o, [s.StepLR(o, 2), s.StepLR(o, 3)], [3, 4, 5])
    with pytest.raises(ValueError, match=r"^Factor should be < 1.0, not 1.5$"):
        s.ReduceLROnPlateau(o, factor=1.5)
    with pytest.raises(ValueError, match=r"^mode is 'min' or 'max', not 'least'$"):
        s.ReduceLROnPlateau(o, mode="least")
    with pytest.raises(ValueError, match=r"^Adagrad has neither momentum nor betas.*cycle_momentum=False$"):
        s.CyclicLR(tt.optim.Adagrad([tt.nn.Parameter(tt.ones(1))]), 0.1, 0.2)
    with pytest.raises(ValueError, match=r"^max_lr has 3 values, but the optimizer has 1 groups of parameters$"):
        s.CyclicLR(o, 0.1, [0.1, 0.2, 0.3])
    with pytest.raises(KeyError, match=r"'initial_lr' is not specified in param_groups\[0\] when resuming"):
        LambdaLR(optimizer_of(tt), abs, last_epoch=3)
    with pytest.raises(AttributeError, match=r"'StepLR' object has no attribute 'print_lr': it is outside"):
        _ = s.StepLR(o, 2).print_lr
    with pytest.raises(AttributeError, match=r"SWALR.*subset"):
        _ = s.SWALR


def test_the_base_class_needs_get_lr() -> None:
    with pytest.raises(NotImplementedError):
        LRScheduler(optimizer_of(tt))
