"""Adam (Kingma and Ba 2015), and AdamW with its own decay (Loshchilov and Hutter 2019)."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytensor.backend import Array, array_module
from tinytensor.base import wrap
from tinytensor.buffers import part_of, vector
from tinytensor.creation import tensor
from tinytensor.devices import cupy, device_of
from tinytensor.dtypes import float32, from_numpy_dtype
from tinytensor.nn.flat import Flat, fits
from tinytensor.optim.optimizer import Optimizer
from tinytensor.tensor import Tensor


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


def master_update(
    master: Array, p: Array, g: Array, m: Array, v: Array, wide: Array, *scratch: Array, update: Any, scale: float
) -> None:
    """`update` for the float32 master of a float16 weight p, which is then the master rounded; g is divided by scale.

    A weight that is not its master rounded was set anew, by loading say, and is the master from now on.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # a weight above 65504 is inf in float16
        np.copyto(master, p, where=master.astype(p.dtype) != p)
        unscale(g, scale, wide)
        update(master, wide, m, v, *scratch)
        np.copyto(p, master, casting="same_kind")


def unscale(g: Array, scale: float, wide: Array) -> None:
    """g ← g / scale, in the precision of `wide`, where the result lies as well."""
    np.divide(g, scale, out=wide, dtype=wide.dtype, casting="same_kind")
    if scale != 1 and wide is not g:
        np.copyto(g, wide, casting="same_kind")


@dataclass
class Kept:
    """What is kept of one array, a parameter or a whole `Flat`: moments, masters, and how many steps were made."""

    m: Array
    v: Array
    master: Array | None  # in float32, of float16 weights
    steps: Any  # an array on the GPU, to which the kernel adds; else the states' Tensors on the host
    own: list[tuple[Tensor, Tensor]]  # the states of its parameters that these are made of
    level: bool | None = None  # whether all parameters made as many steps; None: to be looked at

    def one_step(self) -> bool:
        """Whether one update serves all. On a GPU a look costs a wait, so it is taken once."""
        if isinstance(self.steps, list):
            return len({step.item() for step in self.steps}) == 1
        if self.level is None:
            self.level = bool((self.steps == self.steps[0]).all())
        return self.level


class Adam(Optimizer):
    """Steps of about lr in each coordinate; weight_decay · p is added to the gradient.

    With fused=True each group becomes `nn.flat.Flat`, and is updated as one vector where it took one parameter after
    another; the numbers are the same. Gradients then lie in a buffer that the next backward overwrites, and
    `amp.GradScaler` leaves unscaling and skipping to the update. On a GPU an update is one launch. The count of steps
    lies there too if fused or capturable, and so may lr (a Tensor): then a step reads nothing back.
    capturable=True is for CUDA graphs; AssertionError for a parameter on the host, unless fused.
    master_weights=True (not in PyTorch) keeps moments and a "master" in float32 for each parameter in float16.
    NotImplementedError for amsgrad=True.
    """

    update = staticmethod(adam_update)
    scratch = 2
    decoupled = False  # the decay apart from the gradient

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        capturable: bool = False,
        fused: bool | None = None,
        master_weights: bool = False,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        self._flats: dict[Flat, Kept] = {}
        self._ended: Array | None = None  # a counter for the kernel
        self.master_weights = master_weights
        self._step_supports_amp_scaling = bool(fused)  # amp.GradScaler asks
        super().__init__(params, {**defaults, "capturable": capturable, "fused": fused})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        if group["fused"] and fits(group["params"]):
            Flat(group["params"])

    def _check(self, group: dict[str, Any]) -> None:
        if isinstance(group["lr"], Tensor) and group["lr"].numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
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
        settings: dict[str, Any] = {name: float(group[name]) for name in ("eps", "weight_decay")}
        lr, (beta1, beta2) = group["lr"], group["betas"]
        settings["lr"] = lr if isinstance(lr, Tensor) and lr.is_cuda else float(lr)
        return {**settings, "beta1": float(beta1), "beta2": float(beta2), "group": group}

    def _update_group(self, params: list[Any], settings: dict[str, Any]) -> None:
        group = settings.pop("group")
        flat = getattr(params[0], "_flat", None) if params else None
        if flat is not None and params == flat.parameters and flat.complete():
            kept = self._kept_of_all(flat, group)
            if kept.one_step():
                return self._advance(flat.data, flat.grad, kept, settings, group)
        elif flat in self._flats:
            self._flats[flat].level = None  # from now on some may have made more steps
        for p in params:
            self._advance(p.array, p.grad.array, self._kept_of(p, group), settings, group)

    # ------------------------------------------------------------------------------------ what is kept

    def _wide(self, p: Array) -> Any:
        """The dtype of the moments."""
        return np.dtype("float32") if self.master_weights and p.dtype == np.float16 else p.dtype

    def _counts_there(self, p: Array, group: dict[str, Any]) -> bool:
        """Whether the steps are counted on the GPU."""
        return not isinstance(p, np.ndarray) and bool(group.get("fused") or group.get("capturable"))

    def _kept_of(self, p: Tensor, group: dict[str, Any]) -> Kept:
        """What is kept of one parameter."""
        state, x, wide = self.state[p], p.array, self._wide(p.array)
        if not state:
            there = self._counts_there(x, group)
            state["step"] = wrap(array_module(x).zeros((), np.float32)) if there else tensor(0.0)
            for name in MOMENTS:
                state[name] = wrap(array_module(x).zeros_like(x, dtype=wide))
        if wide != x.dtype and "master" not in state:
            state["master"] = wrap(x.astype(wide))
        m, v, master, step = (state.get(name) for name in (*MOMENTS, "master", "step"))
        assert m is not None and v is not None and step is not None
        steps = step.array if step.is_cuda else [step]
        return Kept(m.array, v.array, None if master is None else master.array, steps, [])

    def _kept_of_all(self, flat: Flat, group: dict[str, Any]) -> Kept:
        """What is kept of all parameters, as vectors, of which the states of the single ones are parts."""
        kept = self._flats.get(flat)
        states = [self.state[p] for p in flat.parameters]
        if kept is not None and all(
            state.get("exp_avg_sq") is v and state.get("step") is step for state, (v, step) in zip(states, kept.own)
        ):
            return kept
        like = flat.data[:0].astype(self._wide(flat.data))
        names = (*MOMENTS, "master") if like.dtype != flat.data.dtype else MOMENTS
        vectors = [vector(flat.data.size, like) for _ in names]
        counts = vector(len(states), like.astype(np.float32)) if self._counts_there(flat.data, group) else None
        for i, (p, state, *parts) in enumerate(zip(flat.parameters, states, *map(flat.parts, vectors))):
            fresh = tensor(0.0) if counts is None else wrap(part_of(counts, i, ()))
            if counts is not None and "step" in state:
                fresh.array[...] = state.pop("step").array
            state.setdefault("step", fresh)
            for name, part in zip(names, parts):
                if name in state or name == "master":
                    part[...] = state[name].array if name in state else p.array
                state[name] = wrap(part)
        own = [(state["exp_avg_sq"], state["step"]) for state in states]
        m, v, *master = vectors
        steps = [step for _, step in own] if counts is None else counts
        self._flats[flat] = Kept(m, v, master[0] if master else None, steps, own)
        return self._flats[flat]

    def _restored(self, group: dict[str, Any], p: Tensor, name: str, value: Any) -> Any:
        if name == "step" and self._counts_there(p.array, group):
            return tensor(float(value), device=p.device)
        if isinstance(value, Tensor) and name in (*MOMENTS, "master"):
            return value.detach().to(device=p.device).clone().to(from_numpy_dtype(self._wide(p.array)))
        return super()._restored(group, p, name, value)

    # ------------------------------------------------------------------------------------------ a step

    def _advance(self, p: Array, g: Array, kept: Kept, settings: dict[str, Any], group: dict[str, Any]) -> None:
        """One step of one array."""
        scale, found_inf = getattr(self, "grad_scale", None), getattr(self, "found_inf", None)
        if not isinstance(p, np.ndarray):
            return self._advance_there(p, g, kept, settings, group, scale, found_inf)
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

    def _advance_there(
        self,
        p: Array,
        g: Array,
        kept: Kept,
        settings: dict[str, Any],
        group: dict[str, Any],
        scale: Any,
        found_inf: Any,
    ) -> None:
        """The same on a GPU, in one launch."""
        from tinytensor.cuda.adam import adam_step  # kernels for CuPy: not to be read where there is none

        if not group.get("capturable") and cupy().cuda.get_current_stream().is_capturing():
            raise RuntimeError("a step that is captured in a CUDA graph needs an optimizer with capturable=True")
        if self._ended is None:
            self._ended = array_module(p).zeros((), np.uint32)
        values = {"lr": settings["lr"], "scale": scale, "found_inf": found_inf}
        there = {name: _value(x, p) for name, x in values.items()}
        steps = kept.steps
        if isinstance(steps, list):
            steps = steps[0].item() + 1
            for count in kept.steps:
                count.array.fill(steps)
        numbers = {**settings, **there, "decoupled": self.decoupled}
        adam_step(p, g, kept.m, kept.v, kept.master, steps, self._ended, **numbers)


MOMENTS = ("exp_avg", "exp_avg_sq")


def _value(x: Any, p: Array) -> Any:
    """A number, or a float32 array with one, where p lies."""
    if not isinstance(x, Tensor):
        return x
    return x.to(device=device_of(p), dtype=float32).array


class AdamW(Adam):
    """Adam, with the weights decayed apart from the gradient: the usual choice for transformers."""

    update = staticmethod(adamw_update)  # type: ignore[assignment]
    scratch = 1
    decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        capturable: bool = False,
        fused: bool | None = None,
        master_weights: bool = False,
    ) -> None:
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad,
            capturable=capturable, fused=fused, master_weights=master_weights,
        )  # fmt: skip
