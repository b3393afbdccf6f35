"""How the weights are updated: AdamW, its groups of parameters, and the learning rate of each step."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from gpt.build import Model
from gpt.config import TrainConfig
from tinytensor.optim import AdamW


class Outcome(NamedTuple):
    """What an update reports: the mean loss of the batches, the norm of its gradient before clipping, the loss scale."""

    loss: float  # in nats
    norm: float  # √ of the sum of squares over all gradients
    scale: float = 1.0  # float16 alone has another, see gpt/fast/half.py


def learning_rate(step: int, config: TrainConfig) -> float:
    """Rise linearly to the peak over `warmup` steps, stay there, fall over the last share `decay` of the run.

    p is the part of the fall that is over: 0 where it begins, just below 1 in the last step, which nearly has `final`:
    linear: peak + (final - peak) p        cosine: final + (peak - final) (1 + cos(pi p)) / 2
    """
    peak, final = config.learning_rate, config.final_learning_rate
    if step < config.warmup:  # the rise: AdamW's averages know few gradients yet, so steps are small
        return peak * (step + 1) / (config.warmup + 1)
    begin = max(config.warmup, config.steps * (1 - config.decay))  # where the fall begins, perhaps between two steps
    if step <= begin:  # the plateau; `<=`: without a fall (decay 0), step = steps would have p = 0 / 0
        return peak
    p = (step - begin) / (config.steps - begin)  # the fall: small steps at the end average out the noise of batches
    fall = p if config.decay_shape == "linear" else (1 - math.cos(math.pi * p)) / 2  # 0 to 1, as p
    return peak + (final - peak) * fall


def parameter_groups(model: Any, config: TrainConfig) -> list[dict[str, Any]]:
    """Return the matrices, which weight decay draws to zero, and the vectors (biases, norms), which it leaves alone."""
    parameters = list(model.parameters())
    matrices, vectors = [p for p in parameters if p.dim() >= 2], [p for p in parameters if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]  # a model may have no vectors


def make_optimizer(model: Model, config: TrainConfig) -> AdamW:
    """AdamW on these groups, fused: one vector operation for all parameters of a group (tinytensor/nn/flat.py)."""
    groups, betas = parameter_groups(model, config), (config.beta1, config.beta2)
    half = config.dtype == "float16"  # then it also keeps the weights in float32, for steps too small for float16
    return AdamW(groups, lr=config.learning_rate, betas=betas, fused=True, master_weights=half)
