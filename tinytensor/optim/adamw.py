"""AdamW: steps of about lr in each weight, whatever the size of its gradient, and a decay of the weights.

    >>> p, g = np.array([1.0, 1.0]), np.array([0.001, 100.0])
    >>> m, v, scratch = np.zeros(2), np.zeros(2), np.empty(2)
    >>> adamw_update(p, g, m, v, scratch, step=1, lr=0.1, beta1=0.9, beta2=0.99, eps=0.0, weight_decay=0.0)
    >>> p
    array([0.9, 0.9])

`optim.AdamW` (adam.py) calls the same `adamw_update` in its fast forms (fused.py): for a whole group as one vector, in
blocks, on several threads; on a GPU one kernel computes the same formulas. `PlainAdamW` below is the loop to read, and
returns the same numbers, bit for bit.
Sources: Kingma and Ba, "Adam", 2015, algorithm 1; Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinytensor.backend import Array
from tinytensor.optim.optimizer import Optimizer


def adamw_update(p: Array, g: Array, m: Array, v: Array, scratch: Array, *, step: float, lr: float,
                 beta1: float, beta2: float, eps: float, weight_decay: float) -> None:  # fmt: skip
    """Update p and the moments m, v of its gradient g in place, all of one shape; t = step is 1 in the first call.

    m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ) correct m and v for their start at 0. The two divisors go into lr and
    eps, which saves two passes over the arrays: m̂ / (√v̂ + eps) = r / (1 − β₁ᵗ) · m / (√v + r · eps), r = √(1 − β₂ᵗ).
    """
    root = math.sqrt(1 - beta2**step)  # r
    if weight_decay:
        p *= 1 - lr * weight_decay  # p ← (1 − lr λ) p: apart from the gradient, so m and v do not contain it
    m *= beta1  # m ← β₁ m + (1 − β₁) g: the mean of the last gradients, about 1 / (1 − β₁) of them
    m += np.multiply(g, 1 - beta1, out=scratch)  # `out`: no pass allocates memory
    v *= beta2  # v ← β₂ v + (1 − β₂) g²: the mean of their squares
    np.multiply(g, g, out=scratch)
    v += np.multiply(scratch, 1 - beta2, out=scratch)
    np.sqrt(v, out=scratch)  # √v: the size of a usual gradient of each weight
    scratch += eps * root  # √v + r · eps: not 0, even if the gradient always was
    np.divide(m, scratch, out=scratch)  # about ±1 while the gradient keeps its sign, near 0 when it changes often
    scratch *= lr * root / (1 - beta1**step)  # lr m̂ / (√v̂ + eps)
    p -= scratch  # against the gradient, downhill


class PlainAdamW(Optimizer):
    """AdamW with no more than the update needs: `Optimizer.step` calls `_update` for one parameter after another."""

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 1e-2) -> None:  # fmt: skip
        # the settings of a group that has none of its own
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def _settings(self, group: dict[str, Any]) -> dict[str, Any]:
        return adam_settings(group)  # lr, weight_decay … of this group

    def _update(self, p: Array, g: Array, state: dict[str, Any], settings: dict[str, Any]) -> None:
        if not state:  # the first step of this parameter: both moments start at 0
            state.update(step=0, exp_avg=np.zeros_like(p), exp_avg_sq=np.zeros_like(p))
        state["step"] += 1  # t
        adamw_update(p, g, state["exp_avg"], state["exp_avg_sq"], np.empty_like(p), step=state["step"], **settings)


def adam_settings(group: dict[str, Any]) -> dict[str, Any]:
    """The settings of a group as keyword arguments of `adamw_update`."""
    beta1, beta2 = group["betas"]
    numbers = {"beta1": beta1, "beta2": beta2, **{name: group[name] for name in ("lr", "eps", "weight_decay")}}
    return {name: float(number) for name, number in numbers.items()}  # a np.float64 would promote float32 arrays
