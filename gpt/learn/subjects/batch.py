"""The subject of test_batch: random windows of a text, with the token that follows each of their tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def subject(ids: Array, size: int, context: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return inputs and targets, (size, context) each."""
    count = len(ids) - context
    starts = rng.integers(0, count, size)
    places = starts[:, None] + np.arange(context)
    inputs = ids[places]
    targets = ids[places + 1]
    return inputs, targets
