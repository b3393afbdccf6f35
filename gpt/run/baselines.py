"""Baselines: the losses of three models that only count characters, in nats.

They are printed beside every loss. A model with a loss below `bigram` uses more than the one character before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpt.cli import shown
from gpt.data import Ids
from gpt.tokenizers.base import pieces

TABLE = 1 << 22  # pairs of characters that a table of counts may have, 32 MB


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
    V = vocab_size
    counts = np.zeros(V, np.int64)
    for piece in pieces(len(train)):
        counts += np.bincount(train[piece], minlength=V)
    begins = counts - (np.arange(V) == train[-1])  # no pair begins with the last character
    pairs, pair_counts = count_pairs(train, V)

    unigram = bigram = 0.0
    predictions = len(validation) - 1
    for piece in pieces(predictions):
        wanted, after = numbers(validation, piece, V), validation[piece.start + 1 : piece.stop + 1]
        at = np.searchsorted(pairs, wanted).clip(max=len(pairs) - 1)
        seen = np.where(pairs[at] == wanted, pair_counts[at], 0)
        unigram -= float(np.log((counts[after] + 1) / (len(train) + V)).sum())
        bigram -= float(np.log((seen + 1) / (begins[validation[piece]] + V)).sum())
    return Baselines(math.log(V), unigram / predictions, bigram / predictions)


def numbers(ids: Ids, piece: slice, V: int) -> NDArray[np.int64]:
    """Return each pair (a, b) of neighbours that begins in the piece as one number, a V + b."""
    return ids[piece].astype(np.int64) * V + ids[piece.start + 1 : piece.stop + 1]


def count_pairs(ids: Ids, V: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs that occur, in order, and how often each does."""
    every = (numbers(ids, piece, V) for piece in pieces(len(ids) - 1))
    if V * V <= TABLE:  # count in a table of all pairs: much faster than sorting
        table = np.zeros(V * V, np.int64)
        for part in every:
            table += np.bincount(part, minlength=V * V)
        pairs = np.flatnonzero(table)
        return pairs, table[pairs]
    pairs = counts = np.zeros(0, np.int64)
    for part in every:
        found, more = np.unique(part, return_counts=True)
        pairs, at = np.unique(np.r_[pairs, found], return_inverse=True)
        counts = np.bincount(at, np.r_[counts, more]).astype(np.int64)
    return pairs, counts
