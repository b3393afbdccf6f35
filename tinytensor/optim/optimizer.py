"""What all optimizers share: parameter groups, state, and saving both.

An update is a plain function on arrays that works in place. `_in_blocks` feeds it large parameters
block by block, so that all its passes but the first find their operands in the cache, and lends it
scratch arrays that live as long as the optimizer: a step of SGD, Adam and AdamW allocates nothing.
"""

from __future__ import annotations

import threading
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

import numpy as np

from tinytensor.backend import Array, array_module
from tinytensor.creation import tensor
from tinytensor.modes import enable_grad
from tinytensor.tensor import Tensor
from tinytensor.writes import note_write

BLOCK = 1 << 17  # elements; smaller ones cost more Python, which threads cannot share


class Optimizer:
    """The base class: `param_groups` (a list of dicts), `defaults` for them, `state` by parameter.

    A subclass says which settings there are (`_check`, `_settings`) and how an array is updated
    (`_update`).
    """

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts,"
                f" but got {type(params).__name__}"
            )
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self._scratch: dict[Any, list[Array]] = {}
        self.map: Callable[..., Iterable[Any]] = map  # runs the blocks: a thread pool's runs them in parallel
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Train more parameters: {"params": […], "lr": …}; what is left out is in `defaults`.

        TypeError for what is no Tensor, ValueError for a non-leaf or one that is trained already.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the ordering"
                " of tensors in sets will change between runs. Please use a list instead."
            )
        params = [params] if isinstance(params, Tensor) else list(params)
        for p in params:
            if not isinstance(p, Tensor):
                name = type(p).__name__
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {name}")
            if not p.is_leaf:
                raise ValueError("can't optimize a non-leaf Tensor")
        if len(set(params)) != len(params):
            warnings.warn("optimizer contains a group with duplicate parameters", stacklevel=3)
        if not {p for group in self.param_groups for p in group["params"]}.isdisjoint(params):
            raise ValueError("some parameters appear in more than one parameter group")
        group = {**self.defaults, **param_group, "params": params}
        self._check(group)
        self.param_groups.append(group)

    def _check(self, group: dict[str, Any]) -> None:
        """Raise ValueError for a setting that cannot be."""
        for name, shown in (("lr", "learning rate"), ("weight_decay", "weight_decay value")):
            if not group.get(name, 0) >= 0:
                raise ValueError(f"Invalid {shown}: {group[name]}")

    def _settings(self, group: dict[str, Any]) -> dict[str, Any]:
        """What `_update` needs to know of a group, with Python floats for numbers.

        Schedules often set NumPy scalars, and a np.float64 would promote float32 arrays.
        """
        raise NotImplementedError

    def _update(self, p: Array, g: Array, state: dict[str, Any], settings: dict[str, Any]) -> None:
        """Update the array p in place, given its gradient."""
        raise NotImplementedError

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; gives what closure, run first, returned."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            changed = [p for p in group["params"] if p.grad is not None]
            for p in changed:
                note_write(p.array)  # a forward before this step can have no backward after it
            self._update_group(changed, self._settings(group))
        return loss

    def _update_group(self, params: list[Any], settings: dict[str, Any]) -> None:
        """Update these parameters, one by one."""
        for p in params:
            self._update(p.array, p.grad.array, self.state[p], settings)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or fill them with zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    p.grad.zero_()

    def _in_blocks(self, update: Callable[..., None], scratch: int, p: Array, *others: Array) -> None:
        """update(p, *others, *scratch arrays of p's shape): block by block, if they are large and on the host."""
        arrays = (p, *others)
        small = p.size <= BLOCK or not isinstance(p, np.ndarray)
        if small or not all(x.flags.c_contiguous for x in arrays):
            return update(*arrays, *self._spare(scratch, p, p.shape))
        flat = [x.reshape(-1) for x in arrays]

        def block(start: int) -> None:
            piece = [x[start : start + BLOCK] for x in flat]
            update(*piece, *(x[: len(piece[0])] for x in self._spare(scratch, p, (BLOCK,))))

        for _ in self.map(block, range(0, p.size, BLOCK)):
            pass

    def _spare(self, count: int, p: Array, shape: tuple[int, ...]) -> list[Array]:
        """Scratch arrays for p: made once for each shape and thread."""
        key = (type(p), p.dtype, shape, threading.get_ident())
        if key not in self._scratch:
            self._scratch[key] = [array_module(p).empty(shape, p.dtype) for _ in range(count)]
        return self._scratch[key]

    # ------------------------------------------------------------------------------------ saving

    def state_dict(self) -> dict[str, Any]:
        """{"state": {number: …}, "param_groups": […]}: parameters are numbered group after group.

        The Tensors are the optimizer's own, not copies.
        """
        numbers: dict[Tensor, int] = {}
        for group in self.param_groups:
            for p in group["params"]:
                numbers.setdefault(p, len(numbers))
        groups = [{**group, "params": [numbers[p] for p in group["params"]]} for group in self.param_groups]
        state = {numbers[p]: entries for p, entries in self.state.items() if entries}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a state_dict; copies. State takes the dtype and device of its parameter.

        ValueError where the number of groups or of parameters in one differs.
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
        """A copy of a saved value, fit for p of that group; the step count is float32 on the host, as in PyTorch."""
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
