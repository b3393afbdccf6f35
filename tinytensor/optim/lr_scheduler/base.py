"""LRScheduler: what all schedules share. A schedule sets the learning rate of each group, step after step."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from tinytensor.optim.optimizer import Optimizer
from tinytensor.tensor import Tensor


class LRScheduler:
    """The base class. A subclass defines `get_lr`, the rate of each group at `last_epoch`.

    The constructor sets the rates of epoch 0, and each `step()` those of the next epoch. Most schedules go on from the
    current rate (`group["lr"]`), so that several of them, and a rate that was set by hand, multiply. With last_epoch ≥ 0
    the schedule continues from there; KeyError if a group has no "initial_lr".
    """

    _is_initial = False  # whether the constructor sets the rates of epoch 0
    _get_lr_called_within_step = False
    _step_count = 0

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        must_be_optimizer(optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", deepcopy(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(f"param 'initial_lr' is not specified in param_groups[{i}] when resuming")
        self.optimizer = optimizer
        self.base_lrs = values(optimizer, "initial_lr")
        self.last_epoch: Any = last_epoch
        self._initial_step()

    def _initial_step(self) -> None:
        """Set the rates of epoch 0, or of the epoch after last_epoch."""
        self._step_count, self._is_initial = 0, True
        try:
            self.step()
        finally:
            self._is_initial = False

    def get_lr(self) -> list[Any]:
        """The learning rate of each group at `last_epoch`. `step` calls it; the current rates are in get_last_lr()."""
        if not self._get_lr_called_within_step:
            warnings.warn(
                "get_lr() computes the rates of the next step. To read the current ones, use get_last_lr().",
                stacklevel=2,
            )
        return self._rates()

    def _rates(self) -> list[Any]:
        """`get_lr` of the schedules here."""
        raise NotImplementedError(f"{type(self).__name__} has no get_lr")

    def get_last_lr(self) -> list[Any]:
        """The learning rates that the last step set."""
        return self._last_lr

    def step(self, epoch: Any = None) -> None:
        """Set the rates of the next epoch, or of the next step: of whatever is counted.

        With an epoch, which PyTorch advises against, the rates of that epoch, counted from initial_lr where the
        schedule has such a formula. Warns if the first call comes before optimizer.step().
        """
        if self._step_count == 1 and not was_called(self.optimizer):
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`: the first rate of the schedule is"
                " skipped. Call `optimizer.step()` first.",
                stacklevel=2,
            )
        self._step_count += 1
        if epoch is not None:
            warn_of_epoch()
        self._update_lr(epoch)

    def _update_lr(self, epoch: Any = None) -> None:
        """Go to the next epoch, or to the given one, and set the rates."""
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        jump = getattr(self, "_get_closed_form_lr", self.get_lr)
        self._set(self.get_lr if epoch is None else jump)

    def _set(self, rates: Any) -> None:
        """Set the rates that the function returns."""
        self._get_lr_called_within_step = True
        try:
            new = rates()
        finally:
            self._get_lr_called_within_step = False
        for group, lr in zip(self.optimizer.param_groups, new, strict=True):
            set_lr(group, lr)
        self._last_lr = values(self.optimizer)

    def state_dict(self) -> dict[str, Any]:
        """All attributes but the optimizer, under PyTorch's names."""
        return {name: value for name, value in vars(self).items() if name != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a state_dict, also from one of PyTorch's. The optimizer's own has the rates: load it too."""
        vars(self).update(state_dict)

    def __getattr__(self, name: str) -> Any:  # Python calls it for a name that nothing else has
        hint = "" if name.startswith("__") else ": it is outside tinytensor's subset of PyTorch, or no such name"
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{hint}")


def set_lr(group: dict[str, Any], lr: Any) -> None:
    """Set the learning rate of a group. A Tensor is filled in place, because a CUDA graph reads that memory."""
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(lr)
    else:
        group["lr"] = lr


def values(optimizer: Optimizer, name: str = "lr") -> list[Any]:
    """A setting of each group; Tensors as copies."""
    return [deepcopy(group[name]) for group in optimizer.param_groups]


def for_each_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """A value for each group, from one for all or from a list. ValueError for a list of another length."""
    n = len(optimizer.param_groups)
    if isinstance(value, (list, tuple)) and len(value) != n:
        raise ValueError(f"{name} has {len(value)} values, but the optimizer has {n} groups of parameters")
    return deepcopy(list(value) if isinstance(value, (list, tuple)) else [value] * n)


def must_be_optimizer(optimizer: Any) -> None:
    """TypeError for anything else."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")


def was_called(optimizer: Optimizer) -> bool:
    """Whether optimizer.step() ran; True if it cannot be known, because a subclass has a `step` of its own."""
    return optimizer._opt_called or type(optimizer).step is not Optimizer.step


def warn_of_epoch() -> None:
    """For the `epoch` of a step."""
    warnings.warn("step(epoch) is deprecated: call step(), which goes on by one epoch", stacklevel=3)


def attributes_of(functions: Iterable[Any]) -> list[dict[str, Any] | None]:
    """For a state_dict: what callable objects hold, None for functions."""
    return [dict(getattr(f, "__dict__", {})) or None for f in functions]


def restore_attributes(functions: Iterable[Any], saved: Iterable[dict[str, Any] | None]) -> None:
    """The reverse of `attributes_of`."""
    for function, attributes in zip(functions, saved, strict=True):
        if attributes:
            vars(function).update(attributes)
