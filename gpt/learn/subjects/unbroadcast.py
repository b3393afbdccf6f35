"""The subject of test_unbroadcast: dy summed to the shape of an input that was broadcast."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def subject(dy: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return dy summed to `shape`."""
    extra = dy.ndim - len(shape)
    lacking = tuple(range(extra))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1)
    dx = dy.sum(lacking)
    dx = np.asarray(dx).sum(stretched, keepdims=True)
    return np.asarray(dx).reshape(shape).astype(dy.dtype)
