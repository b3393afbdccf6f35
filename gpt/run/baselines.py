"""Baselines: the losses of three models that only count characters, in nats.

They are printed beside every loss. A model with a loss below `bigram` uses more than the one character before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gpt.cli import shown
from gpt.data import Ids


@dataclass(frozen=True)
class Baselines:
    """Mean of -ln p(character) over the validation split's predictions, in nats.

    uniform  p(b) = 1 / V
    unigram  p(b) = (count(b) + 1) / (N + V)
    bigram   p(b | a) = (count(a b) + 1) / (count(a .) + V)

    Counts are those of the training split, each raised by one (Laplace), so that no probability is zero.
    N is their sum, V the size of the vocabulary.
    """

    uniform: float
    unigram: float
    bigram: float

    def __str__(self) -> str:
        """The lowest first, since a narrow terminal cuts off the end."""
        return f"bigram {shown(self.bigram)}, unigram {shown(self.unigram)}, uniform {shown(self.uniform)}"


def measure(train: Ids, validation: Ids, vocab_size: int) -> Baselines:
    """Measure the baselines on the predictions that `gpt.evaluate` makes: of every character but the first."""
    before, after = validation[:-1], validation[1:]  # (N - 1,) each
    counts = np.bincount(train, minlength=vocab_size)
    unigram = (counts[after] + 1) / (len(train) + vocab_size)

    # A pair (a, b) is one number a V + b, and pairs are sorted: a V x V table would be too large for a large vocabulary.
    pairs, pair_counts = np.unique(train[:-1] * vocab_size + train[1:], return_counts=True)
    wanted = before * vocab_size + after
    at = np.searchsorted(pairs, wanted).clip(max=len(pairs) - 1)
    seen = np.where(pairs[at] == wanted, pair_counts[at], 0)
    begins = np.bincount(train[:-1], minlength=vocab_size)
    bigram = (seen + 1) / (begins[before] + vocab_size)

    return Baselines(math.log(vocab_size), float(-np.log(unigram).mean()), float(-np.log(bigram).mean()))
