"""What Tensors, sizes and containers print, character by character as in PyTorch, but for the name of the library."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import cases

import tinytensor as tt
from tinytensor import printing

torch = pytest.importorskip("torch")

SPECIAL = [0.0, -0.0, np.nan, np.inf, -np.inf, 1.0, -2.5, 1e-5, 1e9, 65504.0]


@pytest.fixture(autouse=True)
def usual_print() -> Iterator[None]:
    before = dict(printing.options)
    yield
    printing.options.update(before)
    torch.set_printoptions(profile="default")


@st.composite
def arrays(draw: Any) -> np.ndarray:
    """Up to four dimensions, some with over 1,000 elements; numbers of one size, of all sizes, whole, special."""
    shape = draw(st.lists(st.sampled_from([2, 3, 1, 5, 8, 0, 11, 30]), max_size=4))
    if draw(st.integers(0, 5)) == 5 or np.prod(shape) > 5000:
        shape = [draw(st.sampled_from([999, 1001, 1500]))] if draw(st.booleans()) else [40, 30]
    rng = np.random.default_rng(draw(st.integers(0, 9999)))
    dtype = draw(st.sampled_from(["float32", "float64", "float16", "int64", "int32", "uint8", "bool"]))
    kind = draw(st.sampled_from(["plain", "scaled", "whole", "wide", "special", "sprinkled"]))
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype[0] in "iu":
        top = min(10 ** draw(st.integers(1, 18)), int(np.iinfo(dtype).max))
        return rng.integers(0 if dtype == "uint8" else -top, top, shape).astype(dtype)
    x = np.asarray(rng.standard_normal(shape))
    if kind in ("scaled", "whole"):
        x = x * 10.0 ** draw(st.integers(-8, 9))
    if kind in ("whole", "sprinkled"):
        x = np.round(x)
    if kind == "wide":
        x = x * 10.0 ** rng.integers(-12, 12, shape)
    if kind == "special":
        x = rng.choice(SPECIAL, shape)
    if kind == "sprinkled":
        x = np.where(rng.random(shape) < 0.1, rng.choice(SPECIAL, shape), x)
    with np.errstate(all="ignore"):
        return np.asarray(x).astype(dtype)


OPTIONS = st.fixed_dictionaries(
    {
        "precision": st.integers(0, 7),
        "threshold": st.sampled_from([1000, 10, 0]),
        "edgeitems": st.integers(0, 4),
        "linewidth": st.integers(20, 120),
        "sci_mode": st.sampled_from([None, True, False]),
    }
)


def shown(t: Any, x: np.ndarray, grad: str) -> str:
    y = t.from_numpy(x.copy())
    if x.dtype.kind == "f" and grad:
        y = y.requires_grad_() if grad == "leaf" else y.requires_grad_() * 1
    return str(y).replace("tinytensor.", "torch.")


@pytest.mark.parametrize("chosen", [False, True], ids=["default", "options"])
def test_a_tensor_prints_as_pytorchs(chosen: bool) -> None:
    @cases(300)
    @given(x=arrays(), grad=st.sampled_from(["", "leaf", "result"]), options=OPTIONS)
    def check(x: np.ndarray, grad: str, options: dict[str, Any]) -> None:
        for t in (torch, tt):
            if chosen:
                t.set_printoptions(**options)
        assert shown(tt, x, grad) == shown(torch, x, grad)

    check()


def test_a_subclass_prints_its_name() -> None:
    class Mine(tt.Tensor):
        pass

    assert str(Mine([1.0, 2.0])) == "Mine([1., 2.])"


def test_print_profiles() -> None:
    for profile in ("short", "full", "default"):
        for t in (torch, tt):
            t.set_printoptions(profile=profile)
        assert str(tt.arange(1200) / 7) == str(torch.arange(1200) / 7)
    with pytest.raises(ValueError, match="'short'"):
        tt.set_printoptions(profile="long")


SIZES = """
a[:2] | a[::-1] | a[1:].numel() | a[1] | a[-1:] | a + (1,) | (1,) + a | a + a | a * 2 | 2 * a | S() | S([]).numel()
S((1, 2.0)) | S(["a"]) | S([True]) | S(3) | a + [1] | a == (2, 3, 4) | S([-1]).numel() | a.index(3)
""".replace("\n", "|").split("|")


@pytest.mark.parametrize("expression", [e.strip() for e in SIZES if e.strip()])
def test_parts_and_sums_of_sizes_are_sizes(expression: str) -> None:
    found = []
    for t in (torch, tt):
        try:
            value = eval(expression, {"S": t.Size, "a": t.Size([2, 3, 4])})
            found.append((type(value).__name__, str(value).replace("tinytensor", "torch")))
        except Exception as error:
            found.append((type(error).__name__, ""))
    assert found[0] == found[1]


def library_free(text: str) -> str:
    return re.sub(r"\b(tinytensor|torch)\.", "", text)
