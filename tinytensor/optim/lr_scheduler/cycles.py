"""Rates that rise and fall in cycles, and momentum that falls and rises against them.

Sources: Smith, "Cyclical Learning Rates for Training Neural Networks", 2017; Smith and Topin, "Super-Convergence", 2018.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tinytensor.optim.lr_scheduler.base import (
    LRScheduler,
    attributes_of,
    for_each_group,
    must_be_optimizer,
    restore_attributes,
    set_lr,
)
from tinytensor.optim.optimizer import Optimizer


class CyclicLR(LRScheduler):
    """lr = base_lr + (max_lr − base_lr) · height · scale: up in step_size_up steps, down in step_size_down.

    height goes linearly from 0 to 1 and back. scale is 1 in mode "triangular", halves with each cycle in "triangular2",
    and is gamma^step in "exp_range"; or it is scale_fn of the number of the cycle, or of the step with scale_mode
    "iterations". With cycle_momentum the momentum (Adam's β₁) is max_momentum − (max_momentum − base_momentum) · height ·
    scale.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: float = 2000,
        step_size_down: float | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        must_be_optimizer(optimizer)
        self.optimizer = optimizer
        base_lrs = for_each_group("base_lr", optimizer, base_lr)
        self.max_lrs = for_each_group("max_lr", optimizer, max_lr)
        up = float(step_size_up)
        self.total_size = up + (up if step_size_down is None else float(step_size_down))
        self.step_ratio = up / self.total_size
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ValueError(
                f"mode is 'triangular', 'triangular2' or 'exp_range', or scale_fn a function, not {mode!r}"
            )
        self.mode, self.gamma, self._scale_fn_custom = mode, gamma, scale_fn
        self.scale_mode = scale_mode if scale_fn is not None else "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, base_lrs):
                set_lr(group, lr)
        if cycle_momentum:
            self.use_beta1, self.base_momentums, self.max_momentums = begin_momentum(
                optimizer, base_momentum, max_momentum, last_epoch
            )
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> Any:
        """How high the cycle, or the step, number x goes: 1 is up to max_lr."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular":
            return 1.0
        return 1 / 2.0 ** (x - 1) if self.mode == "triangular2" else self.gamma**x

    def _rates(self) -> list[Any]:
        t = self.last_epoch
        cycle = math.floor(1 + t / self.total_size)  # 1 is the first
        x = 1.0 + t / self.total_size - cycle  # from 0 to 1 in each
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else t)
        if self.cycle_momentum:
            momenta = zip(self.optimizer.param_groups, self.base_momentums, self.max_momentums, strict=True)
            for group, low, high in momenta:
                set_momentum(group, high - (high - low) * height * scale)
        return [low + (high - low) * height * scale for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        (custom,) = attributes_of([self._scale_fn_custom])
        return {**super().state_dict(), "_scale_fn_custom": custom}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        restore_attributes([self._scale_fn_custom], [state_dict["_scale_fn_custom"]])
        super().load_state_dict({**state_dict, "_scale_fn_custom": self._scale_fn_custom})


class OneCycleLR(LRScheduler):
    """One cycle over the whole training: from max_lr / div_factor up to max_lr, then down, far below where it began.

    The first pct_start of the total_steps (or epochs · steps_per_epoch) go up, the rest down to the initial rate /
    final_div_factor. With three_phase a phase as long as the first goes down to the initial rate, and the rest further.
    anneal_strategy "cos" goes along a cosine, "linear" along a line. With cycle_momentum the momentum (Adam's β₁) goes
    from max_momentum to base_momentum and back. ValueError for a step after total_steps.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        must_be_optimizer(optimizer)
        self.optimizer = optimizer
        self.total_steps = number_of_steps(total_steps, epochs, steps_per_epoch)
        if pct_start < 0 or pct_start > 1 or not isinstance(pct_start, float):
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        self._anneal_func_type = anneal_strategy
        peak, last = pct_start * self.total_steps - 1, self.total_steps - 1
        if three_phase:
            self._schedule_phases = [
                phase(peak, "initial_lr", "max_lr", "max_momentum", "base_momentum"),
                phase(2 * pct_start * self.total_steps - 2, "max_lr", "initial_lr", "base_momentum", "max_momentum"),
                phase(last, "initial_lr", "min_lr", "max_momentum", "max_momentum"),
            ]
        else:
            self._schedule_phases = [
                phase(peak, "initial_lr", "max_lr", "max_momentum", "base_momentum"),
                phase(last, "max_lr", "min_lr", "base_momentum", "max_momentum"),
            ]
        if last_epoch == -1:
            for group, top in zip(optimizer.param_groups, for_each_group("max_lr", optimizer, max_lr)):
                start = top / div_factor
                group.update(initial_lr=start, max_lr=top, min_lr=start / final_div_factor)
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1, *_ = begin_momentum(optimizer, base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)

    def _rates(self) -> list[Any]:
        t, phases = self.last_epoch, self._schedule_phases
        if t > self.total_steps:
            raise ValueError(f"Tried to step {t} times. The specified number of total steps is {self.total_steps}")
        i = next((i for i, each in enumerate(phases) if t <= each["end_step"]), len(phases) - 1)
        now, start = phases[i], phases[i - 1]["end_step"] if i else 0.0
        way = (t - start) / (now["end_step"] - start)  # the part of the phase that is over
        if self.cycle_momentum:
            for group in self.optimizer.param_groups:
                set_momentum(group, self._anneal(group[now["start_momentum"]], group[now["end_momentum"]], way))
        return [self._anneal(g[now["start_lr"]], g[now["end_lr"]], way) for g in self.optimizer.param_groups]

    def _anneal(self, start: Any, end: Any, way: float) -> Any:
        """The value between start (way 0) and end (way 1)."""
        if self._anneal_func_type == "cos":
            return end + (start - end) / 2 * (math.cos(math.pi * way) + 1)
        return (end - start) * way + start


def number_of_steps(total_steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    """total_steps, or epochs · steps_per_epoch. ValueError if neither is given, or one is no positive integer."""
    if total_steps is None and (epochs is None or steps_per_epoch is None):
        raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
    pairs = (
        {"epochs": epochs, "steps_per_epoch": steps_per_epoch} if total_steps is None else {"total_steps": total_steps}
    )
    for name, value in pairs.items():
        if value is None or value <= 0 or not isinstance(value, int):
            raise ValueError(f"Expected positive integer {name}, but got {value}")
    return math.prod(pairs.values())  # type: ignore[arg-type]


def phase(end_step: float, start_lr: str, end_lr: str, start_momentum: str, end_momentum: str) -> dict[str, Any]:
    """A part of the cycle: its last step, and the names of the group's settings where it starts and ends."""
    names = {"start_lr": start_lr, "end_lr": end_lr, "start_momentum": start_momentum, "end_momentum": end_momentum}
    return {"end_step": end_step, **names}


def set_momentum(group: dict[str, Any], momentum: Any) -> None:
    """Set the momentum of a group: β₁ where the optimizer is an Adam."""
    if "betas" in group:
        group["betas"] = (momentum, *group["betas"][1:])
    else:
        group["momentum"] = momentum


def begin_momentum(
    optimizer: Optimizer, base_momentum: Any, max_momentum: Any, last_epoch: int
) -> tuple[bool, list[Any], list[Any]]:
    """Start each group at max_momentum. Return whether it is β₁, and both ends for each group.

    ValueError for an optimizer without momentum.
    """
    if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
        raise ValueError(
            f"{type(optimizer).__name__} has neither momentum nor betas, which the schedule would change:"
            " cycle_momentum=False"
        )
    low = for_each_group("base_momentum", optimizer, base_momentum)
    high = for_each_group("max_momentum", optimizer, max_momentum)
    if last_epoch == -1:
        for group, least, most in zip(optimizer.param_groups, low, high):
            set_momentum(group, most)
            group.update(max_momentum=most, base_momentum=least)
    return "betas" in optimizer.defaults, low, high
