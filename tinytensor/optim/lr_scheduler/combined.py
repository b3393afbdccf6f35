"""Several schedules for one optimizer: one after the other, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from tinytensor.optim.lr_scheduler.base import LRScheduler, set_lr, values
from tinytensor.optim.lr_scheduler.plateau import ReduceLROnPlateau
from tinytensor.optim.optimizer import Optimizer


class Combined(LRScheduler):
    """The base class: schedules of one optimizer, and a state_dict with theirs."""

    def __init__(self, optimizer: Optimizer | None, schedulers: Sequence[LRScheduler]) -> None:
        """ValueError for no scheduler, one of another optimizer, or a plateau, whose step needs a metric."""
        name = type(self).__name__
        if not schedulers:
            raise ValueError(f"{name} needs at least one scheduler")
        for i, scheduler in enumerate(schedulers):
            if not hasattr(scheduler, "optimizer"):
                raise TypeError(f"{name}: number {i} is no scheduler, but {type(scheduler).__name__}")
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(f"{name} cannot give number {i}, ReduceLROnPlateau, its metrics: step that one alone")
            optimizer = optimizer or scheduler.optimizer
            if scheduler.optimizer is not optimizer:
                raise ValueError(f"{name}: number {i}, {type(scheduler).__name__}, belongs to another optimizer")
        assert optimizer is not None
        self.optimizer, self._schedulers = optimizer, schedulers

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "_schedulers": [scheduler.state_dict() for scheduler in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({**state_dict, "_schedulers": self._schedulers})
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)


class SequentialLR(Combined):
    """One scheduler after the other: at each milestone the next one starts, with its epoch 0."""

    def __init__(
        self, optimizer: Optimizer, schedulers: list[LRScheduler], milestones: list[int], last_epoch: int = -1
    ) -> None:
        super().__init__(optimizer, schedulers)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"{len(schedulers)} schedulers need {len(schedulers) - 1} milestones, not {len(milestones)}"
            )
        self._milestones, self.last_epoch = milestones, last_epoch + 1
        for group in optimizer.param_groups:  # each scheduler has set its first rate: only the first one should
            set_lr(group, group["initial_lr"])
        step_back(self)
        first = schedulers[bisect_right(milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def step(self) -> None:  # type: ignore[override]
        """Let the scheduler whose turn it is set the next rates."""
        self.last_epoch += 1
        turn = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[turn]
        if turn > 0 and self._milestones[turn - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


class ChainedScheduler(Combined):
    """All schedulers at once: each step is a step of every one, in order."""

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        super().__init__(optimizer, schedulers)
        self._last_lr = values(self.optimizer)

    def step(self) -> None:  # type: ignore[override]
        """A step of each."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = values(self.optimizer)


def step_back(scheduler: Any) -> None:
    """Undo the count of the first step of a scheduler, or of all that it combines."""
    if isinstance(scheduler, Combined):
        for each in scheduler._schedulers:
            step_back(each)
    else:
        scheduler.last_epoch -= 1
