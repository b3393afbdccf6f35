"""The subject of test_sampling: the probabilities from which the next token is drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def subject(logits: Array, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None) -> Array:
    """Return the probabilities (V,) of the tokens, for logits (V,)."""
    z = logits / temperature
    e = np.exp(z - z.max())
    p = e / e.sum()
    order = np.argsort(-p, kind="stable")
    if top_k is not None:
        p[order[top_k:]] = 0
        p = p / p.sum()
    if top_p is not None:
        before = np.cumsum(p[order]) - p[order]
        p[order[before >= top_p]] = 0
        p = p / p.sum()
    return np.asarray(p)
