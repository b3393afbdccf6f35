"""The subject of test_adamw: one step of AdamW."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def subject(p: Array, g: Array, m: Array, v: Array, t: int, lr: float, beta1: float, beta2: float, eps: float,
            weight_decay: float) -> tuple[Array, Array, Array]:  # fmt: skip
    """Return p, m and v after step t; those that were given stay as they are."""
    p = p * (1 - lr * weight_decay)
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    mhat = m / (1 - beta1**t)
    vhat = v / (1 - beta2**t)
    p = p - lr * mhat / (np.sqrt(vhat) + eps)
    return p, m, v
