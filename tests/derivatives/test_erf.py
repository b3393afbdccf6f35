"""The error function against Python's own, which is the C library's."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tinytensor.ops.erf import erf


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 5e-16), (np.float32, 4.2e-7), (np.float16, 1e-3)])
def test_against_the_c_library(dtype: type, tolerance: float) -> None:
    x = np.concatenate([np.linspace(-7, 7, 20011), [0.46875, 4.0, 3.92, -3.92, 1e-30, 0.0]]).astype(dtype)
    exact = np.array([math.erf(v) for v in x])
    y = erf(x)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, exact, rtol=tolerance, atol=1e-30)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_ends(dtype: type) -> None:
    y = erf(np.array([np.inf, -np.inf, np.nan, 100.0], dtype))
    assert y[0] == 1
    assert y[1] == -1
    assert np.isnan(y[2])
    assert y[3] == 1
