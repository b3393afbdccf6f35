"""torch.nn.utils: bounds for gradients."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tinytensor.nn.clip import clip_grad_norm_
from tinytensor.nn.clip_base import gradients_of
from tinytensor.subset import outside
from tinytensor.tensor import Tensor


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None) -> None:
    """Clamp every element of every gradient to [−clip_value, clip_value], in place."""
    bound = float(clip_value)
    for g in gradients_of(parameters, foreach):
        np.clip(g, -bound, bound, out=g)


__all__ = ["clip_grad_norm_", "clip_grad_value_"]

__getattr__ = outside("tinytensor.nn.utils")
