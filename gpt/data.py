"""Batches: random windows of the text, each with the token that follows every one of its tokens.

A batch depends on (seed, step, micro-step) alone, never on the batches before it, so a resumed run draws the same ones.
Philox computes random bits from a key and a counter, without a state.
Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gpt.config import TrainConfig

Ids = NDArray[np.integer]  # tokens as numbers, one byte each if 255 are different at most: see gpt/tokenizers
Batch = tuple[NDArray[np.int64], NDArray[np.int64]]  # inputs and targets, (B, T) each


def batch(ids: Ids, config: TrainConfig, step: int, micro_step: int = 0, rows: slice = slice(None)) -> Batch:
    """Draw B = batch_size windows of T = context tokens: inputs (B, T) and targets (B, T); read `rows` of them."""
    # A counter for each micro-step: the batches of one update differ, and none depends on how many came before.
    random = np.random.Generator(np.random.Philox(key=[config.seed, step], counter=[0, 0, 0, micro_step]))
    # A window takes T + 1 tokens: one more than the context, for the last target. The text has so many windows:
    count = len(ids) - config.context
    starts = random.integers(0, count, size=config.batch_size)[rows]  # (B,): all are drawn, whoever reads them
    places = starts[:, None] + np.arange(config.context + 1)  # (B, 1) + (T + 1,) -> (B, T + 1)
    windows = ids[places].astype(np.int64)
    # The target of each token is the one after it: the same windows, moved by one.
    return np.ascontiguousarray(windows[:, :-1]), np.ascontiguousarray(windows[:, 1:])
