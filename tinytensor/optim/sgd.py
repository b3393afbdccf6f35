"""Stochastic gradient descent; momentum (Polyak 1964), Nesterov's (Sutskever et al. 2013)."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinytensor.backend import Array, array_module
from tinytensor.base import wrap
from tinytensor.optim.blocks import BlockOptimizer
from tinytensor.tensor import Tensor


def sgd_update(
    p: Array,
    g: Array,
    b: Array | None,
    direction: Array,
    scratch: Array,
    *,
    first: bool,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    maximize: bool,
) -> None:
    """Update p and its momentum b in place. With d = g + weight_decay · p (−g instead of g to maximize):

    b ← d in the first step, later momentum · b + (1 − dampening) · d
    p ← p − lr · u, where u is d without momentum, b with it, and d + momentum · b with nesterov
    """
    d = g
    if weight_decay or maximize:
        d = direction
        np.multiply(p, weight_decay, out=d)
        (np.subtract if maximize else np.add)(d, g, out=d)
    if b is not None:
        if first:
            np.copyto(b, d)
        else:
            np.multiply(b, momentum, out=b)
            np.multiply(d, 1 - dampening, out=scratch)
            np.add(b, scratch, out=b)
        if nesterov:
            np.multiply(b, momentum, out=scratch)
            np.add(d, scratch, out=direction)
            d = direction
        else:
            d = b
    np.multiply(d, lr, out=scratch)
    np.subtract(p, scratch, out=p)


class SGD(BlockOptimizer):
    """p ← p − lr · g, with the variants that `sgd_update` lists."""

    not_negative = ("lr", "momentum", "weight_decay")
    outside = ("foreach", "differentiable", "fused")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        defaults |= {"nesterov": nesterov, "maximize": maximize}
        super().__init__(params, {**defaults, "foreach": foreach, "differentiable": differentiable, "fused": fused})

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")

    def _settings(self, group: dict[str, Any]) -> dict[str, Any]:
        numbers = ("lr", "momentum", "dampening", "weight_decay")
        flags = ("nesterov", "maximize")
        return {n: float(group[n]) for n in numbers} | {n: bool(group[n]) for n in flags}

    def _update(self, p: Array, g: Array, state: dict[str, Any], settings: dict[str, Any]) -> None:
        first = state.get("momentum_buffer") is None
        if not settings["momentum"]:
            update = lambda p, g, d, s: sgd_update(p, g, None, d, s, first=first, **settings)  # noqa: E731
            return self._in_blocks(update, 2, p, g)
        if first:
            state["momentum_buffer"] = wrap(array_module(p).zeros_like(p))
        self._in_blocks(functools.partial(sgd_update, first=first, **settings), 2, p, g, state["momentum_buffer"].array)
