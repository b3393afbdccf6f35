"""What models that only count say of the same text, token by token: the baselines of a run's corpus."""

from __future__ import annotations

import math

import numpy as np

from gpt.data import Ids
from gpt.inspection.values import Array
from gpt.run import baselines


def losses(train: Ids, ids: Array, vocab_size: int) -> dict[str, list[float | None]]:
    """-ln p of the token after each of ids (T,): None after the last. The formulas are those of gpt/run/baselines.py."""
    V, train = vocab_size, baselines.sampled(train, baselines.SAMPLE)
    ids = ids.astype(np.int64)
    counts = np.bincount(np.asarray(train), minlength=V)
    begins = counts.copy()
    begins[train[-1]] -= 1
    pairs, where = np.unique(ids[:-1] * V + ids[1:], return_inverse=True)
    seen = baselines.count_again(pairs, train, V)[where]
    found = {
        "uniform": np.full(len(ids) - 1, math.log(V)),
        "unigram": -np.log((counts[ids[1:]] + 1) / (len(train) + V)),
        "bigram": -np.log((seen + 1) / (begins[ids[:-1]] + V)),
    }
    return {name: [*each.tolist(), None] for name, each in found.items()}
