"""Keeping gradients in bounds."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from tinytensor.backend import array_module
from tinytensor.creation import tensor
from tinytensor.nn import flat
from tinytensor.subset import outside
from tinytensor.tensor import Tensor, wrap


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients, in place, by min(1, max_norm / (norm + 1e-6)); gives the norm before.

    norm = (Σ |g|ᵖ)^(1/p) over every element of every gradient, p = norm_type, ∞ for the maximum.
    RuntimeError for a norm that is NaN or infinite, if asked for. Source: Pascanu et al. 2013.
    """
    gradients = _gradients(parameters)
    if not gradients:
        return tensor(0.0)
    xp = array_module(gradients[0])
    norms = xp.stack([xp.linalg.norm(g.reshape(-1), norm_type) for g in gradients])
    norm = xp.linalg.norm(norms, norm_type)
    total = float(norm)
    if error_if_nonfinite and not math.isfinite(total):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite,"
            " so it cannot be clipped. To scale the gradients by it anyway, set"
            " `error_if_nonfinite=False`"
        )
    scale = float(max_norm) / (total + 1e-6)
    if not scale >= 1:  # so NaN goes through, and nothing is multiplied by 1
        for g in gradients:
            np.multiply(g, scale, out=g)
    return wrap(norm)


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Clamp every element of every gradient to [−clip_value, clip_value], in place."""
    bound = float(clip_value)
    for g in _gradients(parameters):
        np.clip(g, -bound, bound, out=g)


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[np.ndarray]:
    chosen = [parameters] if isinstance(parameters, Tensor) else parameters
    return flat.gradients(chosen)


__getattr__ = outside("tinytensor.nn.utils")
