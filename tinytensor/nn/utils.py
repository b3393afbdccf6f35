"""Keeping gradients in bounds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tinytensor.backend import Array, array_module
from tinytensor.base import wrap
from tinytensor.creation import tensor
from tinytensor.nn import flat
from tinytensor.subset import outside
from tinytensor.tensor import Tensor


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float | Tensor,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients, in place, by min(1, max_norm / (norm + 1e-6)); gives the norm before.

    norm = (Σ |g|ᵖ)^(1/p) over every element of every gradient, p = norm_type, ∞ for the maximum; float32 for float16
    gradients, whose own largest number a norm soon exceeds. On a GPU nothing is copied back, and max_norm may lie there.
    RuntimeError for a norm that is NaN or infinite, if asked for. Source: Pascanu et al. 2013.
    """
    gradients = [g for g in _gradients(parameters) if g.size]
    if not gradients:
        return tensor(0.0)
    on_gpu = not isinstance(gradients[0], np.ndarray)
    if on_gpu and norm_type == 2 and not error_if_nonfinite and len({g.dtype for g in gradients}) == 1:
        from tinytensor.cuda.gradients import clip_norm  # kernels for CuPy: not to be read where there is none

        return wrap(clip_norm(gradients, _limit(max_norm)))
    norm = _norm(gradients, norm_type)
    if error_if_nonfinite and not math.isfinite(float(norm)):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite,"
            " so it cannot be clipped. To scale the gradients by it anyway, set"
            " `error_if_nonfinite=False`"
        )
    if on_gpu:
        scale = array_module(norm).minimum(_limit(max_norm) / (norm + 1e-6), 1)
    else:
        scale = float(max_norm) / (float(norm) + 1e-6)
    if on_gpu or not scale >= 1:  # so NaN goes through, and nothing is multiplied by 1
        for g in gradients:
            wide = np.float32 if g.dtype == np.float16 else g.dtype  # in float16 a small scale would have few digits
            np.multiply(g, scale, out=g, dtype=wide, casting="same_kind")
    return wrap(norm)


def _norm(gradients: Sequence[Array], order: float) -> Array:
    """The norm of all of them together."""
    xp = array_module(gradients[0])
    vectors = [g.reshape(-1) for g in gradients]
    wide = [x.astype(np.float32) if x.dtype == np.float16 else x for x in vectors]
    return xp.linalg.norm(xp.stack([xp.linalg.norm(x, order) for x in wide]), order)


def _limit(max_norm: Any) -> Any:
    """A number, or an array with one where max_norm is a Tensor on a GPU."""
    if isinstance(max_norm, Tensor) and max_norm.is_cuda:
        return max_norm.array.astype(np.float32, copy=False)
    return float(max_norm)


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Clamp every element of every gradient to [−clip_value, clip_value], in place."""
    bound = float(clip_value)
    for g in _gradients(parameters):
        np.clip(g, -bound, bound, out=g)


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[np.ndarray]:
    chosen = [parameters] if isinstance(parameters, Tensor) else parameters
    return flat.gradients(chosen)


__getattr__ = outside("tinytensor.nn.utils")
