"""The test of the tester: gradcheck accepts derivatives that are right, and rejects planted errors with their place."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpt.rotary_samples  # noqa: F401  (a model may add primitives of its own)
import tinytensor as tt
from tinytensor.autograd import GradcheckError, gradcheck
from tinytensor.gradcheck import samples, table
from tinytensor.gradcheck.samples import SAMPLES
from tinytensor.gradcheck.table import Sample
from tinytensor.primitive import Primitive
from tinytensor.tape import apply

ROOT = Path(__file__).parents[2]


def normal(*shape: int, seed: int = 0) -> tt.Tensor:
    return tt.tensor(np.random.default_rng([seed, *shape]).standard_normal(shape), requires_grad=True)


def planted(forward: Callable[..., Any], backward: Callable[..., Any]) -> Callable[..., Any]:
    """A function from a pair that is not in the table."""
    row = Primitive("planted", forward, backward, "", "")
    return lambda *xs: apply(row, *xs)


def matmul(a: np.ndarray, b: np.ndarray) -> Any:
    return a @ b, (a, b)


def add(a: np.ndarray, b: np.ndarray) -> Any:
    return a + b, (a.shape, b.shape)


def twice_picked(x: np.ndarray) -> Any:
    return x[np.array([0, 0, 1])], (x.shape,)


def overwriting(dy: np.ndarray, shape: tuple[int, ...]) -> Any:
    dx = np.zeros(shape)
    dx[np.array([0, 0, 1])] = dy
    return (dx,)


def adding(dy: np.ndarray, shape: tuple[int, ...]) -> Any:
    dx = np.zeros(shape)
    np.add.at(dx, np.array([0, 0, 1]), dy)
    return (dx,)


def transposed_block(dy: np.ndarray, a: np.ndarray, b: np.ndarray) -> Any:
    da = dy @ b.T
    da[:2, :2] = da[:2, :2].T.copy()
    return da, a.T @ dy


RIGHT: dict[str, tuple[Callable[..., Any], list[tt.Tensor]]] = {
    "square": (planted(lambda x: (x * x, (x,)), lambda dy, x: (2 * x * dy,)), [normal(3)]),
    "matmul": (planted(matmul, lambda dy, a, b: (dy @ b.T, a.T @ dy)), [normal(3, 2), normal(2, 4)]),
    "broadcast": (planted(add, lambda dy, a, b: (dy, dy.sum(0))), [normal(3, 2), normal(2)]),
    "repeated index": (planted(twice_picked, adding), [normal(3)]),
    "constant": (lambda x: (x * 0 + 2, tt.ones(3)), [normal(2)]),
    "several outputs": (lambda x: (x.sin(), x.sum(), x.split(1)[1]), [normal(3)]),
    "of the engine": (
        lambda q, k: tt.nn.functional.scaled_dot_product_attention(q, k, k, is_causal=True),
        [normal(3, 2), normal(3, 2, seed=1)],
    ),
    "through integers": (lambda x, i: x[i], [normal(3), tt.tensor([0, 2])]),
    "empty": (lambda x: x * 2, [normal(0)]),
    "0-d": (lambda x: x * x, [normal()]),
    "accumulated": (lambda x: x * x + x.sin() * x.sum(), [normal(4)]),
}

WRONG: dict[str, tuple[Callable[..., Any], list[tt.Tensor]]] = {
    "factor 1.001": (planted(lambda x: (x * x, (x,)), lambda dy, x: (1.001 * 2 * x * dy,)), [normal(3)]),
    "sign": (planted(lambda x: (-x, ()), lambda dy: (dy,)), [normal(3)]),
    "transposed block": (planted(matmul, transposed_block), [normal(3, 2), normal(2, 4)]),
    "overwritten": (planted(twice_picked, overwriting), [normal(3)]),
    "first of several": (planted(add, lambda dy, a, b: (dy, dy[0])), [normal(3, 2), normal(2)]),
    "dropped mean": (lambda x: (x - x.mean().detach()) * x, [normal(4)]),
    "constant -123": (planted(lambda x: (np.sin(x), ()), lambda dy: (np.full(dy.shape, -123.0),)), [normal(3)]),
    "nan": (planted(lambda x: (np.sin(x), ()), lambda dy: (np.full(dy.shape, np.nan),)), [normal(3)]),
    "none": (planted(lambda x: (np.sin(x), ()), lambda dy: (None,)), [normal(3)]),
    "one element": (
        planted(lambda x: (np.sin(x), (x,)), lambda dy, x: (dy * np.cos(x) * (np.arange(x.size) != 3),)),
        [normal(5)],
    ),
    "second input": (planted(matmul, lambda dy, a, b: (dy @ b.T, -a.T @ dy)), [normal(3, 2), normal(2, 4)]),
    "detached": (lambda x: x * x.detach(), [normal(3)]),
    "of a second output": (lambda x: (x, planted(lambda x: (np.sin(x), ()), lambda dy: (dy,))(x)), [normal(3)]),
}


@pytest.mark.parametrize("function, inputs", RIGHT.values(), ids=RIGHT.keys())
def test_accepts(function: Callable[..., Any], inputs: list[tt.Tensor]) -> None:
    before = [x.tolist() for x in inputs]
    assert gradcheck(function, inputs) is True
    assert [x.tolist() for x in inputs] == before, "inputs are put back"
    assert all(x.grad is None for x in inputs), "no .grad is touched"


@pytest.mark.parametrize("function, inputs", WRONG.values(), ids=WRONG.keys())
def test_rejects(function: Callable[..., Any], inputs: list[tt.Tensor]) -> None:
    with pytest.raises(GradcheckError, match=r"derivatives are wrong"):
        gradcheck(function, inputs)
    assert gradcheck(function, inputs, raise_exception=False) is False


def test_a_tolerance_can_be_widened_to_pytorchs() -> None:
    """At PyTorch's default of 1e-3 a factor of 1.001 passes."""
    function, inputs = WRONG["factor 1.001"]
    assert gradcheck(function, inputs, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("through", [lambda b: b, lambda b: b * 1.0])
def test_a_dropped_sum_over_a_broadcast_dimension_is_rejected(through: Callable[[Any], Any]) -> None:
    """The gradient then has another shape than its input, or than the output that is its input."""
    add_to = planted(add, lambda dy, a, b: (dy, dy))
    with pytest.raises(GradcheckError, match=r"planted returned .* \(3, 2\) for an input of shape \(2,\)"):
        gradcheck(lambda a, b: add_to(a, through(b)), [normal(3, 2), normal(2)])


def test_says_where_and_by_how_much() -> None:
    def backward(dy: np.ndarray, x: np.ndarray) -> Any:
        dx = dy * np.cos(x)
        dx[2] += 0.25 * dy[2]
        return (dx,)

    x = tt.zeros(4, dtype=tt.float64, requires_grad=True)
    other = normal(2)
    sine = planted(lambda x: (np.sin(x), (x,)), backward)
    with pytest.raises(GradcheckError) as caught:
        gradcheck(lambda a, b: (a * 2, sine(b)), [other, x])
    text = str(caught.value)
    for part in ("output 1", "input 1", "(4,)", "1 of 16", "output[2]", "input[2]", "1.25"):
        assert part in text, (part, text)
    assert float(text.rpartition(" ")[2]) == pytest.approx(1)


def test_says_where_in_matrices() -> None:
    transposed = planted(matmul, transposed_block)
    with pytest.raises(GradcheckError, match=r"d output\[[01], \d\] / d input\[[01], [01]\]"):
        gradcheck(transposed, [normal(3, 2), normal(2, 4)])


def test_needs_float64() -> None:
    with pytest.raises(ValueError, match="float64"):
        gradcheck(lambda x: x * x, [tt.ones(2, requires_grad=True)])


def test_needs_an_input_that_requires_grad() -> None:
    with pytest.raises(ValueError, match="requires grad"):
        gradcheck(lambda x: x * x, [tt.ones(2, dtype=tt.float64)])


def test_inputs_that_want_no_gradient_are_not_checked() -> None:
    constant = tt.ones(2, dtype=tt.float64)
    assert gradcheck(planted(add, lambda dy, a, b: (dy, dy * 7)), [normal(2), constant])


def test_takes_one_tensor() -> None:
    assert gradcheck(lambda x: x.exp(), normal(2, 2))


def test_is_also_at_its_name_in_pytorch() -> None:
    torch = pytest.importorskip("torch")
    assert tt.autograd.gradcheck is gradcheck
    theirs = importlib.import_module("torch.autograd.gradcheck").GradcheckError
    assert theirs.__mro__[1:] == GradcheckError.__mro__[1:]
    x = torch.ones(2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: x * x, x) is gradcheck(lambda x: x * x, normal(2))


# ------------------------------------------------------------------------------- the checks of the table's rows


def cube(forward: Any = None, backward: Any = None, composed: Any = None) -> Primitive:
    """y = x³, or what is put in the place of a part of it."""
    return Primitive(
        "cube",
        forward or (lambda x: (x * x * x, (x,))),
        backward or (lambda dy, x: (3 * x * x * dy,)),
        "y = x³", "", composed or (lambda x: x * x * x),
    )  # fmt: skip


CUBE = Sample((np.array([[0.5, -1.25], [2.0, 0.75]]),), lambda x: x**3)

SLIGHTLY_WRONG: dict[str, tuple[list[str], Primitive, float]] = {
    "backward": (["differences", "directions"], cube(backward=lambda dy, x: (3 * x * x * dy * (1 + 1e-6),)), 1e-6),
    "one element": (
        ["differences", "directions"],
        cube(backward=lambda dy, x: (3 * x * x * dy * (1 + 1e-5 * (x == 0.75)),)), 1e-5 * 3 * 0.75**2 / 12,
    ),
    "nan": (["differences", "directions"], cube(backward=lambda dy, x: (3 * x * x * dy * np.nan,)), np.inf),
    "none": (["differences"], cube(backward=lambda dy, x: (None,)), 1.0),
    "composed value": (["composed"], cube(composed=lambda x: x * x * x + 1e-11), 1e-11 / 8),
    "composed gradient": (["composed"], cube(composed=lambda x: x.detach() * x * x), 1 / 3),
    "rounding": (["ulps"], cube(forward=lambda x: ((x + 1000) ** 3 - 1000**3 - 3000 * x * (x + 1000), (x,))), 100.0),
    "digits": (["ulps"], cube(backward=lambda dy, x: (3 * x * x * dy * (1 + 1e-5 * (x.dtype == np.float32)),)), 20.0),
}  # fmt: skip


@pytest.mark.parametrize("name", SLIGHTLY_WRONG)
def test_a_check_sees_a_small_error(name: str) -> None:
    checks, wrong, size = SLIGHTLY_WRONG[name]
    for check in checks:
        assert getattr(table, check)(cube(), CUBE) <= table.LIMITS.get(check, table.LIMITS["differences"])
        error = getattr(table, check)(wrong, CUBE)
        assert not error < size / 4, "seen, and not much smaller than it is"
        row = table.examine(wrong, [CUBE], with_pytorch=False)
        assert (check if check != "directions" else "differences") in row.wrong()


def test_a_check_compares_with_pytorch() -> None:
    pytest.importorskip("torch")
    assert table.pytorch(cube(), CUBE) <= 1e-15
    assert table.pytorch(cube(), replace(CUBE, torch=lambda x: x**3 + 1e-10)) == pytest.approx(1e-10 / 8, rel=1e-3)
    assert table.pytorch(cube(), replace(CUBE, torch=lambda x: x**3 + (x - x.detach()))) > 0.01, "the gradient"
    assert table.ulps(cube(), CUBE, with_pytorch=True) < 2
    assert table.ulps(cube(), replace(CUBE, torch=lambda x: x**3 * 1.001), with_pytorch=True) > 100


def test_a_wrong_shape_is_no_small_error() -> None:
    row = cube(forward=lambda x: (np.concatenate([x, x])[:2] ** 3, (x,)), composed=lambda x: (x**3).reshape(1, 4))
    with pytest.raises(RuntimeError, match="shape"):
        table.composed(row, CUBE)


def test_saved_bytes_count_memory_once() -> None:
    x = CUBE.arrays[0]
    assert table.saved_bytes(cube(forward=lambda x: (x, (x, x.T, 3, [x * 2]))), CUBE) == 2 * x.nbytes
    assert table.saved_bytes(cube(forward=lambda x: (x, (x[0],))), CUBE) == x.nbytes, "a view keeps all of it"


def test_large_inputs_are_checked_in_random_directions() -> None:
    large = Sample((normal(table.LARGE + 1).detach().numpy(),), lambda x: x**3)
    wrong = SLIGHTLY_WRONG["backward"][1]
    assert table.differences(wrong, large) == 0
    assert table.directions(wrong, large) > 1e-7
    assert table.examine(wrong, [large], with_pytorch=False).wrong() == ["differences", "composed"]


# ------------------------------------------------------------------------------ python -m tinytensor.gradcheck


def printed(*arguments: str, **options: Any) -> tuple[int, str]:
    """The exit status and what was printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tinytensor.gradcheck", *arguments],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.programs
def test_the_table_of_some_primitives() -> None:
    status, text = printed("softmax", "mul")
    assert status == 0, text
    lines = text.split("\n")
    assert [line.split()[0] for line in lines[1:3]] == ["softmax", "mul"]
    assert "y = eˣ / Σ eˣ" in lines[1]
    differences, pytorch, composed, ulps, saved = lines[1].split()[1:6]
    assert 0 < float(differences) < 1e-7 and 0 < float(composed) < 1e-12 and 0 < float(ulps) < 4
    assert pytorch == "–" or float(pytorch) < 1e-12
    assert int(saved) == 2 * 3 * 4 * 8, "y, of the largest sample"
    count = len(SAMPLES["softmax"]) + len(SAMPLES["mul"])
    assert f"2 primitives, {count} sample calls; worst: differences" in text
    assert "!" not in text


WRONG_SAMPLES = """
import numpy as np
from tinytensor.gradcheck.sample import Sample
from tinytensor.gradcheck.samples import add
from tinytensor.primitive import primitive

FACTOR = 3.001
primitive("cube", lambda x: (x * x * x, (x,)), lambda dy, x: (FACTOR * x * x * dy,), formula="y = x³")
add("cube", [Sample((np.array([1.0, 2.0]),), lambda x: x**3)])
"""


@pytest.mark.programs
def test_the_table_of_a_wrong_primitive_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(WRONG_SAMPLES, "utf-8")
    status, text = printed("--samples", str(file))
    assert status == 1
    assert "3.3e-04!" in text
    assert "above the limit: cube (differences" in text


@pytest.mark.programs
def test_the_table_of_another_packages_primitive() -> None:
    status, text = printed("--samples", "gpt.rotary_samples")
    assert status == 0
    assert text.split("\n")[1].startswith("rotary ")
    assert f"1 primitives, {len(SAMPLES['rotary'])} sample calls" in text


def test_a_primitive_has_one_row_of_samples() -> None:
    with pytest.raises(ValueError, match="'gelu' has samples already"):
        samples.add("gelu", [])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nothing"], "no primitive 'nothing'"),
        (["--samples", "not/there.py"], "there is no not/there.py"),
        (["--samples", "not.there"], "No module named 'not'"),
        (["--samples", "gpt/errors.py"], "gpt/errors.py adds no samples"),
        (["--samples", "gpt.config"], "gpt.config adds no samples"),
    ],
)
def test_the_table_says_what_is_wrong_in_a_line(arguments: list[str], message: str) -> None:
    status, text = printed(*arguments)
    assert status == 2
    assert message in text and "Traceback" not in text
