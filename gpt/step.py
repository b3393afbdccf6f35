"""One update of the weights: the gradient of its batches, clipping, AdamW."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gpt.parallel import Batch, Shards
from tinytensor import Tensor, nn, stack
from tinytensor.optim import AdamW


class Update:
    """update(batches, step, rate) -> the batches' mean loss, and the norm of its gradient before clipping.

    On a GPU all is asked for before anything is read, and both numbers come in one copy: nothing waits in between.
    """

    def __init__(self, shards: Shards, optimizer: AdamW) -> None:
        self.shards, self.optimizer = shards, optimizer
        self.limit = shards.config.grad_clip or math.inf

    def __call__(self, batches: Sequence[Batch], step: int, rate: float) -> tuple[float, float]:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss, norm = self.launch(batches, step).tolist()
        return loss, norm

    def launch(self, batches: Sequence[Batch], step: int) -> Tensor:
        """Ask for the whole update; the loss and the norm, (2,), where the model lies."""
        loss = self.shards.gradient(batches, step)
        norm = nn.utils.clip_grad_norm_(self.shards.parameters[0], self.limit)
        if norm.is_cuda or math.isfinite(norm.item()):  # else the weights stay, so that the run can say what is wrong
            self.optimizer.step()
        return stack([loss, norm])
