"""A 5-gram: a model that only counts which token follows the four before it, smoothed after Kneser and Ney.

Most sequences of five tokens of a new text never occurred in the old one. So a little is taken from every count, and what
was taken is given out by the model of one token less, which asks for the last three, two, one tokens, and for none:

    p(w | h) = (c(h w) - D(c(h w)) + (Σ of all D taken after h) · p(w | h')) / c(h ·)      h' is h without its first token

At the top c counts how often h w occurs. Below it counts after how many different tokens h w occurs: after "San" stands
"Francisco", however often, and so it is a bad guess elsewhere. Under the last stands 1 / V. D has three values in each
order, for the counts 1, 2, and 3 or more, from the numbers n1 … n4 of sequences that are counted once to four times:

    Y = n1 / (n1 + 2 n2)      D1 = 1 - 2 Y n2 / n1      D2 = 2 - 3 Y n3 / n2      D3 = 3 - 4 Y n4 / n3

Source: Chen and Goodman, "An empirical study of smoothing techniques for language modeling", 1999, section 3 ("modified
Kneser-Ney", interpolated); Kneser and Ney, "Improved backing-off for m-gram language modeling", 1995.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gpt.data import Ids

ORDER = 5
TABLE = 1 << 20  # sequences that a table of counts may have, 8 MB
FALLBACK = (0.5, 1.0, 1.5)  # D where the formula has no positive value; KenLM's lmplz takes the same
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Level:
    """The sequences of n tokens, each a number: its place in `keys`, which are in order.

    A key is context · V + token. The context is the place of the n - 1 tokens before the last one, in the level below.
    """

    def __init__(self, keys: Ints, contexts: int, vocab_size: int) -> None:
        self.keys, self.vocab_size, self._contexts = keys, vocab_size, contexts

    def find(self, contexts: Ints, tokens: Ids) -> Ints:
        """Return the places of the sequences `contexts` + `tokens`, -1 for those that do not occur."""
        keys = np.where(contexts < 0, -1, contexts * self.vocab_size + tokens)
        places = np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)
        return np.where(self.keys[places] == keys, places, -1)

    def count(self, counts: Ints) -> None:
        """Set how often each sequence counts; compute what is left of it, and sums for each context."""
        context = self.keys // self.vocab_size
        taken = np.minimum(discounts(counts)[np.minimum(counts, 3)], counts)
        self._left = counts - taken
        self._total = np.bincount(context, counts, self._contexts)  # c(h ·)
        self._taken = np.bincount(context, taken, self._contexts)

    def mix(self, contexts: Ints, places: Ints, below: Floats) -> Floats:
        """Return p of each token in its context, from the p `below`, of the level below."""
        left = np.where(places < 0, 0.0, self._left[places])
        total = np.where(contexts < 0, 0.0, self._total[contexts])
        mixed: Floats = (left + self._taken[contexts] * below) / np.where(total > 0, total, 1.0)
        return np.where(total > 0, mixed, below)


class KneserNey:
    """A model of `order` tokens that has counted those of `ids`, which are at least one. A shorter text has fewer levels."""

    def __init__(self, ids: Ids, vocab_size: int, order: int = ORDER) -> None:
        self.levels: list[Level] = []
        places = np.zeros(len(ids) + 1, np.int32)  # of the empty sequence, before every token: 0
        suffixes = np.zeros(1, np.int64)
        contexts, below = 1, Level(np.zeros(1, np.int64), 1, vocab_size)
        order = min(order, len(ids))
        for n in range(1, order + 1):
            every = places[: len(ids) - n + 1].astype(np.int64)  # the key of each place of the text, in little memory
            every *= vocab_size
            every += ids[n - 1 :]
            keys, counts, places = ranked(every, contexts * vocab_size, needs_places=n < order)
            level = Level(keys, contexts, vocab_size)
            # The sequence without its first token: the context without it, and the last token. 0 where nothing is left.
            context, last = np.divmod(keys, vocab_size)
            suffixes = below.find(suffixes[context], last) if n > 1 else np.zeros(len(keys), np.int64)
            if n > 1:
                below.count(np.bincount(suffixes, minlength=len(below.keys)))
            self.levels.append(level)
            contexts, below = len(keys), level
        below.count(counts)

    def losses(self, ids: Ids) -> Floats:
        """Return -ln p of every token of ids (N,) but the first, given the tokens before it: (N - 1,), in nats."""
        p = np.full(len(ids), 1 / self.levels[0].vocab_size)
        contexts = np.zeros(len(ids), np.int64)  # contexts[j]: the k tokens from j on; they predict token j + k
        for k, level in enumerate(self.levels):
            tokens = ids[k:].astype(np.int64)
            contexts = contexts[: len(tokens)]
            places = level.find(contexts, tokens)
            p[k:] = level.mix(contexts, places, p[k:])
            contexts = places
        losses: Floats = -np.log(p[1:])
        return losses


def ranked(keys: Ints, bound: int, needs_places: bool) -> tuple[Ints, Ints, NDArray[np.int32]]:
    """Return the different keys, all below the bound, in order; how often each occurs; and the place of each key in them.

    Changes `keys`. Without `needs_places` there are no places.
    """
    if bound <= TABLE:  # count in a table: much faster than sorting
        table = np.bincount(keys, minlength=bound)
        found = np.flatnonzero(table)
        counts = table[found]
        table[found] = np.arange(len(found))
        return found, counts, table.astype(np.int32)[keys]
    if needs_places:
        found, places, counts = np.unique(keys, return_inverse=True, return_counts=True)
        return found, counts, places.astype(np.int32)
    keys.sort()  # the numbers alone: a third of the time, and no more memory
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return keys[starts], np.diff(np.append(starts, len(keys))), np.zeros(0, np.int32)


def discounts(counts: Ints) -> Floats:
    """Return D for the counts 0, 1, 2, and 3 or more: (4,)."""
    n1, n2, n3, n4 = np.bincount(np.minimum(counts, 5), minlength=6)[1:5].tolist()
    if not min(n1, n2, n3, n4):
        return np.array([0.0, *FALLBACK])
    y = n1 / (n1 + 2 * n2)
    values = [1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
    # Where nothing is taken nothing is given out: then a token that is new after a context would have p = 0.
    return np.array([0.0, *(values if min(values) > 0 else FALLBACK)])
