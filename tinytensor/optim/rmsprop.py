"""RMSprop (Hinton, lecture 6e, 2012) and Adagrad (Duchi et al. 2011): steps divided by the size of gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinytensor.backend import Array, array_module
from tinytensor.base import wrap
from tinytensor.creation import tensor
from tinytensor.optim.optimizer import Optimizer


class RMSprop(Optimizer):
    """v ← α v + (1 − α) g²   p ← p − lr · g / (√v + eps), after g ← g + weight_decay · p.

    With momentum, b ← momentum · b + g / (√v + eps) and p ← p − lr · b.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
    ) -> None:
        defaults = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        for name in ("eps", "alpha", "momentum"):
            if not group[name] >= 0:
                raise ValueError(f"Invalid {name} value: {group[name]}")

    def _settings(self, group: dict[str, Any]) -> dict[str, Any]:
        return {name: float(group[name]) for name in ("lr", "alpha", "eps", "weight_decay", "momentum")}

    def _update(self, p: Array, g: Array, state: dict[str, Any], settings: dict[str, Any]) -> None:
        alpha, momentum = settings["alpha"], settings["momentum"]
        if not state:
            state["step"] = tensor(0.0)
            kept = ["square_avg", *["momentum_buffer"] * (momentum > 0)]
            state.update({name: wrap(array_module(p).zeros_like(p)) for name in kept})
        state["step"].array += 1
        g = g + settings["weight_decay"] * p if settings["weight_decay"] else g
        v = state["square_avg"].array
        v *= alpha
        v += (1 - alpha) * g * g
        step = g / (np.sqrt(v) + settings["eps"])
        if momentum > 0:
            b = state["momentum_buffer"].array
            b *= momentum
            b += step
            step = b
        p -= settings["lr"] * step


class Adagrad(Optimizer):
    """v ← v + g²   p ← p − lr / (1 + t · lr_decay) · g / (√v + eps), after g ← g + weight_decay · p; t is 0 at first."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
    ) -> None:
        defaults = {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps}
        super().__init__(params, {**defaults, "initial_accumulator_value": initial_accumulator_value})

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        for name in ("eps", "lr_decay", "initial_accumulator_value"):
            if not group[name] >= 0:
                raise ValueError(f"Invalid {name} value: {group[name]}")

    def _settings(self, group: dict[str, Any]) -> dict[str, Any]:
        names = ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")
        return {name: float(group[name]) for name in names}

    def _update(self, p: Array, g: Array, state: dict[str, Any], settings: dict[str, Any]) -> None:
        if not state:
            start = settings["initial_accumulator_value"]
            state.update(step=tensor(0.0), sum=wrap(array_module(p).full_like(p, start)))
        lr = settings["lr"] / (1 + state["step"].item() * settings["lr_decay"])
        state["step"].array += 1
        g = g + settings["weight_decay"] * p if settings["weight_decay"] else g
        v = state["sum"].array
        v += g * g
        p -= lr * (g / (np.sqrt(v) + settings["eps"]))
