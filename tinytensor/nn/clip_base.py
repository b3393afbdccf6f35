"""What clip_grad_norm_ uses: the gradients, their norm, and the same clipping on a GPU."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from types import GeneratorType
from typing import Any

import numpy as np

from tinytensor.backend import Array, array_module
from tinytensor.dispatch import gpu
from tinytensor.nn import flat
from tinytensor.tensor import Tensor


def gradients_of(parameters: Tensor | Iterable[Tensor], foreach: bool | None = None) -> list[Array]:
    """The gradients that are not empty, of one Tensor or several. NotImplementedError for foreach=True.

    Warns if a generator has no parameters: perhaps it was read before.
    """
    if foreach:
        raise NotImplementedError(
            f"foreach={foreach} is outside tinytensor's subset: leave it out; gradients of AdamW(…, fused=True) are clipped"
            " as one vector"
        )
    chosen = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    if not chosen and isinstance(parameters, GeneratorType):
        warnings.warn("`parameters` is an empty generator, no gradient clipping will occur.", stacklevel=3)
    return [g for g in flat.gradients(chosen) if g.size]


def total_norm(gradients: Sequence[Array], order: float) -> Array:
    """(Σ |g|ᵖ)^(1/p) over all elements of all gradients, p = order: the norm of the norms of the single ones."""
    xp, order = array_module(gradients[0]), float(order)  # it may be the word "inf"
    vectors = [g.reshape(-1) for g in gradients]
    wide = [x.astype(np.float32) if x.dtype == np.float16 else x for x in vectors]  # a norm soon exceeds 65504
    return xp.linalg.norm(xp.stack([xp.linalg.norm(x, order) for x in wide]), order)


def must_be_finite(norm: Array, norm_type: float, error_if_nonfinite: bool) -> None:
    """RuntimeError for a norm that is nan or infinite, if that is asked for."""
    if error_if_nonfinite and not math.isfinite(float(norm)):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite,"
            " so it cannot be clipped. To scale the gradients by it anyway, set"
            " `error_if_nonfinite=False`"
        )


def clip_on_gpu(
    gradients: Sequence[Array], max_norm: float | Tensor, norm_type: float, error_if_nonfinite: bool
) -> Array:
    """clip_grad_norm_ on a GPU: nothing is copied to the host, and max_norm may be on the GPU as well."""
    limit, norm_type = _limit(max_norm), float(norm_type)
    if norm_type == 2 and not error_if_nonfinite and len({g.dtype for g in gradients}) == 1:
        return gpu("clip_norm")(gradients, limit)  # two launches for all gradients
    norm = total_norm(gradients, norm_type)
    must_be_finite(norm, norm_type, error_if_nonfinite)
    scale = array_module(norm).minimum(limit / (norm + 1e-6), 1)
    for g in gradients:  # a comparison with 1 would wait for the GPU
        wide = np.float32 if g.dtype == np.float16 else g.dtype
        np.multiply(g, scale, out=g, dtype=wide, casting="same_kind")
    return norm


def _limit(max_norm: Any) -> Any:
    """max_norm as a number, or as an array if it is a Tensor on a GPU."""
    if isinstance(max_norm, Tensor) and max_norm.is_cuda:
        return max_norm.array.astype(np.float32, copy=False)
    return float(max_norm)
