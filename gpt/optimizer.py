"""How the weights are updated: AdamW's parameter groups, the learning rate's schedule, the loss scale."""

from __future__ import annotations

import math
from typing import Any

from gpt.config import TrainConfig
from gpt.model import GPT, Bigram
from tinytensor.amp import GradScaler
from tinytensor.optim import AdamW


def learning_rate(step: int, config: TrainConfig) -> float:
    """A linear rise over `warmup` steps, the peak, then a fall over the last `decay` of the run.

    With progress p from 0 to 1 over the fall, and rates from `peak` to `final`:
    linear: peak + (final - peak) p        cosine: final + (peak - final) (1 + cos(pi p)) / 2
    """
    peak, final = config.learning_rate, config.final_learning_rate
    if step < config.warmup:
        return peak * (step + 1) / (config.warmup + 1)
    begin = max(config.warmup, config.steps * (1 - config.decay))
    if step <= begin:
        return peak
    p = (step - begin) / (config.steps - begin)
    fall = p if config.decay_shape == "linear" else (1 - math.cos(math.pi * p)) / 2
    return peak + (final - peak) * fall


def parameter_groups(model: Any, config: TrainConfig) -> list[dict[str, Any]]:
    """The model's matrices, which decay, and its vectors (biases, norms), which do not."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def make_optimizer(model: GPT | Bigram, config: TrainConfig) -> AdamW:
    """AdamW with these groups; weights in float16 have masters in float32, which small steps are not lost in."""
    groups, betas = parameter_groups(model, config), (config.beta1, config.beta2)
    masters = config.dtype == "float16"
    return AdamW(groups, lr=config.learning_rate, betas=betas, fused=True, master_weights=masters)


def make_scaler(config: TrainConfig) -> GradScaler:
    """What keeps float16 gradients from vanishing; switched off in any other precision."""
    return GradScaler("cpu", enabled=config.dtype == "float16")  # its scale lies where the loss does, on a GPU as well
