"""Updates in float16. Small gradients would vanish in it, so the loss is multiplied by a large scale before the backward.

The scale adapts: an update whose gradient overflows is left out and halves it, many good ones in a row double it.
"""

from __future__ import annotations

import math

from gpt.config import TrainConfig
from gpt.fast.shards import Batches, Shards
from gpt.optimizer import Outcome
from tinytensor import Tensor, full, nn
from tinytensor.amp import GradScaler
from tinytensor.optim import AdamW


def make_scaler(config: TrainConfig) -> GradScaler | None:
    """Return what holds and adapts the loss scale in float16; None in any other precision."""
    return GradScaler("cpu") if config.dtype == "float16" else None  # it moves to the device of the first loss


class HalfUpdate:
    """update(batches, step, rate) -> Outcome: what `update` in gpt/train.py does, with a loss scale."""

    def __init__(self, shards: Shards, optimizer: AdamW, scaler: GradScaler) -> None:
        self.shards, self.optimizer, self.scaler = shards, optimizer, scaler
        limit, device = shards.config.grad_clip or math.inf, shards.config.device
        self.one, self.limit = (full((), number, device=device) for number in (1.0, limit))
        scaler.scale(self.one)  # the first call makes the scale; here one thread calls it

    def __call__(self, batches: Batches, step: int, rate: float) -> Outcome:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss, norm, scale = self.launch(batches, step)
        return Outcome(loss.item(), norm.item(), scale.item())

    def launch(self, batches: Batches, step: int | None) -> tuple[Tensor, Tensor, Tensor]:
        """Make the update; return loss, norm and scale as Tensors, so that nothing waits for a GPU.

        The scaled gradient is clipped to the scaled limit. It cannot be divided by the scale before: small values
        would vanish. The optimizer divides, in float32.
        """
        scale = self.scaler.scale(self.one)
        loss = self.shards.gradient(batches, step, scale)
        norm = nn.utils.clip_grad_norm_(self.shards.parameters, self.scaler.scale(self.limit)) / scale
        self.scaler.step(self.optimizer)  # changes nothing where a gradient is not finite
        self.scaler.update()
        return loss, norm, scale
