"""Losses of a classifier: cross_entropy of logits, nll_loss of log-probabilities."""

from __future__ import annotations

import numpy as np

from tinytensor.backend import Array
from tinytensor.base import wrap
from tinytensor.functions import log_softmax
from tinytensor.functions.operands import implemented
from tinytensor.nn.functional.checks import Reduction, class_ids, class_weight, is_reduction, replaced
from tinytensor.ops.cross_entropy import CROSS_ENTROPY
from tinytensor.tape import apply
from tinytensor.tensor import Tensor


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """−ln softmax(x)[target]: x (N, C) and target (N,), or (C,) and (), or (N, C, d…) and (N, d…).

    The targets are classes (int64; IndexError for one outside [0, C)), or probabilities in the shape of x. Targets
    equal to ignore_index are left out. reduction "mean" weights each target by weight[target]; label_smoothing mixes
    the target distribution with the uniform one, 1/C. Source: Goodfellow, Bengio and Courville, "Deep Learning", 2016,
    6.2.2.3.
    """
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    replaced("cross_entropy", size_average=size_average, reduce=reduce)
    if input.array.dtype.kind != "f":
        _probabilities(input, target)
        implemented("cross_entropy", "f", input)
    if input.ndim:
        class_weight("cross_entropy", weight, input, input.array.shape[min(1, input.ndim - 1)])
    if input.ndim and target.array.shape == input.array.shape:
        if ignore_index >= 0:
            raise RuntimeError(f"cross_entropy: ignore_index={ignore_index} is for classes, not for probabilities")
        return _of_probabilities(input, target, weight, reduction, label_smoothing)
    x, classes = _rows("cross_entropy", input, target, ignore_index, reduction)
    if weight is None and not label_smoothing:  # the plain case: one primitive
        loss = apply(CROSS_ENTROPY, x, target=classes, ignore_index=ignore_index, reduction=reduction)
    else:
        loss = _smoothed(x, wrap(classes), weight, ignore_index, reduction, label_smoothing)
    return loss.reshape(target.array.shape) if reduction == "none" else loss


def _smoothed(
    x: Tensor, t: Tensor, weight: Tensor | None, ignore_index: int, reduction: Reduction, label_smoothing: float
) -> Tensor:
    """(1 − s) nll + s/C Σ −weight ln softmax(x), s = label_smoothing: x (rows, C), t (rows,)."""
    log_p = log_softmax(x, 1)
    loss = nll_loss(log_p, t, weight, ignore_index=ignore_index, reduction=reduction)
    if not label_smoothing:
        return loss
    kept = t != ignore_index
    smooth = -(log_p if weight is None else log_p * weight).sum(1).masked_fill(~kept, 0.0)
    if reduction != "none":
        count = kept.sum() if weight is None else weight[t[kept]].sum()
        smooth = smooth.sum() / count if reduction == "mean" else smooth.sum()
    return (1 - label_smoothing) * loss + label_smoothing / x.shape[1] * smooth


def _of_probabilities(
    input: Tensor, target: Tensor, weight: Tensor | None, reduction: Reduction, label_smoothing: float
) -> Tensor:
    """−Σ p ln softmax(x) over the classes, p the target mixed with 1/C; "mean" divides by the number of rows."""
    is_reduction("cross_entropy", reduction)
    _probabilities(input, target)
    dim = min(1, input.ndim - 1)
    classes = input.shape[dim]
    p = target * (1 - label_smoothing) + label_smoothing / classes
    p = p if weight is None else p * weight.view(-1, *(1,) * (input.ndim - dim - 1))
    loss = -(log_softmax(input, dim) * p).sum(dim)
    return loss if reduction == "none" else loss.mean() if reduction == "mean" else loss.sum()


def _probabilities(input: Tensor, target: Tensor) -> None:
    """RuntimeError for a target in the shape of the input that are not floats."""
    if target.array.shape == input.array.shape and not target.is_floating_point():
        raise RuntimeError(f"cross_entropy: targets of the input's shape are probabilities: floats, not {target.dtype}")


def _rows(name: str, input: Tensor, target: Tensor, ignore_index: int, reduction: Reduction) -> tuple[Tensor, Array]:
    """Check input and target, in the shapes that cross_entropy lists; return them as (rows, C) and (rows,)."""
    is_reduction(name, reduction)
    x = input.unsqueeze(0) if input.ndim == 1 else input
    expected = (*input.array.shape[:1], *input.array.shape[2:]) if input.ndim > 1 else ()
    misfit = (
        f"{name}: input {tuple(input.shape)} and target {tuple(target.shape)} do not fit; what fits:"
        " logits (N, C) and target (N,); reshape with .view(-1, C) and .view(-1)"
    )
    if x.ndim < 2 or expected[:1] != target.array.shape[:1]:
        raise ValueError(misfit)
    if target.array.dtype != np.int64:
        raise RuntimeError(f"{name}: expected int64 class indices as target, not {target.dtype}")
    if target.array.shape != expected:
        raise RuntimeError(misfit)
    classes = x.array.shape[1]
    t = class_ids(name, target.array.reshape(-1), classes, ignore_index)
    if x.ndim > 2:
        x = x.movedim(1, -1)  # (N, C, d…) → (N, d…, C)
    return x.reshape(t.size, classes), t  # (rows, C), (rows,)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """−weight[t] input[n, t] with t = target[n], for log-probabilities in the shapes of cross_entropy."""
    replaced("nll_loss", size_average=size_average, reduce=reduce)
    x, classes = _rows("nll_loss", input, target, ignore_index, reduction)
    implemented("nll_loss", "f", input)
    class_weight("nll_loss", weight, x, x.array.shape[1])
    ignored = wrap(classes == ignore_index)
    t = wrap(classes).masked_fill(ignored, 0)
    w = ((~ignored).to(x.dtype) if weight is None else weight[t].masked_fill(ignored, 0.0)).detach()
    loss = -x.gather(1, t.unsqueeze(1)).squeeze(1).masked_fill(ignored, 0.0) * w
    if reduction == "none":
        return loss.reshape(target.array.shape)
    return loss.sum() / w.sum() if reduction == "mean" else loss.sum()
