"""Adam (Kingma and Ba 2015), and AdamW with its own decay (Loshchilov and Hutter 2019)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinytensor.backend import Array, array_module
from tinytensor.creation import tensor
from tinytensor.optim.optimizer import Optimizer
from tinytensor.tensor import wrap


def adam_update(
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    scratch: Array,
    decayed: Array,
    *,
    step: float,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
) -> None:
    """Update p and the two moments m, v of its gradient in place; t = step counts from 1.

    g ← g + weight_decay · p     (in `decayed`)
    m ← β₁m + (1 − β₁)g          v ← β₂v + (1 − β₂)g²
    m̂ = m / (1 − β₁ᵗ)            v̂ = v / (1 − β₂ᵗ)
    p ← p − lr · m̂ / (√v̂ + eps)

    √(1 − β₂ᵗ) is multiplied into lr and eps, which saves two passes.
    """
    if weight_decay:
        np.multiply(p, weight_decay, out=decayed)
        g = np.add(g, decayed, out=decayed)
    root = math.sqrt(1 - beta2**step)
    np.multiply(m, beta1, out=m)
    np.multiply(g, 1 - beta1, out=scratch)
    np.add(m, scratch, out=m)
    np.multiply(v, beta2, out=v)
    np.multiply(g, g, out=scratch)
    np.multiply(scratch, 1 - beta2, out=scratch)
    np.add(v, scratch, out=v)
    np.sqrt(v, out=scratch)
    np.add(scratch, eps * root, out=scratch)
    np.divide(m, scratch, out=scratch)
    np.multiply(scratch, lr * root / (1 - beta1**step), out=scratch)
    np.subtract(p, scratch, out=p)


def adamw_update(
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    scratch: Array,
    *,
    lr: float,
    weight_decay: float,
    **rest: float,
) -> None:
    """p ← (1 − lr · weight_decay) p, then `adam_update` without decay; all in place."""
    if weight_decay:
        np.multiply(p, 1 - lr * weight_decay, out=p)
    adam_update(p, g, m, v, scratch, scratch, lr=lr, weight_decay=0.0, **rest)


class Adam(Optimizer):
    """Steps of about lr in each coordinate; weight_decay · p is added to the gradient.

    There is one implementation, so `fused` may be True, False or None and changes nothing.
    NotImplementedError for amsgrad=True.
    """

    update = staticmethod(adam_update)
    scratch = 2

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        fused: bool | None = None,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**defaults, "amsgrad": amsgrad, "fused": fused})

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        if not group["eps"] >= 0:
            raise ValueError(f"Invalid epsilon value: {group['eps']}")
        for i, beta in enumerate(group["betas"]):
            if not 0 <= beta < 1:
                raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
        for name in ("amsgrad", "maximize"):  # PyTorch's saved groups have both
            if group.get(name):
                raise NotImplementedError(f"{name}=True is outside the subset")

    def _settings(self, group: dict[str, Any]) -> dict[str, Any]:
        settings = {name: float(group[name]) for name in ("lr", "eps", "weight_decay")}
        beta1, beta2 = group["betas"]
        return {**settings, "beta1": float(beta1), "beta2": float(beta2)}

    def _update(self, p: Array, g: Array, state: dict[str, Any], settings: dict[str, Any]) -> None:
        if not state:
            state["step"] = tensor(0.0)
            for name in ("exp_avg", "exp_avg_sq"):
                state[name] = wrap(array_module(p).zeros_like(p))
        step = state["step"].item() + 1
        state["step"].array.fill(step)
        m, v = state["exp_avg"].array, state["exp_avg_sq"].array
        for piece in self._pieces(self.scratch, p, g, m, v):
            self.update(*piece, step=step, **settings)


class AdamW(Adam):
    """Adam, with the weights decayed apart from the gradient: the usual choice for transformers."""

    update = staticmethod(adamw_update)  # type: ignore[assignment]
    scratch = 1

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        fused: bool | None = None,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, fused=fused)
