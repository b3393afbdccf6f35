"""Adam, and AdamW as it runs: the options of PyTorch's classes. The update that a reader follows is in adamw.py."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tinytensor.backend import Array
from tinytensor.optim.adamw import adam_settings, adamw_update
from tinytensor.optim.fused import FusedOptimizer
from tinytensor.tensor import Tensor


def adam_update(
    p: Array, g: Array, m: Array, v: Array, scratch: Array, decayed: Array, *, weight_decay: float, **settings: float
) -> None:
    """g ← g + weight_decay · p (in `decayed`, so g itself stays), then `adamw_update` without decay."""
    if weight_decay:
        np.multiply(p, weight_decay, out=decayed)
        g = np.add(g, decayed, out=decayed)
    adamw_update(p, g, m, v, scratch, weight_decay=0.0, **settings)


class Adam(FusedOptimizer):
    """m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², p ← p − lr · m̂ / (√v̂ + eps); weight_decay · p is added to g first.

    fused=True: each group becomes a `nn.flat.Flat` and is updated as one vector, with the same numbers. The gradients
    are then in a buffer that the next backward overwrites, and `amp.GradScaler` leaves dividing by the scale and
    skipping a step to the update. On a GPU an update is one launch. With fused or capturable the number of steps is on
    the GPU, and lr may be a Tensor there, so a step reads nothing back. capturable=True: for CUDA graphs.
    AssertionError for a parameter on the host, unless fused. master_weights=True (not in PyTorch): for each float16
    parameter, float32 moments and a float32 "master" of the weight. NotImplementedError for amsgrad=True. Source:
    Kingma and Ba, "Adam", 2015, algorithm 1.
    """

    not_negative = ("lr", "eps", "weight_decay")
    outside = ("amsgrad", "foreach", "maximize", "differentiable")
    update = staticmethod(adam_update)
    scratch = 2
    decoupled = False  # weight_decay is part of the gradient

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
        master_weights: bool = False,
    ) -> None:
        check_tensors(lr, betas, foreach and not capturable)
        defaults = {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        flags = {"foreach": foreach, "maximize": maximize, "capturable": capturable, "differentiable": differentiable}
        self._step_supports_amp_scaling = bool(fused)  # amp.GradScaler asks
        flags |= {"fused": fused, "decoupled_weight_decay": decoupled_weight_decay}
        super().__init__(params, {**defaults, **flags}, master_weights)

    def _check(self, group: dict[str, Any]) -> None:
        check_range(group["betas"])
        super()._check(group)

    def _check_flags(self, group: dict[str, Any]) -> None:
        if group["decoupled_weight_decay"] != self.decoupled:
            raise NotImplementedError(
                f"{type(self).__name__}(decoupled_weight_decay={group['decoupled_weight_decay']}) is outside tinytensor's"
                " subset: Adam adds the decay to the gradient, AdamW keeps it apart"
            )
        super()._check_flags(group)

    def _settings(self, group: dict[str, Any]) -> dict[str, Any]:
        lr = group["lr"]
        if isinstance(lr, Tensor) and lr.is_cuda:  # the kernel reads it on the GPU
            return {**adam_settings({**group, "lr": 0.0}), "lr": lr, "group": group}
        return {**adam_settings(group), "group": group}


class AdamW(Adam):
    """Adam whose weights decay apart from the gradient, p ← (1 − lr · weight_decay) p; usual for transformers.

    The options are those of Adam. Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019.
    """

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
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        master_weights: bool = False,
    ) -> None:
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize, capturable=capturable,
            differentiable=differentiable, fused=fused, decoupled_weight_decay=True, master_weights=master_weights,
        )  # fmt: skip

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a copy of a state_dict, also from one of Adam, or of PyTorch's."""
        groups = [{**group, "decoupled_weight_decay": True} for group in state_dict["param_groups"]]
        super().load_state_dict({**state_dict, "param_groups": groups})


def check_range(betas: Sequence[Any]) -> None:
    """ValueError for a number outside [0, 1)."""
    for i, beta in enumerate(betas):
        if not 0 <= beta < 1:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")


def check_tensors(lr: Any, betas: Sequence[Any], foreach: Any) -> None:
    """ValueError for betas that are neither two floats nor two Tensors of one element, or for Tensors with foreach."""
    check_range(betas)
    if not any(all(isinstance(beta, kind) for beta in betas) for kind in (float, Tensor)):
        raise ValueError(f"betas must be either both floats or both Tensors, not {betas}")
    for name, value in (("lr", lr), ("betas[0]", betas[0]), ("betas[1]", betas[1])):
        if isinstance(value, Tensor):
            if foreach:
                raise ValueError(f"{name} as a Tensor is not supported for capturable=False and foreach=True")
            if value.numel() != 1:
                raise ValueError(f"Tensor {name} must be 1-element")
