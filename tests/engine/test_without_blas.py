"""The product for NumPy without BLAS, played on NumPy with BLAS: it is np.matmul in all but time, and its sums are exact."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytensor import backend, sums, without_blas
from tinytensor.without_blas import by_einsum

ULP = 2.0**-24
SIZES = st.integers(0, 5)
DTYPES = st.sampled_from(["float32", "float64", "float16", "int32", "bool", "complex64"])
LAYOUTS = st.sampled_from(["rows", "columns", "every other", "backwards", "broadcast"])


@st.composite
def operands(draw: Any) -> tuple[Any, Any]:
    """Two arrays, most of which fit: vectors, matrices and batches of them, of any layout; now and then a wrong size."""
    n, k, m = draw(SIZES), draw(SIZES), draw(SIZES)
    other = draw(st.sampled_from([k, k, k, k, k + 1]))
    left = draw(st.sampled_from([(), (k,), (n, k), (n, k), (2, n, k), (1, n, k)]))
    right = draw(st.sampled_from([(), (other,), (other, m), (other, m), (2, other, m), (3, 1, other, m)]))
    first = draw(DTYPES)
    second = draw(st.one_of(st.just(first), DTYPES))
    return array(left, first, draw(LAYOUTS), 1), array(right, second, draw(LAYOUTS), 2)


def array(shape: tuple[int, ...], dtype: str, layout: str, seed: int) -> Any:
    whole = np.random.default_rng(seed).integers(-3, 4, (*shape[:-1], 2 * shape[-1]) if shape else ()).astype(dtype)
    x = whole[..., ::2] if shape else whole
    if layout == "rows":
        return np.ascontiguousarray(x) if shape else x
    if layout == "columns":
        return np.asfortranarray(x)
    if layout == "broadcast" and shape:
        return np.broadcast_to(x[..., :1], x.shape)
    return x[..., ::-1] if layout == "backwards" and shape else x


def outcome(f: Any, *args: Any) -> Any:
    try:
        return f(*args)
    except (ValueError, TypeError) as error:
        return type(error), str(error)


def same(found: Any, wanted: Any) -> None:
    if isinstance(wanted, tuple):
        assert found == wanted
        return
    assert type(found) is type(wanted) and found.dtype == wanted.dtype and found.shape == wanted.shape
    assert found.strides == wanted.strides
    assert np.array_equal(found, wanted)  # of small whole numbers, so nothing is rounded


@given(operands())
def test_it_is_matmul(pair: tuple[Any, Any]) -> None:
    same(outcome(by_einsum, *pair), outcome(np.matmul, *pair))


@given(operands(), DTYPES, st.sampled_from(["rows", "columns", "every other", "wrong", "a", "b"]))
def test_it_writes_where_matmul_writes(pair: tuple[Any, Any], dtype: str, kind: str) -> None:
    a, b = pair
    wanted = outcome(np.matmul, a, b)
    shape = getattr(wanted, "shape", (2, 2))
    found: list[Any] = []
    for f in (by_einsum, np.matmul):
        left, right = a.copy(), b.copy()
        if kind in ("a", "b"):  # the result overwrites what it is computed from
            out = left if kind == "a" else right
        else:
            out = array(shape[1:] if kind == "wrong" else shape, dtype, "rows" if kind == "wrong" else kind, 3).copy(
                "K"
            )
        y = outcome(f, left, right, out)
        assert isinstance(y, tuple) or y is out
        found += [(y, out)]
    (y, out), (wanted, right) = found
    same(y, wanted)
    assert np.array_equal(out, right)


@pytest.mark.parametrize("values", [(np.nan, 1), (np.inf, 0), (np.inf, -np.inf)])
def test_what_is_not_finite_stays_so(values: tuple[float, float]) -> None:
    a, b = np.array([values, (1, 2)], "f"), np.array([(1, 2), (0, 3)], "f")
    with np.errstate(all="ignore"):
        assert np.array_equal(by_einsum(a, b), np.matmul(a, b), equal_nan=True)


def test_a_program_may_have_a_product_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked first; what it does not take is multiplied as before."""

    def doubled(a: Any, b: Any, out: Any) -> Any:
        return None if len(a) == 3 else 2 * np.matmul(a, b, out)

    monkeypatch.setattr(without_blas, "faster", doubled)
    assert np.array_equal(by_einsum(np.eye(2), np.eye(2)), 2 * np.eye(2))
    assert np.array_equal(by_einsum(np.eye(3), np.eye(3)), np.eye(3))


def test_with_blas_it_is_matmul_itself() -> None:
    assert without_blas.HAS_BLAS, "these tests run where NumPy has BLAS"
    assert backend.matmul is np.matmul and sums.matmul is np.matmul


@pytest.mark.parametrize(
    "said, wanted",
    [
        ({"blas": {"name": "scipy-openblas", "found": True, "version": "0.3.33"}}, True),
        ({"blas": {"name": "accelerate", "found": True}}, True),
        ({"blas": {"name": "mkl-sdl", "found": True}}, True),
        ({"blas": {"name": "auto"}, "lapack": {"name": "lapack"}}, False),  # NumPy 2.4.3 of Pyodide 314.0.3
        ({}, True),  # nothing is known: np.matmul is right in any case
    ],
)
def test_the_build_of_numpy_says_whether_there_is_blas(
    said: dict[str, Any], wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(np, "show_config", lambda mode: {"Build Dependencies": said})
    assert without_blas.has_blas() is wanted


WITHOUT = """
import numpy as np
build = np.show_config(mode="dicts")
build["Build Dependencies"]["blas"] = {"name": "auto"}
np.show_config = lambda mode: build
"""

LONG = """
from tinytensor import sums
from tinytensor.without_blas import by_einsum
assert sums.matmul is by_einsum and not sums.HAS_BLAS
random = np.random.default_rng(0)
worst = 0
for K in (10, 513, 1000, 10_000, 100_000):
    for N, M in ((1, 1), (3, 5), (20, 20)):
        a, b = (random.random(shape).astype("f") for shape in ((N, K), (K, M)))
        wide = a.astype("d") @ b.astype("d")
        batches = np.stack([a, a]), np.stack([b, b])
        for x, y, exact in [
            (a, b, wide), (np.asfortranarray(a), b, wide), (a, np.asfortranarray(b), wide), (a[0], b, wide[0]),
            (a, b[:, 0], wide[:, 0]), (a[0], b[:, 0], wide[0, 0]), (*batches, np.stack([wide, wide])),
        ]:
            found = sums.product(x, y)
            assert found.dtype == np.float32 and found.shape == exact.shape, (found.shape, exact.shape)
            out = None if exact.ndim == 0 else np.empty(exact.shape, "f")
            assert np.array_equal(sums.product(x, y, out), found) and (out is None or np.array_equal(out, found))
            worst = max(worst, float(np.abs(found / exact - 1).max()))
        worst = max(worst, float(np.abs(sums.column_sums(b) / b.astype("d").sum(0) - 1).max()))
        worst = max(worst, float(np.abs(sums.row_sums(a) / a.astype("d").sum(1) - 1).max()))
        worst = max(worst, float(np.abs(sums.contraction("nk,km->nm", a, b, optimize=True) / wide - 1).max()))
half = np.ones((1, 5000), np.float16)
assert sums.product(half, half.T) == 5000  # added up in float16 it would stop at 2,048
print(worst)
"""


def in_a_process(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", WITHOUT + script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_long_sums_are_as_exact_as_short_ones() -> None:
    """Of positive numbers, whose sum has no cancellation: 20 rounding errors at most, where one by one it is thousands."""
    assert float(in_a_process(LONG)) < 20 * ULP


TRAIN = """
import sys
from dataclasses import replace
from gpt.config import TrainConfig
from gpt.data import batch
from gpt.model import GPT
from gpt.optimizer import make_optimizer
from tinytensor import from_numpy, manual_seed
from tinytensor.backend import matmul
config = TrainConfig(vocab_size=11, layers=2, width=32, heads=2, context=16, batch_size=4, threads=1, dtype="float64")
manual_seed(1)
model = GPT(config).double()
optimizer = make_optimizer(model, config)
ids = np.random.default_rng(0).integers(0, 11, 1000).astype(np.uint8)
for step in range(10):
    optimizer.zero_grad()
    loss = model(*map(from_numpy, batch(ids, config, step)))[1]
    loss.backward()
    optimizer.step()
print(matmul.__name__, repr(loss.item()))
"""


def test_a_training_has_the_same_losses() -> None:
    name, loss = in_a_process(TRAIN).split()
    done = subprocess.run([sys.executable, "-c", "import numpy as np\n" + TRAIN], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert name == "by_einsum" and done.stdout.split()[0] == "matmul"
    assert float(loss) == pytest.approx(float(done.stdout.split()[1]), rel=1e-12)
