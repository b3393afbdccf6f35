"""AdamW: steps of about lr in each weight, whatever the size of its gradient, and a decay of the weights.

`optim.AdamW` (adam.py) runs the same `adamw_update` on one vector for a whole group, in blocks, on several threads or as
one launch on a GPU (fused.py). `PlainAdamW` here is its twin for reading: the same numbers, bit for bit, one parameter
after another.
Sources: Kingma and Ba, "Adam", 2015, algorithm 1; Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinytensor.backend import Array
from tinytensor.optim.optimizer import Optimizer


def adamw_update(
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    scratch: Array,
    *,
    step: float,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
) -> None:
    """Update p and the moments m, v of its gradient g in place, all of one shape; t = step is 1 in the first call.

    m̂ = m / (1 − β₁ᵗ) and v̂ = v / (1 − β₂ᵗ) make up for m and v starting at 0. To save two passes over the arrays, these
    two numbers are moved into lr and eps: m̂ / (√v̂ + eps) = root / (1 − β₁ᵗ) · m / (√v + eps · root).
    """
    root = math.sqrt(1 - beta2**step)
    if weight_decay:
        p *= 1 - lr * weight_decay  # p ← (1 − lr λ) p: apart from the gradient, so m and v do not see it
    m *= beta1  # m ← β₁ m + (1 − β₁) g: a running mean of the gradient
    m += np.multiply(g, 1 - beta1, out=scratch)
    v *= beta2  # v ← β₂ v + (1 − β₂) g²: a running mean of its square
    v += np.multiply(np.multiply(g, g, out=scratch), 1 - beta2, out=scratch)
    np.sqrt(v, out=scratch)
    scratch += eps * root  # √v + eps · root: eps keeps weights whose gradient is always 0 from 0 / 0
    np.divide(m, scratch, out=scratch)  # about ±1 where the gradient keeps its sign, near 0 where it changes
    scratch *= lr * root / (1 - beta1**step)
    p -= scratch  # p ← p − lr m̂ / (√v̂ + eps)


class PlainAdamW(Optimizer):
    """The loop over the parameters, with no more than an update needs."""

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 1e-2) -> None:  # fmt: skip
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def _settings(self, group: dict[str, Any]) -> dict[str, Any]:
        return adam_settings(group)

    def _update(self, p: Array, g: Array, state: dict[str, Any], settings: dict[str, Any]) -> None:
        if not state:  # the first step of this parameter
            state.update(step=0, exp_avg=np.zeros_like(p), exp_avg_sq=np.zeros_like(p))
        state["step"] += 1
        adamw_update(p, g, state["exp_avg"], state["exp_avg_sq"], np.empty_like(p), step=state["step"], **settings)


def adam_settings(group: dict[str, Any]) -> dict[str, Any]:
    """The settings of a group as keyword arguments of `adamw_update`."""
    beta1, beta2 = group["betas"]
    numbers = {"beta1": beta1, "beta2": beta2, **{name: group[name] for name in ("lr", "eps", "weight_decay")}}
    return {name: float(number) for name, number in numbers.items()}
