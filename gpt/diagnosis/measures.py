"""What the rules measure: functions of arrays that return numbers. They know nothing of runs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# Whether an activation's output says that the unit is off, so that (nearly) no gradient passes: from the output y.
SMALL = 0.01  # gelu and silu: beyond it lie inputs below -2.6 and -6.5, where the derivative is below 0.03
PIECE = 1 << 20  # tokens that are looked at together
BASE = 0x9E3779B97F4A7C15  # of hashes: odd, with digits that look random
WINDOW, HEIGHT, DEVIATIONS = 20, 1.0, 8.0  # of spikes: steps, nats, standard deviations
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

    m and v are its averages after so many steps; m̂ = m / (1 - β₁^steps), v̂ likewise. About 1e-3 is usual. Source:
    Karpathy, "Building makemore", part 3, 2022. inf for a weight of zeros.
    """
    m = exp_avg.astype(np.float64) / (1 - betas[0] ** steps)
    v = exp_avg_sq.astype(np.float64) / (1 - betas[1] ** steps)
    step = rate * m / (np.sqrt(v) + 1e-8)
    size = norm(weight)
    return norm(step) / size if size else math.inf


def norm(x: Array) -> float:
    """Return √Σx², summed in float64 in one order, wherever the array lies in memory."""
    return float(np.sqrt(np.square(x, dtype=np.float64).sum()))


def trend(values: Array, share: float = 0.25) -> float:
    """Return the mean of the last share of the values minus that of the same number before them: below 0, they fall."""
    n = max(1, int(len(values) * share))
    return float(np.mean(values[-n:]) - np.mean(values[-2 * n : -n])) if len(values) >= 2 * n else 0.0


def spikes(values: Array) -> Array:
    """Return the places of values far above the WINDOW values before them: above their median by HEIGHT and DEVIATIONS σ.

    σ is 1.4826 times the median distance from the median, as for normal numbers, so that a spike does not hide the next one.
    Source: Hampel, "The influence curve and its role in robust estimation", 1974.
    """
    if len(values) <= WINDOW:
        return np.zeros(0, np.int64)
    before = np.lib.stride_tricks.sliding_window_view(values, WINDOW)[:-1]
    median = np.median(before, axis=1)
    deviation = 1.4826 * np.median(abs(before - median[:, None]), axis=1)
    return np.flatnonzero(values[WINDOW:] > median + np.maximum(HEIGHT, DEVIATIONS * deviation)) + WINDOW


def repeated(train: Array, validation: Array, length: int) -> Array:
    """Return which tokens of `validation` (N,) are in a sequence of `length` tokens that stands in `train` as well: (N,), bool.

    Sequences with the same hash are compared token by token, so the answer is exact.
    """
    hashes = rolling(validation, length)
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    found = np.zeros(len(hashes), np.bool_)
    steps = np.arange(length)
    for start in range(
        0, len(train) - length + 1, PIECE
    ):  # a piece of the training split after the other, in little memory
        part = train[start : start + PIECE + length - 1]
        there, first = np.unique(rolling(part, length), return_index=True)
        places = np.searchsorted(there, ordered).clip(max=len(there) - 1)
        hits = np.flatnonzero(there[places] == ordered)
        for some in np.array_split(hits, max(1, len(hits) * length // PIECE)):
            same = part[first[places[some]][:, None] + steps] == validation[order[some][:, None] + steps]
            found[order[some]] |= same.all(1)
    begins = np.concatenate([found, np.zeros(length - 1, np.bool_)]).astype(np.int64)
    covered = np.cumsum(begins) - np.concatenate([np.zeros(length, np.int64), np.cumsum(begins)[:-length]])
    inside: Array = covered > 0
    return inside


def rolling(ids: Array, length: int) -> Array:
    """Return a hash of every `length` tokens: Σ ids[i + k] · B^(length - 1 - k) modulo 2^64, (N - length + 1,).

    Hashes of 2 k tokens come from those of k: h(i) B^k + h(i + k). Source: Karp and Rabin, "Efficient randomized
    pattern-matching algorithms", 1987.
    """
    base, power, size = np.uint64(BASE), BASE, 1
    single: Array = ids.astype(np.uint64) + np.uint64(1)
    hashes = single
    for bit in bin(length)[3:]:  # the binary digits of the length, after the first one
        hashes, power, size = hashes[:-size] * np.uint64(power) + hashes[size:], power**2 % 2**64, 2 * size
        if bit == "1":
            hashes, power, size = hashes[:-1] * base + single[size:], power * BASE % 2**64, size + 1
    return np.asarray(hashes)
