"""Losses of each element, then their mean or sum: squares, absolute values, probabilities."""

from __future__ import annotations

from tinytensor.dtypes import promote
from tinytensor.functions import where
from tinytensor.functions.operands import cast
from tinytensor.nn.functional.activations import logsigmoid
from tinytensor.nn.functional.checks import is_reduction, same_shape
from tinytensor.ops.losses import BINARY_CROSS_ENTROPY
from tinytensor.tape import apply
from tinytensor.tensor import Tensor


def _reduced(name: str, loss: Tensor, reduction: str, weight: Tensor | None = None) -> Tensor:
    """loss · weight as it is ("none"), or its "mean" or "sum". ValueError for another reduction."""
    is_reduction(name, reduction)
    loss = loss if weight is None else loss * weight
    return loss.mean() if reduction == "mean" else loss.sum() if reduction == "sum" else loss


def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """(input − target)², the "mean" of all elements, their "sum", or each one ("none"). The two Tensors broadcast.

    ValueError for another reduction, RuntimeError for shapes that do not fit.
    """
    dtype = promote(input.array.dtype, target.array.dtype)  # also if the target has no dimensions
    return _reduced("mse_loss", (cast(input, dtype) - cast(target, dtype)) ** 2, reduction)


def l1_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """|input − target|, with the reductions of mse_loss."""
    dtype = promote(input.array.dtype, target.array.dtype)
    return _reduced("l1_loss", (cast(input, dtype) - cast(target, dtype)).abs(), reduction)


def smooth_l1_loss(input: Tensor, target: Tensor, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """With d = |input − target|: d²/2β where d < β, d − β/2 elsewhere. Source: Girshick, "Fast R-CNN", 2015."""
    if beta == 0:
        return l1_loss(input, target, reduction)
    return _reduced("smooth_l1_loss", huber_loss(input, target, "none", beta) / beta, reduction)


def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """With d = |input − target|: d²/2 where d < δ, δ(d − δ/2) elsewhere. Source: Huber, 1964."""
    d = (input - target).abs()
    return _reduced("huber_loss", where(d < delta, 0.5 * d * d, delta * (d - 0.5 * delta)), reduction)


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str = "mean"
) -> Tensor:
    """−y ln x − (1 − y) ln(1 − x), where the logarithms are at least −100.

    ValueError if the shapes differ, RuntimeError for an x outside [0, 1].
    """
    same_shape("binary_cross_entropy", input, target)
    x = input.array
    if x.size and not (x.min() >= 0 and x.max() <= 1):
        raise RuntimeError("all elements of input should be between 0 and 1")
    return _reduced("binary_cross_entropy", apply(BINARY_CROSS_ENTROPY, input, target), reduction, weight)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """−w y ln σ(x) − (1 − y) ln(1 − σ(x)), with w = pos_weight or 1. ValueError if the shapes differ."""
    same_shape("binary_cross_entropy_with_logits", input, target)
    scale = 1 if pos_weight is None else 1 + (pos_weight - 1) * target
    loss = (1 - target) * input - scale * logsigmoid(input)
    return _reduced("binary_cross_entropy_with_logits", loss, reduction, weight)


def kl_div(input: Tensor, target: Tensor, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """y (ln y − x) for log-probabilities x and probabilities y, or ln y if log_target; "batchmean" is the sum / N."""
    if reduction != "batchmean":
        is_reduction("kl_div", reduction)
    zero = target == 0  # there the term y ln y is 0
    log_y = target if log_target else target.masked_fill(zero, 1.0).log()
    loss = (target.exp() if log_target else target) * (log_y - input)
    if reduction == "batchmean":
        return loss.sum() / input.shape[0]
    return _reduced("kl_div", loss, reduction)
