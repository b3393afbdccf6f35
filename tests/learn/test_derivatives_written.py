"""The exercises in which one writes a derivative: right files pass, and wrong ones are told what is wrong, and why."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from wrong import SOLUTIONS, WRONG, replaced, solution

from gpt.errors import UserError
from gpt.learn import check_text, exercise, exercises, start_text
from gpt.learn.call import Call, Function, Mismatch
from gpt.learn.derivative import Derivative
from gpt.learn.derivatives.adamw import draw, updated
from gpt.learn.exercise import Fault
from gpt.learn.pair import Pair
from gpt.learn.reader import Reader

DERIVATIVES = [each.name for each in exercises() if each.kind == "derivative"]
SMOOTH = [name for name in DERIVATIVES if name not in ("tape", "adamw")]


def derivative(name: str) -> Derivative:
    found = exercise(name)
    assert isinstance(found, Derivative)
    return found


def test_what_there_is() -> None:
    assert set(DERIVATIVES) == {
        "mul", "unbroadcast", "matmul", "relu", "gelu", "embedding", "linear", "softmax", "cross_entropy", "layer_norm",
        "rms_norm", "dropout", "rotary", "attention", "adamw", "tape",
    }  # fmt: skip
    assert len(DERIVATIVES) == 16 and [each.chapter for each in exercises()] == sorted(
        each.chapter for each in exercises()
    )
    assert {path.stem for path in SOLUTIONS.glob("*.py")} == {each.name for each in exercises()}
    for each in exercises():
        assert re.fullmatch(r"\d\d-[a-z-]+", each.chapter) and len(each.title) > 20
        assert f"python -m gpt.learn check {each.name}\n" in start_text(each.name)
    with pytest.raises(UserError, match="did you mean softmax"):
        exercise("softmx")


@pytest.mark.parametrize("name", DERIVATIVES)
def test_the_solution_is_right(name: str) -> None:
    report = check_text(name, solution(name))
    assert report.passed, report.lines
    assert (
        "right, in" in report.lines[0]
        and "PyTorch's recorded numbers" in report.lines[1] + report.lines[2]
        and len(report.lines) == 4
    )


@pytest.mark.parametrize("name", DERIVATIVES)
def test_the_start_is_not_right_yet(name: str) -> None:
    report = check_text(name, start_text(name))
    assert not report.passed
    assert "nothing is written yet: write" in "\n".join(report.lines)


def test_the_solution_begins_as_the_start_does() -> None:
    """A reader of the start can come to the solution, and it needs no other import."""
    for name in DERIVATIVES:
        head = start_text(name).partition("    raise NotImplementedError")[0]
        assert solution(name).startswith(head), name


@pytest.mark.parametrize("name", DERIVATIVES)
def test_usual_mistakes_are_named(name: str) -> None:
    assert len(WRONG[name]) >= 3
    for old, new, said in WRONG[name]:
        report = check_text(name, replaced(name, old, new), seed=1)
        assert not report.passed, (old, new)
        lines = "\n".join(report.lines)
        assert said in lines, (new, said, lines)


class Returned(Reader):
    """It calls a function as it is, so that a test can say what a reader's function returns."""

    def __init__(self) -> None:
        super().__init__("", "returned")

    def call(self, function: Function, *arguments: Any) -> Any:
        return function(*arguments)


def examined(call: Call, results: dict[str, np.ndarray]) -> Mismatch | None:
    """What a check says to these results of a call."""
    call.play = lambda function: function()  # type: ignore[method-assign]
    try:
        call.examine(Returned(), lambda: tuple(results.values()))
    except Mismatch as mismatch:
        return mismatch
    return None


def exact(call: Call) -> dict[str, np.ndarray]:
    """The right results, with all digits that are known."""
    right = call.finer() if call.finer else call.right
    return {key: np.asarray(right[key]).astype(call.dtype) for key in call.right}


@pytest.mark.programs
def test_each_usual_mistake_is_told_from_its_numbers() -> None:
    """What a mistake leads to, put in the place of one right result, is taken for this mistake in some call."""
    for name in DERIVATIVES:
        known: dict[tuple[str, str], bool] = {}
        for call in derivative(name).calls(np.random.default_rng(1)):
            if call.dtype == np.float32:
                break
            with np.errstate(all="ignore"):
                causes = list(call.causes())
            for result, text, wrong in causes:
                mismatch = examined(call, {**exact(call), result: np.asarray(wrong)})
                if mismatch is not None:
                    known[result, text] = known.get((result, text), False) or text in mismatch.causes
        assert len(known) >= 3 and all(known.values()), (name, [key for key in known if not known[key]])


@pytest.mark.programs
@pytest.mark.parametrize("name", DERIVATIVES)
def test_own_mistakes_of_an_exercise_make_a_difference(name: str) -> None:
    """Each of them differs from the right result in some call: else its text would never be shown."""
    each = derivative(name)
    calls = [call for call in each.calls(np.random.default_rng(1)) if call.dtype == np.float64]
    texts: dict[str, bool] = {}
    general = ("only ∂y", "∂y/∂x is taken", "this is dy itself", "dy is missing", "leading dimensions")
    for call in calls:
        with np.errstate(all="ignore"):
            for result, text, wrong in call.causes():
                if not text.startswith(general):
                    texts[text] = (
                        texts.get(text, False) or examined(call, {**exact(call), result: np.asarray(wrong)}) is not None
                    )
    assert texts and all(texts.values()), [text for text in texts if not texts[text]]


@settings(max_examples=60)
@given(st.data())
def test_one_element_that_is_off_is_noticed_and_named(data: st.DataObject) -> None:
    """By a thousandth of itself, in any call, dtype float64."""
    name = data.draw(st.sampled_from(DERIVATIVES))
    seed = data.draw(st.integers(0, 3))
    calls = [
        c
        for c in calls_of(name, seed)
        if c.dtype == np.float64 and any(np.abs(x).max(initial=0) > 1e-3 for x in c.right.values())
    ]
    call = data.draw(st.sampled_from(calls))
    result = data.draw(st.sampled_from([key for key, x in call.right.items() if np.abs(x).max(initial=0) > 1e-3]))
    wrong = np.array(call.right[result], np.float64)
    places = [at for at in np.ndindex(wrong.shape) if abs(wrong[at]) > 1e-3 * np.abs(wrong).max()]
    at = data.draw(st.sampled_from(places))
    wrong[at] *= 1 + data.draw(st.sampled_from([1e-3, -1e-3]))
    mismatch = examined(call, {**exact(call), result: wrong})
    assert mismatch is not None
    place = f"{result}[{', '.join(map(str, at))}]" if at else result
    assert f"{place} is {wrong[at]:.9g}; it should be {call.right[result][at]:.9g}" in "\n".join(mismatch.lines)
    assert (
        f"1 of {wrong.size} elements of {result} are wrong" if wrong.size > 1 else f"{result} is wrong"
    ) in mismatch.lines[0]


def calls_of(name: str, seed: int, made: dict[tuple[str, int], list[Call]] = {}) -> list[Call]:  # noqa: B006  # kept on purpose
    if (name, seed) not in made:
        made[name, seed] = list(derivative(name).calls(np.random.default_rng(seed)))
    return made[name, seed]


def test_right_numbers_pass_in_each_call() -> None:
    """So that the tests above fail for the reason that they name."""
    for name in DERIVATIVES:
        for call in calls_of(name, 0):
            assert examined(call, exact(call)) is None, (name, call.title)


@pytest.mark.parametrize("name", DERIVATIVES)
def test_which_calls_there_are(name: str) -> None:
    """Recorded ones, new ones, float32; and of the new ones no two checks have the same."""
    first, second = (list(derivative(name).calls(np.random.default_rng())) for _ in range(2))
    assert len(first) >= 15 and {str(np.dtype(call.dtype)) for call in first} == {"float64", "float32"}
    new = [call for call in first if "recorded" not in call.source]
    assert len(first) - len(new) >= 6
    old = {call.right[key].tobytes() for call in second for key in call.right if call.right[key].size}
    again = [
        call for call in new if any(x.size and np.abs(x).max() > 0 and x.tobytes() in old for x in call.right.values())
    ]
    assert len(again) <= len(new) // 4  # a gradient of 0 or 1 may come again


@pytest.mark.parametrize("name", SMOOTH)
def test_the_given_forward_keeps_float32_and_takes_complex_numbers(name: str) -> None:
    """The one for the check of dtypes, the other for exact derivatives; both agree with central differences."""
    each = exercise(name)
    assert isinstance(each, Pair)
    for inputs, static in each.draw(np.random.default_rng(5)):
        y, saved = each.forward()(**{key: x.astype(np.float32) for key, x in inputs.items()}, **static)
        assert y.dtype == np.float32
        assert all(x.dtype != np.float64 for x in saved if isinstance(x, np.ndarray))
        call = each.call(inputs, static, np.ones(np.shape(y)))
        assert call.finer is not None
        for key, right in call.finer().items():
            assert np.allclose(right, call.right[key], rtol=1e-6, atol=1e-7)


def test_the_update_is_the_engines() -> None:
    from tinytensor.optim.adamw import adamw_update

    for inputs, static in draw(np.random.default_rng(3)):
        p, g, m, v = (np.array(x) for x in inputs.values())
        numbers = dict(static)
        adamw_update(p, g, m, v, np.empty_like(p), step=numbers.pop("t"), **numbers)
        found = updated(*inputs.values(), *static.values())
        for right, key in ((p, "p"), (m, "m"), (v, "v")):
            assert np.allclose(found[key], right, rtol=1e-13, atol=1e-14)


def test_several_mistakes_fit_until_further_calls_tell_them_apart() -> None:
    """For a and b of one shape da = dy·a is also db: which of the two it is, a second call says."""
    line = "summed(dy * b, a.shape), summed(dy * a, b.shape)"
    for new, cause in (("summed(dy * a, a.shape), summed(dy * b, b.shape)", "dy is multiplied by a"),
                       ("summed(dy * a, b.shape), summed(dy * b, a.shape)", "this is db")):  # fmt: skip
        assert f"usual cause: {cause}" in "\n".join(check_text("mul", replaced("mul", line, new), 1).lines)


def test_a_mistake_without_a_name_has_no_cause() -> None:
    report = check_text("relu", replaced("relu", "dy, 0", "dy, 0.25"), 1)
    assert (
        not report.passed and "usual cause" not in "\n".join(report.lines) and "it should be" in "\n".join(report.lines)
    )


def test_faults_are_lines() -> None:
    assert Fault("a", "b").lines == ["a", "b"]
