"""Learning rates that change from step to step."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from tinytensor.optim.optimizer import Optimizer
from tinytensor.subset import outside
from tinytensor.tensor import Tensor


def set_lr(group: dict[str, Any], lr: Any) -> None:
    """Set the learning rate of a group. A Tensor is filled in place, because a CUDA graph reads that memory."""
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(lr)
    else:
        group["lr"] = lr


class LRScheduler:
    """The base class. A subclass defines `get_lr`, the rate of each group at `last_epoch`.

    The constructor sets the rates of epoch 0, and each `step()` those of the next epoch. With last_epoch ≥ 0 the
    schedule continues from there; KeyError if a group has no "initial_lr".
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", deepcopy(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(f"param 'initial_lr' is not specified in param_groups[{i}] when resuming")
        self.optimizer = optimizer
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._step_count = 0
        self.step()

    def get_lr(self) -> list[float]:
        """The learning rate of each group at `last_epoch`."""
        raise NotImplementedError

    def get_last_lr(self) -> list[float]:
        """The current learning rates."""
        return self._last_lr

    def step(self) -> None:
        """Set the rates of the next epoch, or of the next step: of whatever is counted."""
        self._step_count += 1
        self.last_epoch += 1
        self._last_lr = self.get_lr()
        for group, lr in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            set_lr(group, lr)

    def state_dict(self) -> dict[str, Any]:
        """All attributes but the optimizer and the schedulers inside."""
        return {name: value for name, value in vars(self).items() if name not in ("optimizer", "schedulers")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a state_dict."""
        vars(self).update(state_dict)


class LambdaLR(LRScheduler):
    """lr = initial_lr · lr_lambda(epoch); one function for all groups, or a list of one for each.

    state_dict holds the attributes of callable objects, but no functions: pass those to the constructor again.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        n = len(optimizer.param_groups)
        several = isinstance(lr_lambda, (list, tuple))
        self.lr_lambdas: list[Any] = list(lr_lambda) if several else [lr_lambda] * n  # type: ignore[arg-type]
        if len(self.lr_lambdas) != n:
            raise ValueError(f"Expected {n} lr_lambdas, but got {len(self.lr_lambdas)}")
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [base * factor(self.last_epoch) for base, factor in zip(self.base_lrs, self.lr_lambdas)]

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        state["lr_lambdas"] = [dict(getattr(f, "__dict__", {})) or None for f in self.lr_lambdas]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        state = dict(state_dict)
        for function, attributes in zip(self.lr_lambdas, state.pop("lr_lambdas"), strict=True):
            if attributes:
                vars(function).update(attributes)
        super().load_state_dict(state)


def _from_start(last_epoch: int) -> None:
    """NotImplementedError for a last_epoch, where PyTorch would go on from the rates that it finds in the optimizer."""
    if last_epoch != -1:
        raise NotImplementedError(
            "last_epoch is outside the subset here: load_state_dict() of the schedule that goes on"
        )


class StepLR(LambdaLR):
    """lr = initial_lr · gamma^⌊epoch / step_size⌋."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        _from_start(last_epoch)
        super().__init__(optimizer, lambda epoch: gamma ** (epoch // step_size))


class ExponentialLR(LambdaLR):
    """lr = initial_lr · gamma^epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        _from_start(last_epoch)
        super().__init__(optimizer, lambda epoch: gamma**epoch)


class LinearLR(LambdaLR):
    """lr rises linearly from start_factor to end_factor times initial_lr, over total_iters epochs: a warm-up."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        _from_start(last_epoch)
        if not (0 < start_factor <= 1 and 0 <= end_factor <= 1):
            raise ValueError(f"LinearLR: factors lie between 0 and 1, not at {start_factor} and {end_factor}")

        def factor(epoch: int) -> float:
            return start_factor + (end_factor - start_factor) * min(epoch, total_iters) / total_iters

        super().__init__(optimizer, factor)


class CosineAnnealingLR(LRScheduler):
    """lr = eta_min + (initial_lr − eta_min) (1 + cos(π epoch / T_max)) / 2. Source: Loshchilov and Hutter 2017."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        _from_start(last_epoch)
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        """The rate of each group."""
        way = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return [self.eta_min + (base - self.eta_min) * way for base in self.base_lrs]


class SequentialLR(LRScheduler):
    """One scheduler after the other: at each milestone the next one starts, with its epoch 0."""

    def __init__(
        self, optimizer: Optimizer, schedulers: list[LRScheduler], milestones: list[int], last_epoch: int = -1
    ) -> None:
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"{len(schedulers)} schedulers need {len(schedulers) - 1} milestones, not {len(milestones)}"
            )
        _from_start(last_epoch)
        self.schedulers, self.milestones = schedulers, milestones
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        """The rates of the current scheduler."""
        turn = sum(milestone <= self.last_epoch for milestone in self.milestones)
        scheduler = self.schedulers[turn]
        scheduler.last_epoch = self.last_epoch - (self.milestones[turn - 1] if turn else 0)
        return scheduler.get_lr()


class ReduceLROnPlateau(LRScheduler):
    """lr ← max(factor · lr, min_lr) when a metric has not improved for more than `patience` epochs.

    It improves if it is below best · (1 − threshold), or above best · (1 + threshold) for mode "max". A change of lr by
    eps or less is left out.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        *,
        min_lr: float = 0,
        eps: float = 1e-8,
    ) -> None:
        if factor >= 1.0 or mode not in ("min", "max"):
            raise ValueError(f"Factor should be < 1.0, mode 'min' or 'max', not {factor} and {mode!r}")
        self.optimizer, self.mode, self.factor, self.patience = optimizer, mode, factor, patience
        self.threshold, self.min_lr, self.eps = threshold, min_lr, eps
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.last_epoch = 0
        self._last_lr = [group["lr"] for group in optimizer.param_groups]

    def step(self, metrics: Any) -> None:  # type: ignore[override]
        """Take the metric of one more epoch."""
        self.last_epoch += 1
        metric, best, t = float(metrics), self.best, self.threshold
        if metric < best * (1 - t) if self.mode == "min" else metric > best * (1 + t):
            self.best, self.num_bad_epochs = metric, 0
        else:
            self.num_bad_epochs += 1
        if self.num_bad_epochs > self.patience:
            self.num_bad_epochs = 0
            for group in self.optimizer.param_groups:
                lower = max(group["lr"] * self.factor, self.min_lr)
                if group["lr"] - lower > self.eps:
                    set_lr(group, lower)
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]


__getattr__ = outside("tinytensor.optim.lr_scheduler")
