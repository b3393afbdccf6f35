"""Whether the ranks still have the same weights. They do as long as every rank computes what all others do."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np

from gpt.build import Model
from gpt.errors import UserError
from tinytensor.distributed.ranks import Ranks


def check_equal(ranks: Ranks, model: Model, step: int) -> None:
    """Raise UserError unless all ranks have the same weights, bit for bit. A comparison takes 1 ms for a million weights.

    It names the ranks that differ from most of the others; of two, the second.
    """
    sums = ranks.collect(digest(model))
    usual = Counter(sums).most_common(1)[0][0]
    others = [ranks.named(rank) for rank, each in enumerate(sums) if each != usual]
    if others:
        raise UserError(
            f"step {step}: the weights on {', '.join(others)} are no longer those of the other ranks; stopped, the last "
            f"checkpoint is intact; look there for faulty memory, another NumPy, or another kind of processor, which rounds "
            f"the norm otherwise (--shard-optimizer takes one norm for all)"
        )


def digest(model: Model) -> bytes:
    """Return a checksum of all weights."""
    found = hashlib.blake2b(digest_size=16)
    for parameter in model.parameters():
        found.update(np.ascontiguousarray(parameter.detach().cpu().numpy()).data)
    return found.digest()
