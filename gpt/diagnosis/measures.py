"""What the rules measure: functions of arrays that return numbers. They know nothing of runs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# Whether an activation's output says that the unit is off, so that (nearly) no gradient passes: from the output y.
SMALL = 0.01  # gelu and silu: beyond it lie inputs below -2.6 and -6.5, where the derivative is below 0.03
STEEP = 1e-3  # tanh: a derivative 1 - y² below this


def off(y: Array, activation: str) -> Array:
    """Return where units are off, of the same shape as the outputs y of an activation.

    relu: y = 0. tanh: 1 - y² < 0.001. gelu, silu, swiglu's silu: |y| < 0.01; near an input of 0 that is a chance of some
    percent, on all of thousands of tokens it is none.
    """
    if activation == "relu":
        return y <= 0
    return 1 - y * y < STEEP if activation == "tanh" else abs(y) < SMALL


def entropy(weights: Array) -> Array:
    """Return the entropy -Σ w ln w of each row of attention weights (..., T, T) as a share of the most that it can be.

    The row of token t has t + 1 weights, and ln(t + 1) at most: 0 is one token alone, 1 is all alike. (..., T - 1), since
    the first token has no choice.
    """
    T = weights.shape[-1]
    terms = -weights * np.log(np.maximum(weights, 1e-30))
    most = np.log(np.arange(2, T + 1))
    shares: Array = terms.sum(-1)[..., 1:] / most
    return shares


def update_ratio(weight: Array, exp_avg: Array, exp_avg_sq: Array, steps: int, rate: float, betas: Array) -> float:
    """Return |update| / |weight| of AdamW at a learning rate, norms over the whole array: rate · |m̂ / √v̂| / |w|.

    m and v are its averages after so many steps; m̂ = m / (1 - β₁^steps), v̂ likewise. About 1e-3 is normal: source:
    Karpathy, "makemore" part 3, 2022; Goodfellow et al., "Deep learning", 2016, section 11.5. inf for a weight of zeros.
    """
    m = exp_avg.astype(np.float64) / (1 - betas[0] ** steps)
    v = exp_avg_sq.astype(np.float64) / (1 - betas[1] ** steps)
    step = rate * m / (np.sqrt(v) + 1e-8)
    size = norm(weight)
    return norm(step) / size if size else math.inf


def norm(x: Array) -> float:
    """Return √Σx², summed in float64."""
    return float(np.sqrt(np.square(x, dtype=np.float64).sum()))


def trend(values: Array, share: float = 0.25) -> float:
    """Return the mean of the last share of the values minus that of the same number before them: below 0, they fall."""
    n = max(1, int(len(values) * share))
    return float(np.mean(values[-n:]) - np.mean(values[-2 * n : -n])) if len(values) >= 2 * n else 0.0


def spikes(values: Array, window: int = 20, height: float = 1.0) -> Array:
    """Return the places of values that are more than `height` above the median of the `window` values before them."""
    before = np.lib.stride_tricks.sliding_window_view(values, window)[:-1] if len(values) > window else np.empty((0, 1))
    return np.flatnonzero(values[window:] > np.median(before, axis=1) + height) + window if len(before) else np.empty(0, int)
