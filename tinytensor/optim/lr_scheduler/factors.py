"""Schedules that multiply the rate by a factor in each step, and the same from the initial rate in one formula."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from tinytensor.optim.lr_scheduler.base import LRScheduler, attributes_of, restore_attributes
from tinytensor.optim.optimizer import Optimizer


class FactorLR(LRScheduler):
    """lr ← lr · factor(epoch) in each step, so lr = initial_lr · product(epoch) if nobody else changes the rate.

    A subclass defines both. A factor of 1, the int, leaves the rate as it is. Rounding apart, product(t) is
    factor(0) · factor(1) · … · factor(t); `step(epoch)` uses it to jump to an epoch.
    """

    def _factor(self, t: Any) -> Any:
        raise NotImplementedError

    def _product(self, t: Any) -> Any:
        raise NotImplementedError

    def _rates(self) -> list[Any]:
        factor = self._factor(self.last_epoch)
        return [group["lr"] * factor for group in self.optimizer.param_groups]

    def _get_closed_form_lr(self) -> list[Any]:
        product = self._product(self.last_epoch)
        return [base * product for base in self.base_lrs]


class StepLR(FactorLR):
    """lr ← gamma · lr every step_size epochs: lr = initial_lr · gamma^⌊epoch / step_size⌋."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def _factor(self, t: Any) -> Any:
        return 1 if t == 0 or t % self.step_size else self.gamma

    def _product(self, t: Any) -> Any:
        return self.gamma ** (t // self.step_size)


class MultiStepLR(FactorLR):
    """lr ← gamma · lr at each milestone: lr = initial_lr · gamma^(number of milestones ≤ epoch)."""

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones, self.gamma = Counter(milestones), gamma  # a milestone may come twice
        super().__init__(optimizer, last_epoch)

    def _factor(self, t: Any) -> Any:
        return self.gamma ** self.milestones[t] if t in self.milestones else 1

    def _product(self, t: Any) -> Any:
        return self.gamma ** bisect_right(sorted(self.milestones.elements()), t)


class ConstantLR(FactorLR):
    """lr = factor · initial_lr before the epoch total_iters, initial_lr from then on."""

    def __init__(self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5, last_epoch: int = -1) -> None:
        if factor > 1 or factor < 0:
            raise ValueError(f"ConstantLR: factor lies between 0 and 1, not at {factor}")
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def _factor(self, t: Any) -> Any:
        return self.factor if t == 0 else 1 / self.factor if t == self.total_iters else 1

    def _product(self, t: Any) -> Any:
        return self.factor + (t >= self.total_iters) * (1 - self.factor)


class LinearLR(FactorLR):
    """lr goes linearly from start_factor to end_factor times initial_lr, over total_iters epochs: a warm-up.

    With s, e for the two factors and n for total_iters, lr = initial_lr · (s + (e − s) t / n) at epoch t ≤ n. The factor
    of a step is the quotient of two such values: 1 + (e − s) / (n s + (t − 1) (e − s)).
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not (0 < start_factor <= 1 and 0 <= end_factor <= 1):
            raise ValueError(f"LinearLR: factors lie between 0 and 1, not at {start_factor} and {end_factor}")
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def _factor(self, t: Any) -> Any:
        if t == 0:
            return self.start_factor
        if self._is_initial or t > self.total_iters:
            return 1
        rise = self.end_factor - self.start_factor
        return 1 + rise / (self.total_iters * self.start_factor + (t - 1) * rise)

    def _product(self, t: Any) -> Any:
        rise = self.end_factor - self.start_factor
        return self.start_factor + rise * min(self.total_iters, t) / self.total_iters


class ExponentialLR(FactorLR):
    """lr ← gamma · lr in every epoch: lr = initial_lr · gamma^epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _factor(self, t: Any) -> Any:
        return 1 if self._is_initial else self.gamma

    def _product(self, t: Any) -> Any:
        return self.gamma**t


class PolynomialLR(FactorLR):
    """lr = initial_lr · (1 − epoch / total_iters)^power up to the epoch total_iters, 0 from then on."""

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def _factor(self, t: Any) -> Any:
        n = self.total_iters
        if self._is_initial or t > n:
            return 1
        return ((1 - t / n) / (1 - (t - 1) / n)) ** self.power

    def _product(self, t: Any) -> Any:
        n = self.total_iters
        return (1 - min(n, t) / n) ** self.power


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

    def _rates(self) -> list[Any]:
        return [base * factor(self.last_epoch) for base, factor in zip(self.base_lrs, self.lr_lambdas, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "lr_lambdas": attributes_of(self.lr_lambdas)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        restore_attributes(self.lr_lambdas, state_dict["lr_lambdas"])
        super().load_state_dict({**state_dict, "lr_lambdas": self.lr_lambdas})


class MultiplicativeLR(LambdaLR):
    """lr ← lr · lr_lambda(epoch) in each step, from epoch 1 on."""

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        for factor in lr_lambda if isinstance(lr_lambda, (list, tuple)) else [lr_lambda]:
            if not callable(factor):
                raise TypeError(f"lr_lambda should be a function, but got {type(factor).__name__}")
        super().__init__(optimizer, lr_lambda, last_epoch)

    def _rates(self) -> list[Any]:
        factors = self.lr_lambdas
        groups = zip(self.optimizer.param_groups, factors, strict=True)
        return [group["lr"] * (1 if self._is_initial else factor(self.last_epoch)) for group, factor in groups]
