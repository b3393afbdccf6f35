"""The update of gpt/train.py on many ranks: every rank gets the same gradient, and makes the same step."""

from __future__ import annotations

import math

from gpt.fast.shards import Batches, Shards
from gpt.optimizer import Outcome
from tinytensor.optim import AdamW


class RanksUpdate:
    """update(batches, step, rate) -> Outcome. It differs from `update` in the order in which the norm is added up."""

    def __init__(self, shards: Shards, optimizer: AdamW) -> None:
        assert shards.exchange is not None
        self.shards, self.optimizer, self.exchange = shards, optimizer, shards.exchange
        self.limit = shards.config.grad_clip or math.inf

    def __call__(self, batches: Batches, step: int, rate: float) -> Outcome:
        loss = self.shards.gradient(batches, step)
        norm = self.exchange.clip(self.limit)
        if math.isfinite(norm):
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.optimizer.step()
        return Outcome(loss.item(), norm)
