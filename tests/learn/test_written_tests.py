"""The exercises in which one writes a test: right tests pass, and a test that says nothing, too much, or by chance does not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from wrong import solution

from gpt.learn import check_text, exercise, exercises, start_text
from gpt.learn.exercise import Fault
from gpt.learn.mutants import PLAIN, RIGHT, WRONG, Variant, parsed
from gpt.learn.testing import ADVICE, STRICT, Subject, WrittenTest

TESTS = [each.name for each in exercises() if each.kind == "test"]
HEAD = "import numpy as np\n"


def written(name: str) -> WrittenTest:
    found = exercise(name)
    assert isinstance(found, WrittenTest)
    return found


def body(name: str, lines: str) -> str:
    """The start of an exercise with another test: what is given stays."""
    head = start_text(name).partition("def test(subject):")[0]
    return head + "def test(subject):\n" + "".join(f"    {line}\n" for line in lines.splitlines())


def test_what_there_is() -> None:
    assert TESTS == [
        "test_unbroadcast", "test_tape", "test_cross_entropy", "test_layer_norm", "test_causal_mask", "test_adamw", "test_batch",
        "test_sampling",
    ]  # fmt: skip
    assert set(RIGHT) == set(WRONG) == {name.removeprefix("test_") for name in TESTS}


@pytest.mark.parametrize("name", TESTS)
def test_the_solution_notices_all_mutants(name: str) -> None:
    report = check_text(name, solution(name))
    assert report.passed, report.lines
    assert f"notices all {len(WRONG[name.removeprefix('test_')])} mutants" in report.lines[1]


@pytest.mark.parametrize("name", TESTS)
def test_an_empty_test_notices_none(name: str) -> None:
    report = check_text(name, body(name, "pass"))
    count = len(WRONG[name.removeprefix("test_")])
    assert not report.passed and count >= 6
    assert f"notices 0 of {count} mutants" in report.lines[1]
    assert [line.removeprefix("    one that ") for line in report.lines[2:-1]] == [
        each.what for each in written(name).mutants()
    ]
    assert "the test never calls subject" in report.lines[-1]


@pytest.mark.parametrize("name", TESTS)
def test_the_start_passes_on_right_code_and_is_not_enough(name: str) -> None:
    report = check_text(name, start_text(name))
    assert not report.passed and "it passes on right code, and notices" in report.lines[1]


@pytest.mark.parametrize("name", TESTS)
def test_a_test_that_always_fails_does_not_pass(name: str) -> None:
    report = check_text(name, body(name, "assert False, 'no'"))
    assert not report.passed and "the test fails on right code: the plain one" in report.lines[1]
    assert "AssertionError: no" in report.lines[2] and report.lines[3].strip() == "assert False, 'no'"


@pytest.mark.parametrize("name", TESTS)
def test_a_test_with_a_mistake_of_its_own_does_not_pass(name: str) -> None:
    report = check_text(name, body(name, "subject()"))
    assert not report.passed and "TypeError" in report.lines[2]


@pytest.mark.parametrize("subject", WRONG)
def test_mutants_are_one_replacement_each_and_differ(subject: str) -> None:
    variants = [PLAIN, *RIGHT[subject], *WRONG[subject]]
    made = [variant.make(subject) for variant in variants]  # ValueError if its old text is not there once
    assert len({(each.old, each.new) for each in variants}) == len(variants) == len(made)
    for each in WRONG[subject]:
        assert each.what[0].islower() and not each.what.endswith(".")
    with pytest.raises(ValueError, match="0 times"):
        type(PLAIN)("", "no such text", "").make(subject)


def test_a_file_of_variants_is_read_by_paragraphs() -> None:
    text = "what it is\n\nRIGHT\n\nWRONG\n\nadds\n- a\n- b\n+ c\n"
    assert parsed(text) == {"RIGHT": [], "WRONG": [Variant("adds", "a\nb", "c")]}
    for bad in ("- a\n", "+ c\n- a\n", "- a\n+ c\nd\n"):
        with pytest.raises(ValueError, match="'adds' has to be followed by lines with '- '"):
            parsed(f"what it is\n\nWRONG\n\nadds\n{bad}")


@pytest.mark.parametrize("name", TESTS)
def test_each_mutant_is_noticed_for_its_own_mistake(name: str) -> None:
    """The solution fails on it by an assertion, or since the mutant itself breaks down: not by a mistake of the solution."""
    from gpt.learn.reader import Reader
    from gpt.learn.testing import fault_of

    reader = Reader(solution(name), name)
    faults = {each.what: fault_of(reader, each.function, [0]) for each in written(name).subjects() if not each.right}
    assert all(fault is not None for fault in faults.values()), faults
    by_assertion = [what for what, fault in faults.items() if fault is not None and "AssertionError" in fault.lines[0]]
    assert len(by_assertion) >= len(faults) - 3


OVER_STRICT = {
    "test_cross_entropy": "x = np.array([[0.3, 1.1, -0.7]])\n"
                          "assert subject(x, np.array([1]))[0] == -np.log((np.exp(x) / np.exp(x).sum())[0, 1])",
    "test_causal_mask": "q = np.random.default_rng(0).standard_normal((6, 3))\n"
                        "e = np.tri(6) * np.exp(q @ q.T / 3**0.5)\n"
                        "assert (subject(q, q, np.eye(6)) == e / e.sum(1, keepdims=True)).all()",
    "test_adamw": "p, m, v = subject(*np.full((4, 1), 0.3), 2, 0.1, 0.9, 0.99, 1e-3, 0.1)\n"
                  "assert p[0] == 0.3 * 0.99 - 0.1 * (0.3 / 0.19) / (0.2979 / (1 - 0.99**2)) ** 0.5",
    "test_unbroadcast": "dy = np.random.default_rng(0).standard_normal((7, 3))\n"
                        "assert (subject(dy, (3,)) == dy.sum(0)).all()",
    "test_batch": "places = np.random.default_rng(0).integers(0, 6, 4)\n"
                  "assert (subject(np.arange(9), 4, 3, np.random.default_rng(0))[0][:, 0] == places).all()",
    "test_sampling": "z = np.array([0.3, 1.1, -0.7])\nassert (subject(z) == np.exp(z) / np.exp(z).sum()).all()",
    "test_layer_norm": "x = np.random.default_rng(0).standard_normal((4, 5))\ny = subject(x, np.ones(5), np.zeros(5), x)[0]\n"
                       "assert (y == (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)).all()",
}  # fmt: skip


@pytest.mark.parametrize("name", OVER_STRICT)
def test_a_test_that_is_too_strict_is_told_so(name: str) -> None:
    report = check_text(name, body(name, OVER_STRICT[name]))
    head, assertion = "  the test fails on right code: ", OVER_STRICT[name].splitlines()[-1]
    assert not report.passed and report.lines[1].startswith(head)
    failed = report.lines[1].removeprefix(head)  # which one rounds differently is the machine's matter
    assert failed in [each.what for each in (PLAIN, *RIGHT[name.removeprefix("test_")])]
    assert report.lines[2].endswith(": AssertionError") and report.lines[3] == f"      {assertion}"
    assert report.lines[4:] == [f"  {line}" for line in ADVICE.get(failed, STRICT)]


def test_memory_layout_does_not_matter() -> None:
    lines = "dx = subject(np.ones((2, 3)), (3,))\nassert dx.flags.c_contiguous"
    report = check_text("test_unbroadcast", body("test_unbroadcast", lines))
    assert "the test fails on right code: the plain one, with its results in another memory layout" in report.lines[1]
    assert "compare values and shapes" in report.lines[-1]


def test_a_mutant_that_is_noticed_by_chance_survives() -> None:
    fault = Fault("AssertionError")
    subjects = [Subject("the plain one", True, print, [None, None]), Subject("is wrong", False, print, [fault, None])]
    with pytest.raises(
        Fault, match=r"notices 0 of 1 mutants; these survive:\n  one that is wrong  \(noticed in 1 of 3 runs\)"
    ):
        written("test_adamw").judge(subjects, 1)
    subjects[1].said = [fault, fault]
    assert "notices all 1 mutants" in written("test_adamw").judge(subjects, 1)[1]
    subjects[0].said = [None, fault]
    with pytest.raises(Fault, match="fails on right code: the plain one, in 1 of 3 runs: is it random"):
        written("test_adamw").judge(subjects, 1)


@pytest.mark.programs
def test_a_test_by_chance_does_not_pass() -> None:
    """It passes on right code, and fails on mutants, each with some luck: three runs of each see through it."""
    half = solution("test_sampling") + "    assert np.random.default_rng().random() < 0.7\n"
    lucky = body(
        "test_sampling",
        "k = int(np.random.default_rng().integers(2, 4))\n"
        "assert np.allclose(subject(np.log([0.2, 0.5, 0.3]), top_k=k), [0.2, 0.5, 0.3])",
    )
    for text in (half, lucky):
        assert not check_text("test_sampling", text, 0).passed
    sometimes = body(
        "test_sampling",
        "if np.random.default_rng().random() < 0.5:\n    assert np.isclose(subject(np.log([0.2, 0.8]), 2.0)[0], 1 / 3)",
    )
    reports = [check_text("test_sampling", sometimes, seed) for seed in range(4)]
    assert any("(noticed in" in line for report in reports for line in report.lines)


SPYING = {
    "assert subject.__name__ == 'subject' and subject.__code__.co_name == 'x'": "reads .__",
    "import inspect": "imports inspect",
    "assert 'mean' not in str(subject.__closure__)": "reads .__closure__",
    "assert getattr(subject, '__closure__')": "calls getattr()",
    "import gc": "imports gc",
    "import sys\nsys._getframe()": "imports sys",
}  # fmt: skip


@pytest.mark.parametrize("lines", SPYING)
def test_a_test_that_looks_at_the_subject_itself_is_refused(lines: str) -> None:
    report = check_text("test_adamw", body("test_adamw", lines))
    assert not report.passed and SPYING[lines] in "\n".join(report.lines)


def test_all_subjects_look_alike_and_nothing_is_remembered() -> None:
    """Neither text nor type nor order tells right from wrong, and each run begins anew."""
    looks: set[str] = set()
    spy = body("test_adamw", "print(type(subject), str(subject).partition(' at ')[0], len(SEEN))\nSEEN.append(1)").replace(
        "import numpy as np\n", "import numpy as np\n\nSEEN = []\n", 1)  # fmt: skip
    report = check_text("test_adamw", spy)
    looks = {line for line in report.lines if "class" in line}
    assert looks == {"      <class 'function'> <function opaque.<locals>.subject 0"}


def test_counting_runs_over_numpy_is_refused() -> None:
    """A name that a file puts into NumPy would outlive its run: a count of runs could tell when right code is due."""
    lines = "np.count = vars_of = 1\nassert True"
    report = check_text("test_adamw", body("test_adamw", lines))
    assert not report.passed and "the file changes a module that others use: numpy.count" in "\n".join(report.lines)
    assert not hasattr(np, "count")


def test_numpys_random_numbers_remember_nothing() -> None:
    before = np.random.get_state()[1].copy()  # type: ignore[union-attr]
    text = body("test_adamw", "print(np.random.randint(10**9))\nnp.random.seed(5)")
    numbers = [line for line in check_text("test_adamw", text).lines if line.strip().isdigit()]
    assert len(set(numbers)) == len(numbers) > 5
    assert np.array_equal(np.random.get_state()[1], before)  # type: ignore[arg-type]


def test_a_test_returns_nothing() -> None:
    report = check_text("test_adamw", body("test_adamw", "return True"))
    assert not report.passed and "the test returns a bool: a test returns nothing" in report.lines[1]


def test_the_order_is_random() -> None:
    """With one seed the same, with another one not: the first run is of a right variant and of a mutant."""
    text = body("test_unbroadcast", "print(round(float(subject(np.ones((2, 3)), (3,))[0]), 3))")
    first = [tuple(check_text("test_unbroadcast", text, seed).lines) for seed in (1, 1, 2, 3, 4)]
    assert first[0] == first[1] and len(set(first)) > 1


def test_the_subjects_are_right() -> None:
    """Each agrees with PyTorch, or with the part of this project that does the same."""
    torch: Any = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    plain = {name: PLAIN.make(name) for name in WRONG}

    x = torch.tensor(rng.standard_normal((3, 5)), requires_grad=True)
    loss = torch.nn.functional.cross_entropy(x, torch.tensor([1, 0, 4]))
    loss.backward()
    found = plain["cross_entropy"](x.detach().numpy(), np.array([1, 0, 4]))
    assert np.allclose(found[0], loss.item(), rtol=1e-13) and np.allclose(found[1], x.grad, rtol=1e-12)

    x, w, b = (torch.tensor(rng.standard_normal(shape), requires_grad=True) for shape in ((3, 5), (5,), (5,)))
    dy = rng.standard_normal((3, 5))
    y = torch.nn.functional.layer_norm(x, (5,), w, b)
    y.backward(torch.tensor(dy))
    found = plain["layer_norm"](*(t.detach().numpy() for t in (x, w, b)), dy)
    assert all(np.allclose(a, t.detach(), rtol=1e-11) for a, t in zip(found, (y, x.grad, w.grad, b.grad)))

    q, k, v = rng.standard_normal((3, 4, 6))
    y = torch.nn.functional.scaled_dot_product_attention(*map(torch.tensor, (q, k, v)), is_causal=True)
    assert np.allclose(plain["causal_mask"](q, k, v), y, rtol=1e-12)

    from gpt.learn.derivatives.adamw import draw, updated

    for inputs, static in draw(rng):
        right = updated(*inputs.values(), *static.values())
        assert all(
            np.allclose(a, b) for a, b in zip(plain["adamw"](*inputs.values(), *static.values()), right.values())
        )

    from gpt.sampling import candidates
    from tinytensor import tensor

    z = rng.standard_normal(9)
    for how in ({}, {"top_k": 3}, {"top_p": 0.6}, {"top_k": 4, "top_p": 0.5}, {"temperature": 0.3}):
        tokens, p = candidates(tensor(z), **{"temperature": 1.0, **how})
        found = plain["sampling"](z, **how)
        assert np.allclose(found[tokens], p) and np.count_nonzero(found) == len(tokens)

    from tinytensor.ops.arithmetic import unbroadcast

    dy = rng.standard_normal((2, 3, 4))
    for shape in ((3, 4), (4,), (3, 1), (1, 3, 1), (), (2, 3, 4)):
        assert np.allclose(plain["unbroadcast"](dy, shape), unbroadcast(dy, shape))
