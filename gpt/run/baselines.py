"""Baselines: the losses of four models that only count tokens, in nats.

They are printed beside every loss. A model of characters with a loss below `bigram` uses more than the one before, one
below `5-gram` more than the four before. With thousands of tokens most pairs are rare, and raising every count by one takes
much away from those that are not: the bigram's loss is then above the unigram's. The 5-gram is smoothed better.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpt.cli import shown
from gpt.corpora.stored import StoredIds, sample
from gpt.data import Ids
from gpt.run.kneser_ney import KneserNey
from gpt.tokenizers.base import pieces

SAMPLE = 1 << 22  # stored tokens to count
# Tokens of any text that the 5-gram counts. Prose takes 0.1 to 0.3 s; noise, at most, 1.5 s and 180 MB.
FIVEGRAM_SAMPLE = 1 << 20
TABLE = 1 << 22  # pairs of tokens that a table of counts may have, 32 MB


@dataclass(frozen=True)
class Baselines:
    """Mean of -ln p(token) over the validation split's predictions, in nats.

    uniform  p(b) = 1 / V
    unigram  p(b) = (count(b) + 1) / (N + V)
    bigram   p(b | a) = (count(a b) + 1) / (count(a .) + V)
    5-gram   interpolated Kneser-Ney (gpt/run/kneser_ney.py)

    Counts are those of the training split, for the first three raised by one (Laplace), so that no probability is zero.
    N is their sum, V the size of the vocabulary.
    """

    uniform: float
    unigram: float
    bigram: float
    fivegram: float
    counted: int | None = None  # the tokens that the 5-gram has counted, if they are not all

    def losses(self) -> dict[str, float]:
        """Return them by their names, the lowest first."""
        losses = {"5-gram": self.fivegram, "bigram": self.bigram, "unigram": self.unigram, "uniform": self.uniform}
        return dict(sorted(losses.items(), key=lambda item: item[1]))

    def brief(self) -> str:
        """The three that a model has to beat, the lowest first, since a narrow terminal cuts off the end."""
        return ", ".join(f"{name} {shown(loss)}" for name, loss in self.losses().items() if name != "uniform")

    def __str__(self) -> str:
        """All of them, and how much the 5-gram has counted, if that was a sample."""
        of = {"5-gram": f" (of {self.counted:,} tokens)"} if self.counted is not None else {}
        return ", ".join(f"{name} {shown(loss)}{of.get(name, '')}" for name, loss in self.losses().items())


def measure(train: Ids, validation: Ids, vocab_size: int) -> Baselines:
    """Measure the baselines on the predictions that `gpt.evaluate` makes: of every token but the first.

    Of stored tokens (gpt/corpora) it takes a sample, evenly spaced, since they may not fit into memory. The 5-gram takes
    one of any text that has more than FIVEGRAM_SAMPLE tokens to train on, or a quarter of them to validate on.
    """
    V = vocab_size
    counted, asked = sample(train, FIVEGRAM_SAMPLE), sample(validation, FIVEGRAM_SAMPLE // 4)
    fivegram = float(KneserNey(counted, V).losses(asked).mean())
    of = len(counted) if len(counted) < len(train) else None
    train, validation = sampled(train, SAMPLE), sampled(validation, SAMPLE // 4)
    counts = np.zeros(V, np.int64)
    for piece in pieces(len(train)):
        counts += np.bincount(train[piece], minlength=V)
    begins = counts.copy()
    begins[train[-1]] -= 1  # no pair begins with the last token
    predictions = len(validation) - 1
    pairs, times = count_pairs(validation, V)  # each pair once, and how often it is predicted
    seen = count_again(pairs, train, V)
    first, second = np.divmod(pairs, V)
    unigram = times @ np.log((counts[second] + 1) / (len(train) + V))
    bigram = times @ np.log((seen + 1) / (begins[first] + V))
    return Baselines(math.log(V), -float(unigram) / predictions, -float(bigram) / predictions, fivegram, of)


def sampled(ids: Ids, count: int) -> Ids:
    """Return the ids; of stored ones about `count`."""
    return sample(ids, count) if isinstance(ids, StoredIds) else ids


def numbers(ids: Ids, V: int) -> Iterator[NDArray[np.int64]]:
    """Yield each pair (a, b) of neighbours as one number, a V + b, in pieces."""
    for piece in pieces(len(ids) - 1):
        yield ids[piece].astype(np.int64) * V + ids[piece.start + 1 : piece.stop + 1]


def count_pairs(ids: Ids, V: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs that occur, in order, and how often each does."""
    if V * V <= TABLE:  # count in a table of all pairs: much faster than sorting
        table = np.zeros(V * V, np.int64)
        for part in numbers(ids, V):
            table += np.bincount(part, minlength=V * V)
        pairs = np.flatnonzero(table)
        return pairs, table[pairs]
    pairs = counts = np.zeros(0, np.int64)
    for part in numbers(ids, V):
        found, more = np.unique(part, return_counts=True)
        pairs, at = np.unique(np.r_[pairs, found], return_inverse=True)
        counts = np.bincount(at, np.r_[counts, more]).astype(np.int64)
    return pairs, counts


def count_again(pairs: NDArray[np.int64], ids: Ids, V: int) -> NDArray[np.int64]:
    """Return how often each of the pairs, which are in order, occurs in these ids. Others take no memory."""
    if V * V <= TABLE:
        found, counts = count_pairs(ids, V)
        table = np.zeros(V * V, np.int64)
        table[found] = counts
        return table[pairs]
    counts = np.zeros(len(pairs), np.int64)
    for part in numbers(ids, V):
        found, more = np.unique(part, return_counts=True)  # in order: neighbours in it are neighbours in `pairs`
        at = np.searchsorted(pairs, found).clip(max=len(pairs) - 1)
        there = pairs[at] == found
        counts[at[there]] += more[there]
    return counts
