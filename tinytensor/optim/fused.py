"""The fast forms of an Adam step: a group as one vector, blocks on several threads, float32 masters, one GPU launch.

All call the `update` of the class (adamw.py, adam.py), so the numbers are those of the plain loop, bit for bit; on a
GPU one kernel computes the same formulas.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from tinytensor.backend import Array, array_module
from tinytensor.devices import cupy, device_of
from tinytensor.dispatch import gpu
from tinytensor.dtypes import float32
from tinytensor.nn.flat import Flat, fits, flat_of
from tinytensor.optim.moments import Kept, MomentOptimizer
from tinytensor.tensor import Tensor


class FusedOptimizer(MomentOptimizer):
    """Updates a group as one vector if it is a Flat (fused=True) with all gradients, else parameter by parameter."""

    update: Any  # an array function: update(p, g, m, v, *scratch arrays, step=…, lr=…, …), in place
    scratch: int  # how many scratch arrays it takes
    decoupled: bool  # whether the weights decay apart from the gradient: for the kernel on a GPU

    grad_scale: Tensor | None = None  # amp.GradScaler sets both for a step: what to divide the gradients by
    found_inf: Tensor | None = None  # and whether to skip the step
    _ended: Array | None = None  # a counter for the kernel

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Train more parameters; fused=True makes a Flat of them if they have one dtype and one device."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        if group["fused"] and fits(group["params"]):
            Flat(group["params"])

    def _update_group(self, params: list[Any], settings: dict[str, Any]) -> None:
        """Equal to the loop of `PlainAdamW`: one update of a vector is that of each of its elements."""
        group = settings.pop("group")
        flat = flat_of(params[0]) if params else None
        if flat is not None and params == flat.parameters and flat.complete():
            kept = self._kept_of_all(flat, group)
            if kept.one_step():
                return self._advance(flat.data, flat.grad, kept, settings, group)
        elif flat in self._flats:
            self._flats[flat].level = None  # some may make more steps than others from now on
        for p in params:
            self._advance(p.array, p.grad.array, self._kept_of(p, group), settings, group)

    def _advance(self, p: Array, g: Array, kept: Kept, settings: dict[str, Any], group: dict[str, Any]) -> None:
        """One step of one array: a parameter, or the vector of all parameters of a Flat."""
        scale, found_inf = self.grad_scale, self.found_inf
        if not isinstance(p, np.ndarray):
            return self._advance_on_gpu(p, g, kept, settings, group, scale, found_inf)
        if group.get("capturable") and not group.get("fused"):
            raise AssertionError("capturable=True needs parameters on a GPU: leave it out for those on the host")
        if found_inf is not None and found_inf.item():
            return
        step = kept.steps[0].item() + 1
        for count in kept.steps:
            count.array.fill(step)
        update = functools.partial(self.update, step=step, **{**settings, "lr": float(settings["lr"])})
        factor = 1.0 if scale is None else scale.item()
        if kept.master is not None:
            update = functools.partial(master_update, update=update, scale=factor)
            return self._in_blocks(update, self.scratch + 1, kept.master, p, g, kept.m, kept.v)
        if factor != 1:
            unscale(g, factor, g if g.dtype != np.float16 else g.astype(np.float32))
        self._in_blocks(update, self.scratch, p, g, kept.m, kept.v)

    def _advance_on_gpu(
        self,
        p: Array,
        g: Array,
        kept: Kept,
        settings: dict[str, Any],
        group: dict[str, Any],
        scale: Any,
        found_inf: Any,
    ) -> None:
        """The same in one launch of a kernel (cuda/adam.py)."""
        if not group.get("capturable") and cupy().cuda.get_current_stream().is_capturing():
            raise RuntimeError("a step that is captured in a CUDA graph needs an optimizer with capturable=True")
        if self._ended is None:
            self._ended = array_module(p).zeros((), np.uint32)
        values = {"lr": settings["lr"], "scale": scale, "found_inf": found_inf}
        on_gpu = {name: _value(x, p) for name, x in values.items()}
        steps = kept.steps
        if isinstance(steps, list):
            steps = steps[0].item() + 1
            for count in kept.steps:
                count.array.fill(steps)
        numbers = {**settings, **on_gpu, "decoupled": self.decoupled}
        gpu("adam_step")(p, g, kept.m, kept.v, kept.master, steps, self._ended, **numbers)


def master_update(
    master: Array, p: Array, g: Array, m: Array, v: Array, wide: Array, *scratch: Array, update: Any, scale: float
) -> None:
    """Divide g by scale, apply `update` to the float32 master, and round the master to the float16 weight p.

    A weight that differs from its rounded master was set by somebody else, for instance by loading. It becomes the
    master.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # a weight above 65504 is inf in float16
        np.copyto(master, p, where=master.astype(p.dtype) != p)
        unscale(g, scale, wide)
        update(master, wide, m, v, *scratch)
        np.copyto(p, master, casting="same_kind")


def unscale(g: Array, scale: float, wide: Array) -> None:
    """g ← g / scale, computed in the dtype of `wide`, which receives the result as well."""
    np.divide(g, scale, out=wide, dtype=wide.dtype, casting="same_kind")
    if scale != 1 and wide is not g:
        np.copyto(g, wide, casting="same_kind")


def _value(x: Any, p: Array) -> Any:
    """A number as it is, or a Tensor as a float32 array on the device of p."""
    if not isinstance(x, Tensor):
        return x
    return x.to(device=device_of(p), dtype=float32).array
