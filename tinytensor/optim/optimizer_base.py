"""OptimizerBase: the breadth of Optimizer. Checks of parameters and settings, saving and loading, printing."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from tinytensor.creation import tensor
from tinytensor.tensor import Tensor


class OptimizerBase:
    """What an Optimizer offers besides a step; use `Optimizer`."""

    defaults: dict[str, Any]
    state: defaultdict[Tensor, dict[str, Any]]
    param_groups: list[dict[str, Any]]

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Train more parameters: {"params": […], "lr": …}. `defaults` has the settings that are left out.

        TypeError for a value that is not a Tensor, ValueError for a non-leaf, or one that is in another group.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = list_of_leaves(param_group["params"])
        if not {p for group in self.param_groups for p in group["params"]}.isdisjoint(params):
            raise ValueError("some parameters appear in more than one parameter group")
        group = {**self.defaults, **param_group, "params": params}
        self._check(group)
        self.param_groups.append(group)

    def _check(self, group: dict[str, Any]) -> None:
        """ValueError for a setting outside its range. A subclass adds checks of its own settings."""
        for name, shown in (("lr", "learning rate"), ("weight_decay", "weight_decay value")):
            if not group.get(name, 0) >= 0:
                raise ValueError(f"Invalid {shown}: {group[name]}")

    def state_dict(self) -> dict[str, Any]:
        """{"state": {number: …}, "param_groups": […]}, where the parameters are numbered group after group.

        The Tensors are those of the optimizer, not copies.
        """
        numbers: dict[Tensor, int] = {}
        for group in self.param_groups:
            for p in group["params"]:
                numbers.setdefault(p, len(numbers))
        groups = [{**group, "params": [numbers[p] for p in group["params"]]} for group in self.param_groups]
        state = {numbers[p]: entries for p, entries in self.state.items() if entries}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a copy of a state_dict. The state of each parameter takes its dtype and device.

        ValueError if the number of groups, or of parameters in a group, differs.
        """
        saved = state_dict["param_groups"]
        if len(saved) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        for new, own in zip(saved, self.param_groups):
            if len(new["params"]) != len(own["params"]):
                raise ValueError(
                    "loaded state dict contains a parameter group that doesn't match the size of optimizer's group"
                )
            self._check({**own, **new})
        params: dict[int, tuple[dict[str, Any], Tensor]] = {}
        for new, own in zip(saved, self.param_groups):
            params.update({number: (own, p) for number, p in zip(new["params"], own["params"])})
            own.update({k: deepcopy(v) for k, v in new.items() if k != "params"})
        self.state.clear()
        for number, entries in state_dict["state"].items():
            group, p = params[number]
            self.state[p] = {name: self._restored(group, p, name, x) for name, x in entries.items()}

    def _restored(self, group: dict[str, Any], p: Tensor, name: str, value: Any) -> Any:
        """A copy of a saved value for the parameter p of that group. "step" is float32 on the host, as in PyTorch."""
        if name == "step":
            return tensor(float(value))
        if not isinstance(value, Tensor):
            return deepcopy(value)
        return value.detach().to(device=p.device, dtype=p.dtype).clone()

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {k}: {group[k]}" for k in sorted(group) if k != "params"]
        return "\n".join([*lines, ")"])

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set every gradient to None, so that the next backward does not add to it, or fill it with zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:  # the next backward adds to the zeros, in the same memory
                    p.grad.zero_()


def list_of_groups(params: Iterable[Any]) -> list[dict[str, Any]]:
    """What an optimizer was given, as groups: a list of Tensors is one group. TypeError and ValueError as PyTorch's."""
    if isinstance(params, Tensor):
        raise TypeError(
            "params argument given to the optimizer should be an iterable of Tensors or dicts,"
            f" but got {type(params).__name__}"
        )
    groups = list(params)
    if not groups:
        raise ValueError("optimizer got an empty parameter list")
    return groups if isinstance(groups[0], dict) else [{"params": groups}]


def list_of_leaves(params: Any) -> list[Tensor]:
    """The parameters of a group as a list. TypeError for a set or for no Tensor, ValueError for a non-leaf."""
    if isinstance(params, set):
        raise TypeError(
            "optimizer parameters need to be organized in ordered collections, but the ordering"
            " of tensors in sets will change between runs. Please use a list instead."
        )
    leaves: list[Tensor] = [params] if isinstance(params, Tensor) else list(params)
    for p in leaves:
        if not isinstance(p, Tensor):
            raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}")
        if not p.is_leaf:
            raise ValueError("can't optimize a non-leaf Tensor")
    if len(set(leaves)) != len(leaves):
        warnings.warn("optimizer contains a group with duplicate parameters", stacklevel=4)
    return leaves
