"""OptimizerBase: the breadth of Optimizer. Checks of parameters and settings, saving and loading, printing."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable
from copy import deepcopy
from typing import Any, NoReturn

from tinytensor.creation import tensor
from tinytensor.tensor import Tensor

# PyTorch's flags that not every optimizer here has: what to do instead
INSTEAD = {
    "amsgrad": "leave it out",
    "capturable": "AdamW has it, for CUDA graphs",
    "centered": "leave it out",
    "differentiable": "the tape does not record a step",
    "foreach": "leave it out, or take AdamW(…, fused=True), which updates all parameters at once",
    "fused": "AdamW has it",
    "maximize": "minimize the negative of the loss",
}


class _Outside:
    """A method of PyTorch's that is not here: AttributeError, with what to do instead.

    (A `__getattr__` would make every access to an attribute slower, and a step has many.)
    """

    def __init__(self, instead: str) -> None:
        self.instead = instead

    def __get__(self, instance: Any, owner: type) -> NoReturn:
        raise AttributeError(f"hooks of {owner.__name__} are outside tinytensor's subset: {self.instead}")


class OptimizerBase:
    """What an Optimizer offers besides a step; use `Optimizer`."""

    defaults: dict[str, Any]
    state: defaultdict[Tensor, dict[str, Any]]
    param_groups: list[dict[str, Any]]
    not_negative: tuple[str, ...] = ()  # settings that are numbers ≥ 0
    outside: tuple[str, ...] = ()  # the flags of PyTorch's class, keys of INSTEAD, that have to stay off
    _opt_called = False  # whether a step was made: a schedule asks

    register_step_pre_hook = register_step_post_hook = _Outside("call it before or after the step")
    register_state_dict_pre_hook = register_state_dict_post_hook = _Outside("change what state_dict() returns")
    register_load_state_dict_pre_hook = register_load_state_dict_post_hook = _Outside("change what is loaded")

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Train more parameters: {"params": […], "lr": …}. `defaults` has the settings that are left out.

        The parameters may have names, as in model.named_parameters(). TypeError for a value that is not a Tensor,
        ValueError for a non-leaf, one that is in another group, or names in some places only.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params, names = list_of_leaves(param_group["params"])
        param_group |= {"params": params, **({"param_names": names} if names else {})}
        for group in self.param_groups:
            if ("param_names" in param_group) != ("param_names" in group):
                kind = "with names" if "param_names" in param_group else "without names"
                raise ValueError(
                    "all optimizer param groups should be with/without names."
                    f" cannot add param group {kind} to the optimizer"
                )
        if not {p for group in self.param_groups for p in group["params"]}.isdisjoint(params):
            raise ValueError("some parameters appear in more than one parameter group")
        self._check({**self.defaults, **param_group})
        self._check_flags({**self.defaults, **param_group})
        self.param_groups.append(param_group)
        for name, default in self.defaults.items():
            param_group.setdefault(name, default)

    def _check(self, group: dict[str, Any]) -> None:
        """ValueError for a setting outside its range."""
        for name in self.not_negative:
            if name == "lr" and isinstance(group[name], Tensor) and group[name].numel() != 1:
                raise ValueError("Tensor lr must be 1-element")
            if not group[name] >= 0:
                shown = {"lr": "learning rate", "eps": "epsilon value"}.get(name, f"{name} value")
                raise ValueError(f"Invalid {shown}: {group[name]}")

    def _check_flags(self, group: dict[str, Any]) -> None:
        """NotImplementedError for a flag outside of the subset."""
        for name in self.outside:
            if group.get(name):
                raise NotImplementedError(
                    f"{type(self).__name__}({name}={group[name]}) is outside tinytensor's subset: {INSTEAD[name]}"
                )

    def state_dict(self) -> dict[str, Any]:
        """{"state": {number: …}, "param_groups": […]}, where the parameters are numbered group after group.

        The Tensors are those of the optimizer, not copies.
        """
        every = [p for group in self.param_groups for p in group["params"]]
        numbers = {p: i for i, p in enumerate(every)}  # one that comes twice has the number of its last place
        groups = [{**group, "params": [numbers[p] for p in group["params"]]} for group in self.param_groups]
        state: dict[Any, Any] = {numbers.get(p, p): entries for p, entries in self.state.items() if entries}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a copy of a state_dict, also from one of PyTorch's.

        The state of each parameter takes its dtype and device. ValueError if the number of groups, or of parameters in
        a group, differs.
        """
        saved = state_dict["param_groups"]
        if len(saved) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        params: dict[int, tuple[dict[str, Any], Tensor]] = {}
        for new, own in zip(saved, self.param_groups):
            if len(new["params"]) != len(own["params"]):
                raise ValueError(
                    "loaded state dict contains a parameter group that doesn't match the size of optimizer's group"
                )
            self._check_flags({**own, **new})  # not the numbers: a schedule may end at -1e-19, by rounding
            params.update({number: (own, p) for number, p in zip(new["params"], own["params"])})
        for new, own in zip(saved, self.param_groups):
            own.update({k: deepcopy(v) for k, v in new.items() if k != "params"})
        self.state.clear()
        for number, entries in state_dict["state"].items():
            if number not in params:  # a state of an optimizer of one's own, under a name
                self.state[number] = deepcopy(entries)
                continue
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


def list_of_leaves(params: Any) -> tuple[list[Tensor], list[str]]:
    """The parameters of a group and their names, if they are given as pairs of a name and a parameter.

    TypeError for a set or for no Tensor, ValueError for a non-leaf, or names for some alone.
    """
    if isinstance(params, set):
        raise TypeError(
            "optimizer parameters need to be organized in ordered collections, but the ordering"
            " of tensors in sets will change between runs. Please use a list instead."
        )
    given = [params] if isinstance(params, Tensor) else list(params)
    names = [p[0] for p in given if isinstance(p, tuple)]
    leaves: list[Tensor] = [p[1] if isinstance(p, tuple) else p for p in given]
    if names and len(names) != len(leaves):
        raise ValueError("all optimizer params should be with/without names. Some param names are missing")
    for p in leaves:
        if not isinstance(p, Tensor):
            raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}")
        if not p.is_leaf:
            raise ValueError("can't optimize a non-leaf Tensor")
    if len(set(leaves)) != len(leaves):
        warnings.warn(
            "optimizer contains a parameter group with duplicate parameters: each step updates them twice", stacklevel=4
        )
    return leaves, names
