"""Adam (Kingma and Ba 2015), and AdamW with its own decay (Loshchilov and Hutter 2019)."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinytensor.backend import Array, array_module, vector
from tinytensor.creation import tensor
from tinytensor.nn.flat import Flat, fits
from tinytensor.optim.optimizer import Optimizer
from tinytensor.tensor import Tensor, wrap


def adam_update(
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    scratch: Array,
    decayed: Array,
    *,
    step: float,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
) -> None:
    """Update p and the two moments m, v of its gradient in place; t = step counts from 1.

    g ← g + weight_decay · p     (in `decayed`)
    m ← β₁m + (1 − β₁)g          v ← β₂v + (1 − β₂)g²
    m̂ = m / (1 − β₁ᵗ)            v̂ = v / (1 − β₂ᵗ)
    p ← p − lr · m̂ / (√v̂ + eps)

    √(1 − β₂ᵗ) is multiplied into lr and eps, which saves two passes.
    """
    if weight_decay:
        np.multiply(p, weight_decay, out=decayed)
        g = np.add(g, decayed, out=decayed)
    root = math.sqrt(1 - beta2**step)
    np.multiply(m, beta1, out=m)
    np.multiply(g, 1 - beta1, out=scratch)
    np.add(m, scratch, out=m)
    np.multiply(v, beta2, out=v)
    np.multiply(g, g, out=scratch)
    np.multiply(scratch, 1 - beta2, out=scratch)
    np.add(v, scratch, out=v)
    np.sqrt(v, out=scratch)
    np.add(scratch, eps * root, out=scratch)
    np.divide(m, scratch, out=scratch)
    np.multiply(scratch, lr * root / (1 - beta1**step), out=scratch)
    np.subtract(p, scratch, out=p)


def adamw_update(
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    scratch: Array,
    *,
    lr: float,
    weight_decay: float,
    **rest: float,
) -> None:
    """p ← (1 − lr · weight_decay) p, then `adam_update` without decay; all in place."""
    if weight_decay:
        np.multiply(p, 1 - lr * weight_decay, out=p)
    adam_update(p, g, m, v, scratch, scratch, lr=lr, weight_decay=0.0, **rest)


class Adam(Optimizer):
    """Steps of about lr in each coordinate; weight_decay · p is added to the gradient.

    With fused=True each group becomes `nn.flat.Flat`, and is updated as one vector where it took one parameter after
    another; the numbers are the same. Gradients then lie in a buffer that the next backward overwrites.
    NotImplementedError for amsgrad=True.
    """

    update = staticmethod(adam_update)
    scratch = 2

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        fused: bool | None = None,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        self._moments: dict[Flat, tuple[Array, Array, list[Tensor]]] = {}
        super().__init__(params, {**defaults, "amsgrad": amsgrad, "fused": fused})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        if group["fused"] and fits(group["params"]):
            Flat(group["params"])

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        if not group["eps"] >= 0:
            raise ValueError(f"Invalid epsilon value: {group['eps']}")
        for i, beta in enumerate(group["betas"]):
            if not 0 <= beta < 1:
                raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
        for name in ("amsgrad", "maximize"):  # PyTorch's saved groups have both
            if group.get(name):
                raise NotImplementedError(f"{name}=True is outside the subset")

    def _settings(self, group: dict[str, Any]) -> dict[str, Any]:
        settings = {name: float(group[name]) for name in ("lr", "eps", "weight_decay")}
        beta1, beta2 = group["betas"]
        return {**settings, "beta1": float(beta1), "beta2": float(beta2)}

    def _update_group(self, params: list[Any], settings: dict[str, Any]) -> None:
        flat = getattr(params[0], "_flat", None) if params else None
        if flat is None or params != flat.parameters or not flat.complete():
            return super()._update_group(params, settings)
        m, v, _ = self._moments_of(flat)
        steps = {self.state[p]["step"].item() for p in params}
        if len(steps) > 1:
            return super()._update_group(params, settings)
        step = steps.pop() + 1
        for p in params:
            self.state[p]["step"].array.fill(step)
        update = functools.partial(self.update, step=step, **settings)
        self._in_blocks(update, self.scratch, flat.data, flat.grad, m, v)

    def _moments_of(self, flat: Flat) -> tuple[Array, Array, list[Tensor]]:
        """Both moments of all parameters as vectors, of which the states of the single ones are parts."""
        if flat in self._moments and all(
            self.state[p].get("exp_avg_sq") is own for p, own in zip(flat.parameters, self._moments[flat][2])
        ):
            return self._moments[flat]
        m, v = (vector(flat.data.size, flat.data) for _ in range(2))
        for p, *parts in zip(flat.parameters, flat.parts(m), flat.parts(v)):
            state = self.state[p]
            state.setdefault("step", tensor(0.0))
            for name, part in zip(("exp_avg", "exp_avg_sq"), parts):
                if name in state:
                    part[...] = state[name].array
                state[name] = wrap(part)
        self._moments[flat] = m, v, [self.state[p]["exp_avg_sq"] for p in flat.parameters]
        return self._moments[flat]

    def _update(self, p: Array, g: Array, state: dict[str, Any], settings: dict[str, Any]) -> None:
        if not state:
            state["step"] = tensor(0.0)
            for name in ("exp_avg", "exp_avg_sq"):
                state[name] = wrap(array_module(p).zeros_like(p))
        step = state["step"].item() + 1
        state["step"].array.fill(step)
        update = functools.partial(self.update, step=step, **settings)
        self._in_blocks(update, self.scratch, p, g, state["exp_avg"].array, state["exp_avg_sq"].array)


class AdamW(Adam):
    """Adam, with the weights decayed apart from the gradient: the usual choice for transformers."""

    update = staticmethod(adamw_update)  # type: ignore[assignment]
    scratch = 1

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        fused: bool | None = None,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, fused=fused)
