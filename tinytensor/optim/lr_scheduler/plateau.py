"""ReduceLROnPlateau: a smaller rate when the validation loss stops falling."""

from __future__ import annotations

import math
from typing import Any

from tinytensor.optim.lr_scheduler.base import LRScheduler, must_be_optimizer, set_lr, values, warn_of_epoch
from tinytensor.optim.optimizer import Optimizer


class ReduceLROnPlateau(LRScheduler):
    """lr ← max(factor · lr, min_lr) when a metric has not improved for more than `patience` epochs.

    It improves if it is below best · (1 − threshold), or best − threshold for threshold_mode "abs"; for mode "max", if
    it is above best · (1 + threshold) or best + threshold. After a change the next `cooldown` epochs do not count. A
    change of lr by eps or less is left out. min_lr: one number, or one for each group.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        if factor >= 1.0:
            raise ValueError(f"Factor should be < 1.0, not {factor}")
        must_be_optimizer(optimizer)
        if mode not in ("min", "max"):
            raise ValueError(f"mode is 'min' or 'max', not {mode!r}")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold_mode is 'rel' or 'abs', not {threshold_mode!r}")
        n = len(optimizer.param_groups)
        several = isinstance(min_lr, (list, tuple))
        if several and len(min_lr) != n:  # type: ignore[arg-type]
            raise ValueError(f"expected {n} min_lrs, got {len(min_lr)}")  # type: ignore[arg-type]
        self.optimizer, self.mode, self.factor, self.patience = optimizer, mode, factor, patience
        self.threshold, self.threshold_mode, self.cooldown, self.eps = threshold, threshold_mode, cooldown, eps
        self.default_min_lr = None if several else min_lr
        self.min_lrs: list[Any] = list(min_lr) if several else [min_lr] * n  # type: ignore[arg-type]
        self.mode_worse = math.inf if mode == "min" else -math.inf  # every metric is better
        self.best, self.cooldown_counter, self.num_bad_epochs, self.last_epoch = self.mode_worse, 0, 0, 0
        self._last_lr = values(optimizer)

    @property
    def in_cooldown(self) -> bool:
        """Whether the epochs do not count."""
        return self.cooldown_counter > 0

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        """Take the metric of one more epoch, or of the given one, which PyTorch advises against."""
        metric = float(metrics)
        if epoch is not None:
            warn_of_epoch()
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._is_better(metric, self.best):
            self.best, self.num_bad_epochs = metric, 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = values(self.optimizer)

    def _is_better(self, metric: float, best: float) -> bool:
        sign = -1 if self.mode == "min" else 1
        goal = best * (1 + sign * self.threshold) if self.threshold_mode == "rel" else best + sign * self.threshold
        return metric < goal if self.mode == "min" else metric > goal

    def _reduce(self) -> None:
        """Set the smaller rates."""
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                raise RuntimeError(
                    f"the optimizer has {len(groups)} groups of parameters now, but min_lr {len(self.min_lrs)} values:"
                    " set min_lrs anew"
                )
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, least in zip(groups, self.min_lrs):
            lr = float(group["lr"])
            lower = max(lr * self.factor, least)
            if lr - lower > self.eps:
                set_lr(group, lower)
