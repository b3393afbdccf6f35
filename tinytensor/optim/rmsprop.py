"""RMSprop (Hinton, lecture 6e, 2012) and Adagrad (Duchi et al. 2011): steps divided by the size of gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinytensor.backend import Array, array_module
from tinytensor.base import wrap
from tinytensor.creation import tensor
from tinytensor.optim.optimizer import Optimizer
from tinytensor.tensor import Tensor


class RMSprop(Optimizer):
    """v ← α v + (1 − α) g²   p ← p − lr · g / (√v + eps), after g ← g + weight_decay · p.

    With momentum, b ← momentum · b + g / (√v + eps) and p ← p − lr · b.
    """

    not_negative = ("lr", "eps", "momentum", "weight_decay", "alpha")
    outside = ("centered", "capturable", "foreach", "maximize", "differentiable")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
        flags = {"centered": centered, "capturable": capturable, "foreach": foreach, "maximize": maximize}
        super().__init__(params, {**defaults, **flags, "differentiable": differentiable})

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

    not_negative = ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")
    outside = ("foreach", "maximize", "differentiable", "fused")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps}
        flags = {"foreach": foreach, "maximize": maximize, "differentiable": differentiable, "fused": fused}
        super().__init__(params, {**defaults, "initial_accumulator_value": initial_accumulator_value, **flags})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Train more parameters; their sums start now, so that a state_dict has them before the first step."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        for p in group["params"]:
            self._start(p.array, self.state[p], float(group["initial_accumulator_value"]))

    @staticmethod
    def _start(p: Array, state: dict[str, Any], value: float) -> None:
        state.update(step=tensor(0.0), sum=wrap(array_module(p).full_like(p, value)))

    def _settings(self, group: dict[str, Any]) -> dict[str, Any]:
        names = ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")
        return {name: float(group[name]) for name in names}

    def _update(self, p: Array, g: Array, state: dict[str, Any], settings: dict[str, Any]) -> None:
        if not state:
            self._start(p, state, settings["initial_accumulator_value"])
        lr = settings["lr"] / (1 + state["step"].item() * settings["lr_decay"])
        state["step"].array += 1
        g = g + settings["weight_decay"] * p if settings["weight_decay"] else g
        v = state["sum"].array
        v += g * g
        p -= lr * (g / (np.sqrt(v) + settings["eps"]))
