"""Normalisations: over the last dimensions (layer_norm, rms_norm), over the batch (batch_norm), along one dimension."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tinytensor.functions import contiguous
from tinytensor.functions.dims import whole
from tinytensor.functions.operands import cast, implemented, in_float32
from tinytensor.nn.functional.checks import same_dtype
from tinytensor.ops.layer_norm import LAYER_NORM
from tinytensor.tape import apply
from tinytensor.tensor import Tensor


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """y = w (x − mean) / √(variance + ε) + b over the last dimensions: x (…, n), weight and bias (n,) → (…, n).

    n = normalized_shape, one size or several. RuntimeError if the shape of x does not end in it, or if weight or bias
    has another shape.
    Source: Ba, Kiros and Hinton, "Layer Normalization", 2016, equation 4.
    """
    shape = tuple(normalized_shape)
    if not shape or input.array.shape[-len(shape) :] != shape:
        raise RuntimeError(
            f"layer_norm: given normalized_shape={list(shape)}, expected input with shape [*, {', '.join(map(str, shape))}],"
            f" but got input of size {list(input.array.shape)}"
        )
    for p in (weight, bias):
        if p is not None and p.array.shape != shape:
            name = "weight" if p is weight else "bias"
            raise RuntimeError(
                f"layer_norm: expected {name} to be of shape {list(shape)}, but got {list(p.array.shape)}"
            )
    same_dtype("layer_norm", input, weight, bias)
    if input.array.dtype.kind != "f":
        implemented("layer_norm", "f", input)
    if weight is None and bias is not None:  # the primitive takes a bias only together with a weight
        return layer_norm(input, shape, None, None, eps) + bias
    return apply(LAYER_NORM, contiguous(input), weight, bias, n=int(math.prod(shape)), eps=float(eps))


@in_float32
def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """y = w x / √(mean x² + ε) over the last dimensions. None: ε is the distance from 1 to the next float.

    RuntimeError if the shape of x does not end in normalized_shape. Source: Zhang and Sennrich, 2019, equation 4.
    """
    shape = tuple(normalized_shape)
    if not shape or input.array.shape[-len(shape) :] != shape:
        kind = ValueError if input.ndim < len(shape) else RuntimeError
        raise kind(f"rms_norm: normalized_shape={list(shape)} does not end input {tuple(input.shape)}")
    if weight is not None and weight.array.shape != shape:
        raise RuntimeError(f"rms_norm: expected weight to be of shape {list(shape)}, but got {list(weight.shape)}")
    implemented("rms_norm", "f", input)
    eps = float(np.finfo(input.array.dtype).eps) if eps is None else eps
    y = input * (input.square().mean(tuple(range(-len(shape), 0)), keepdim=True) + eps).rsqrt()
    return contiguous(y if weight is None else y * weight)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """y = w (x − mean) / √(variance + ε) + b for each channel: x (N, C) or (N, C, d…), the others (C,).

    In training, mean and variance are those of the batch, and each running value is updated in place:
    running ← running + momentum · (new − running). Otherwise mean and variance are the running ones.
    Source: Ioffe and Szegedy, "Batch Normalization", 2015, algorithm 1.
    """
    if not input.numel():
        return input.clone()
    if not training and (running_mean is None or running_var is None):
        raise RuntimeError("batch_norm: needs running_mean and running_var when not training")
    if (running_mean is None) is not (running_var is None):
        raise ValueError("batch_norm: running_mean and running_var are both Tensors, or both None")
    implemented("batch_norm", "f", input)
    if input.array.dtype == np.float16:  # in float32, as in_float32 does; but the running values are written in place
        wide = cast(input, np.dtype(np.float32))
        y = _batch_norm(wide, running_mean, running_var, weight, bias, training, momentum, eps)
        return cast(y, input.array.dtype)
    same_dtype("batch_norm", input, running_mean, running_var, weight, bias)
    return _batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Tensor:
    dims, column = (0, *range(2, input.ndim)), (-1, *(1,) * (input.ndim - 2))
    n = input.numel() // input.shape[1]  # values per channel
    if not (eps > 0 if training else eps >= 0):
        raise ValueError(f"batch_norm: eps must be positive{'' if training else ' or 0'}, but got {eps}")
    if training and n == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {input.shape}")
    for name, p in (("running_mean", running_mean), ("running_var", running_var), ("weight", weight), ("bias", bias)):
        if p is not None and p.numel() != input.shape[1]:
            raise RuntimeError(f"batch_norm: {name} should contain {input.shape[1]} elements not {p.numel()}")
    mean, var = running_mean, running_var
    if training:
        mean, var = input.mean(dims), input.var(dims, unbiased=False)
        for running, new in ((running_mean, mean), (running_var, var * (n / (n - 1)))):  # unbiased
            if running is not None:
                running.copy_(running + momentum * (new.detach() - running))
    assert mean is not None and var is not None
    y = (input - mean.view(column)) * (var.view(column) + eps).rsqrt()
    y = y if weight is None else y * weight.view(column)
    return contiguous(y if bias is None else y + bias.view(column))


def normalize(input: Tensor, p: float = 2.0, dim: int | Sequence[int] = 1, eps: float = 1e-12) -> Tensor:
    """x / max(‖x‖ₚ, ε) along dim."""
    return input / input.norm(p, dim, keepdim=True).clamp(min=eps)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x₁·x₂ / (max(‖x₁‖, ε) max(‖x₂‖, ε)) along dim. x₁ and x₂ broadcast first."""
    if not eps >= 0:  # nan as well
        raise RuntimeError(f"cosine_similarity: eps must be positive or 0, got {eps}")
    dim, shape = whole(dim), (x1.detach() * x2.detach()).shape
    x1, x2 = x1.expand(shape), x2.expand(shape)
    return (normalize(x1, 2, dim, eps) * normalize(x2, 2, dim, eps)).sum(dim)
