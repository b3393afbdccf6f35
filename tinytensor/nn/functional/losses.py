"""Losses of each element, then their mean or sum: squares, absolute values, probabilities."""

from __future__ import annotations

from tinytensor.dtypes import fits_in, promote
from tinytensor.functions import where
from tinytensor.functions.operands import apply_to_pair, cast, implemented, only_tensors
from tinytensor.layout import elementwise
from tinytensor.nn.functional.activations import logsigmoid
from tinytensor.nn.functional.checks import Reduction, is_reduction, replaced, same_shape
from tinytensor.ops.losses import BINARY_CROSS_ENTROPY, XLOGY
from tinytensor.tape import apply
from tinytensor.tensor import Tensor


def _reduced(name: str, loss: Tensor, reduction: Reduction, weight: Tensor | None = None) -> Tensor:
    """loss · weight as it is ("none"), or its "mean" or "sum". ValueError for another reduction."""
    is_reduction(name, reduction)
    loss = loss if weight is None else loss * weight
    return loss.mean() if reduction == "mean" else loss.sum() if reduction == "sum" else loss


def _weighted(name: str, loss: Tensor, reduction: Reduction, weight: Tensor | None) -> Tensor:
    """_reduced; the mean is a weighted one: Σ w·loss / Σ w."""
    _fits(name, loss, weight)
    total = _reduced(name, loss, "sum" if weight is not None and reduction == "mean" else reduction, weight)
    return total if weight is None or reduction != "mean" else total / weight.sum()


def _fits(name: str, loss: Tensor, weight: Tensor | None) -> None:
    """ValueError for a weight of another shape than the loss."""
    if weight is not None and weight.shape != loss.shape:
        raise ValueError(f"{name}: weight {tuple(weight.shape)} must have the shape of the loss, {tuple(loss.shape)}")


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """(input − target)², the "mean" of all elements, their "sum", or each one ("none"). The two Tensors broadcast.

    ValueError for another reduction, RuntimeError for shapes that do not fit.
    """
    replaced("mse_loss", size_average=size_average, reduce=reduce)
    dtype = promote(input.array.dtype, target.array.dtype)  # also if the target has no dimensions
    if dtype.kind != "f":
        implemented("mse_loss", "f", input)
    return _weighted("mse_loss", (cast(input, dtype) - cast(target, dtype)) ** 2, reduction, weight)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """|input − target|, with the reductions of mse_loss."""
    replaced("l1_loss", size_average=size_average, reduce=reduce)
    dtype = promote(input.array.dtype, target.array.dtype)
    return _weighted("l1_loss", (cast(input, dtype) - cast(target, dtype)).abs(), reduction, weight)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
    beta: float = 1.0,
) -> Tensor:
    """With d = |input − target|: d²/2β where d < β, d − β/2 elsewhere; RuntimeError for β < 0.

    Source: Girshick, "Fast R-CNN", 2015.
    """
    replaced("smooth_l1_loss", size_average=size_average, reduce=reduce)
    only_tensors("smooth_l1_loss", input, target)
    if not beta >= 0:  # nan as well
        raise RuntimeError(f"smooth_l1_loss: beta must be positive or 0, got {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    dtype = promote(input.array.dtype, target.array.dtype)
    if dtype.kind != "f":
        implemented("smooth_l1_loss", "f", input)
    d = (cast(input, dtype) - cast(target, dtype)).abs()
    far = d >= beta
    near = where(far, beta, d)  # far away a constant, so that no gradient of a square is ∞ there
    return _reduced("smooth_l1_loss", where(far, d - 0.5 * beta, 0.5 * near * near / beta), reduction)


def huber_loss(
    input: Tensor, target: Tensor, reduction: Reduction = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """With d = |input − target|: d²/2 where d < δ, δ(d − δ/2) elsewhere; RuntimeError unless δ > 0. Source: Huber, 1964."""
    only_tensors("huber_loss", input, target)
    if not delta > 0:  # nan as well
        raise RuntimeError(f"huber_loss: delta must be positive, got {delta}")
    own, dtype = input.array.dtype, promote(input.array.dtype, target.array.dtype)
    if not fits_in(dtype, own):
        raise RuntimeError(f"huber_loss: result type {dtype} can't be cast to {own}, the input's")
    implemented("huber_loss", "f", input)
    d = (cast(input, dtype) - cast(target, dtype)).abs()
    far = d >= delta
    near = where(far, delta, d)  # far away a constant, so that no gradient of a square is ∞ there
    _fits("huber_loss", d, weight)
    loss = cast(where(far, delta * (d - 0.5 * delta), 0.5 * near * near), own)
    return _reduced("huber_loss", loss, reduction, weight)


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """−y ln x − (1 − y) ln(1 − x), where the logarithms are at least −100.

    ValueError if the shapes differ, RuntimeError for an x outside [0, 1].
    """
    replaced("binary_cross_entropy", size_average=size_average, reduce=reduce)
    same_shape("binary_cross_entropy", input, target)
    if input.array.dtype.kind != "f" or input.dtype is not target.dtype:
        raise RuntimeError(f"binary_cross_entropy takes floats of one dtype, not {input.dtype} and {target.dtype}")
    for name, x in (("input", input.array), ("target", target.array)):
        if x.size and not (x.min() >= 0 and x.max() <= 1):
            raise RuntimeError(f"all elements of {name} should be between 0 and 1")
    loss = apply(BINARY_CROSS_ENTROPY, input, target)
    loss.array = elementwise(loss.array, input.array, target.array)
    return _reduced("binary_cross_entropy", loss, reduction, weight)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """−w y ln σ(x) − (1 − y) ln(1 − σ(x)), with w = pos_weight or 1. ValueError if the shapes differ."""
    replaced("binary_cross_entropy_with_logits", size_average=size_average, reduce=reduce)
    same_shape("binary_cross_entropy_with_logits", input, target)
    implemented("binary_cross_entropy_with_logits", "f", input)
    if target.array.dtype.kind != "f":
        raise RuntimeError(f"binary_cross_entropy_with_logits: targets are floats, not {target.dtype}")
    scale = 1 if pos_weight is None else 1 + (pos_weight - 1) * target
    loss = (1 - target) * input - scale * logsigmoid(input)
    return _reduced("binary_cross_entropy_with_logits", loss, reduction, weight)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
    log_target: bool = False,
) -> Tensor:
    """y (ln y − x) for log-probabilities x and probabilities y, or ln y if log_target; "batchmean" is the sum / N.

    RuntimeError for integers.
    """
    replaced("kl_div", size_average=size_average, reduce=reduce)
    if input.array.dtype.kind != "f" or target.array.dtype.kind != "f":
        raise RuntimeError(f"kl_div: expected floating point tensors, not {input.dtype} and {target.dtype}")
    if reduction != "batchmean":
        is_reduction("kl_div", reduction)
    if log_target:
        loss = target.exp() * (target - input)
    else:
        loss = apply_to_pair(XLOGY, target, target) - target * input
    if reduction == "batchmean":
        return loss.sum() / (input.shape[0] if input.ndim else 1)
    return _reduced("kl_div", loss, reduction)
