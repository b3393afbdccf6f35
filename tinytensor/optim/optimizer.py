"""Optimizer: what all optimizers share, the groups of parameters and the loop over them.

A group is a dictionary: its parameters and its settings, {"params": […], "lr": 1e-3, "weight_decay": 0.1}. Two groups
let matrices decay and biases not. optimizer_base.py checks groups, forgets gradients, saves and loads.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tinytensor.backend import Array
from tinytensor.modes import enable_grad
from tinytensor.optim.optimizer_base import OptimizerBase, list_of_groups
from tinytensor.tensor import Tensor
from tinytensor.writes import note_write


class Optimizer(OptimizerBase):
    """The base class. A subclass defines the update of one array (`_update`) and its settings (`_settings`)."""

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self.defaults = defaults  # the settings that a group leaves out
        # what each parameter keeps from step to step, such as AdamW's two moments
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []  # a schedule sets group["lr"] between the steps
        # runs the blocks of an update (blocks.py); the map of a thread pool runs them in parallel
        self.map: Callable[..., Iterable[Any]] = map
        for group in list_of_groups(params):
            self.add_param_group(group)  # checks it and fills its settings up from the defaults

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient. A closure runs first, and its result is returned."""
        loss, self._opt_called = None, True  # a schedule warns if its own step comes first
        if closure is not None:
            with enable_grad():
                loss = closure()  # usually a forward and a backward
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]  # the loss does not depend on the others
            for p in params:
                note_write(p.array)  # a backward that needs the old values now raises an error
            with np.errstate(all="ignore"):  # infinity and nan are results, as in PyTorch
                self._update_group(params, self._settings(group))
        return loss

    def _settings(self, group: dict[str, Any]) -> dict[str, Any]:
        """The keyword arguments of an update, with numbers as Python floats."""
        raise NotImplementedError

    def _update_group(self, params: list[Any], settings: dict[str, Any]) -> None:
        """Update the parameters one after another."""
        for p in params:
            self._update(p.array, p.grad.array, self.state[p], settings)  # on arrays: the tape records nothing

    def _update(self, p: Array, g: Array, state: dict[str, Any], settings: dict[str, Any]) -> None:
        """Update the array p in place, given its gradient g and what the last step left in its state."""
        raise NotImplementedError
