"""Rates that fall along half a period of a cosine, once or again and again.

Source: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017, equation 5.
"""

from __future__ import annotations

import math
from typing import Any

from tinytensor.optim.lr_scheduler.base import LRScheduler
from tinytensor.optim.optimizer import Optimizer


class CosineAnnealingLR(LRScheduler):
    """lr = eta_min + (initial_lr − eta_min) (1 + cos(π epoch / T_max)) / 2.

    Each step multiplies the distance of the current rate to eta_min by the quotient of two such values. After T_max
    epochs the rate is eta_min, and the quotient 0 / 0: the step after that adds the first step of the way up.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def _rates(self) -> list[Any]:
        t, T, low, groups = self.last_epoch, self.T_max, self.eta_min, self.optimizer.param_groups
        if self._is_initial:
            return [group["lr"] for group in groups]
        if (t - 1 - T) % (2 * T) == 0:
            rise = 1 - math.cos(math.pi / T)
            return [group["lr"] + (base - low) * rise / 2 for group, base in zip(groups, self.base_lrs, strict=True)]
        quotient = (1 + math.cos(math.pi * t / T)) / (1 + math.cos(math.pi * (t - 1) / T))
        return [quotient * (group["lr"] - low) + low for group in groups]

    def _get_closed_form_lr(self) -> list[Any]:
        return cosine(self.base_lrs, self.eta_min, self.last_epoch, self.T_max)


class CosineAnnealingWarmRestarts(LRScheduler):
    """lr = eta_min + (initial_lr − eta_min) (1 + cos(π T_cur / T_i)) / 2, where T_cur counts from the last restart.

    The first restart comes after T_0 epochs, each later one after T_mult times as many as the one before. `step(epoch)`
    may be called with fractions, after each batch: epoch + batch / batches.
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        if T_0 <= 0 or not isinstance(T_0, int):
            raise ValueError(f"Expected positive integer T_0, but got {T_0}")
        if T_mult < 1 or not isinstance(T_mult, int):
            raise ValueError(f"Expected integer T_mult >= 1, but got {T_mult}")
        if not isinstance(eta_min, (float, int)):
            raise ValueError(f"Expected float or int eta_min, but got {eta_min} of type {type(eta_min)}")
        self.T_0, self.T_i, self.T_mult, self.eta_min = T_0, T_0, T_mult, eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def _rates(self) -> list[Any]:
        return cosine(self.base_lrs, self.eta_min, self.T_cur, self.T_i)

    def step(self, epoch: float | None = None) -> None:
        """Set the rates of the next epoch, or of a moment: step(2.5) is the middle of the epoch 2."""
        if epoch is None and self.last_epoch >= 0:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur, self.T_i = self.T_cur % self.T_i, self.T_i * self.T_mult
        else:
            epoch = epoch or 0
            if epoch < 0:
                raise ValueError(f"Expected non-negative epoch, but got {epoch}")
            self._restart_before(epoch)
        self.last_epoch = math.floor(epoch)
        self._set(self.get_lr)

    def _restart_before(self, epoch: float) -> None:
        """Set T_i and T_cur at that moment. n restarts end after T_0 (1 + T_mult + … + T_mult^(n − 1)) epochs."""
        T_0, mult = self.T_0, self.T_mult
        if epoch < T_0:
            self.T_i, self.T_cur = T_0, epoch
        elif mult == 1:
            self.T_cur = epoch % T_0
        else:
            n = int(math.log(epoch / T_0 * (mult - 1) + 1, mult))
            self.T_cur, self.T_i = epoch - T_0 * (mult**n - 1) / (mult - 1), T_0 * mult**n


def cosine(base_lrs: list[Any], low: float, t: float, T: float) -> list[Any]:
    """low + (base − low) (1 + cos(π t / T)) / 2 for each base."""
    return [low + (base - low) * (1 + math.cos(math.pi * t / T)) / 2 for base in base_lrs]
