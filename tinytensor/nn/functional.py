"""The functions of a network (torch.nn.functional): linear, embedding, norms, activations, losses, attention.

The fused ones call one primitive each; its mathematics stands in the file of `tinytensor.ops` with the same name.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tinytensor.backend import Array, array_module, to_device
from tinytensor.dtypes import promote
from tinytensor.functions import log_softmax, relu, sigmoid, softmax, tanh
from tinytensor.functions.pointwise import cast, implemented
from tinytensor.ops.attention import ATTENTION
from tinytensor.ops.cross_entropy import CROSS_ENTROPY
from tinytensor.ops.dropout import DROPOUT
from tinytensor.ops.elementwise import SILU
from tinytensor.ops.embedding import EMBEDDING
from tinytensor.ops.gelu import GELU, GELU_TANH
from tinytensor.ops.layer_norm import LAYER_NORM
from tinytensor.ops.linear import LINEAR
from tinytensor.random import numpy_generator
from tinytensor.subset import outside
from tinytensor.tape import apply
from tinytensor.tensor import Tensor, wrap


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y = x Wᵀ + b: x (…, I), weight (O, I), bias (O,) → (…, O). RuntimeError if sizes or dtypes differ."""
    _same_dtype("linear", input, weight, bias)
    return apply(LINEAR, input, weight, bias)


def embedding(input: Tensor, weight: Tensor) -> Tensor:
    """y = W[ids]: ids (…) int64 or int32, weight (V, C) → (…, C). IndexError for an id outside of [0, V).

    Source: Bengio et al., "A Neural Probabilistic Language Model", JMLR 3, 2003, section 2.
    """
    if weight.ndim != 2:
        raise RuntimeError(f"embedding: weight must be 2-D, (V, C), but its shape is {tuple(weight.shape)}")
    ids = _classes("embedding", input.array, weight.shape[0])
    return apply(EMBEDDING, weight, ids=ids)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """y = w (x − mean) / √(variance + ε) + b over the last dimensions: x (…, n), weight and bias (n,) → (…, n).

    n = normalized_shape, one size or several. RuntimeError if x does not end in it, or weight or bias have another.
    Source: Ba, Kiros and Hinton, "Layer Normalization", 2016, equation 4.
    """
    shape = tuple(normalized_shape)
    if not shape or input.array.shape[-len(shape) :] != shape:
        raise RuntimeError(
            f"layer_norm: given normalized_shape={list(shape)}, expected input with shape [*, {', '.join(map(str, shape))}],"
            f" but got input of size {list(input.array.shape)}"
        )
    for name, p in (("weight", weight), ("bias", bias)):
        if p is not None and p.array.shape != shape:
            raise RuntimeError(
                f"layer_norm: expected {name} to be of shape {list(shape)}, but got {list(p.array.shape)}"
            )
    _same_dtype("layer_norm", input, weight, bias)
    if weight is None and bias is not None:
        return layer_norm(input, shape, None, None, eps) + bias
    return apply(LAYER_NORM, input, weight, bias, n=math.prod(shape), eps=float(eps))


# ----------------------------------------------------------------------------------------- activations


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x Φ(x), Φ the normal distribution function; approximate="tanh" is GPT-2's form. RuntimeError for another name.

    Source: Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016, section 2.
    """
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f"gelu: approximate argument must be either none or tanh, not {approximate!r}")
    implemented("gelu", "f", input)
    return apply(GELU_TANH if approximate == "tanh" else GELU, input)


def silu(input: Tensor) -> Tensor:
    """x σ(x). Source: Elfwing, Uchibe and Doya, "Sigmoid-weighted linear units", 2018, equation 1."""
    implemented("silu", "f", input)
    return apply(SILU, input)


def dropout(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """x with each element set to 0 with probability p and the others divided by 1 − p; x itself if not training.

    ValueError for p outside of [0, 1]. Source: Srivastava et al., "Dropout", JMLR 15, 2014, sections 4 and 10.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0:
        return input
    return apply(DROPOUT, input, mask=_dropout_mask(input.array, input.array.shape, p))


def _dropout_mask(like: Array, shape: tuple[int, ...], p: float) -> Array:
    """0 with probability p, else 1/(1 − p); drawn on the host from this thread's generator."""
    mask = (numpy_generator(None).random(shape, np.float32) >= p).astype(like.dtype)
    mask *= 1 / (1 - p) if p < 1 else 0
    return to_device(mask, None if isinstance(like, np.ndarray) else "cuda")


# ---------------------------------------------------------------------------------------------- losses


def cross_entropy(input: Tensor, target: Tensor, *, ignore_index: int = -100, reduction: str = "mean") -> Tensor:
    """−ln softmax(x)[target]: x (N, C) and target (N,), or (C,) and (), or (N, C, d…) and (N, d…).

    reduction "mean" is over the targets that are not ignore_index. Targets are classes (int64); IndexError for one
    outside of [0, C). Class weights, label smoothing and probabilities as targets are outside the subset.
    Source: Goodfellow, Bengio and Courville, "Deep Learning", 2016, section 6.2.2.3.
    """
    if input.ndim and target.array.shape == input.array.shape:
        raise RuntimeError("cross_entropy: targets of the input's shape, class probabilities, are outside the subset")
    rows, classes = _rows("cross_entropy", input, target, ignore_index, reduction)
    loss = apply(CROSS_ENTROPY, rows, target=classes, ignore_index=ignore_index, reduction=reduction)
    return loss.reshape(target.array.shape) if reduction == "none" else loss


def _rows(name: str, input: Tensor, target: Tensor, ignore_index: int, reduction: str) -> tuple[Tensor, Array]:
    """input as (rows, C) and target as (rows,), from the shapes that cross_entropy lists, and checked."""
    _one_of(name, reduction)
    x = input.unsqueeze(0) if input.ndim == 1 else input
    places = (*input.array.shape[:1], *input.array.shape[2:]) if input.ndim > 1 else ()
    misfit = (
        f"{name}: input {tuple(input.shape)} and target {tuple(target.shape)} do not fit; what fits:"
        " logits (N, C) and target (N,); reshape with .view(-1, C) and .view(-1)"
    )
    if x.ndim < 2 or places[:1] != target.array.shape[:1]:
        raise ValueError(misfit)
    if target.array.dtype != np.int64:
        raise RuntimeError(f"{name}: expected int64 class indices as target, not {target.dtype}")
    if target.array.shape != places:
        raise RuntimeError(misfit)
    classes = x.array.shape[1]
    t = _classes(name, target.array.reshape(-1), classes, ignore_index)
    if x.ndim > 2:
        x = x.movedim(1, -1)
    return x.reshape(t.size, classes), t


def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """(input − target)² of two Tensors that broadcast: the "mean" of all, their "sum", or each ("none").

    ValueError for another reduction, RuntimeError for shapes that do not fit.
    """
    _one_of("mse_loss", reduction)
    dtype = promote(input.array.dtype, target.array.dtype)  # also of a target without dimensions
    error = (cast(input, dtype) - cast(target, dtype)) ** 2
    return error.mean() if reduction == "mean" else error.sum() if reduction == "sum" else error


def nll_loss(input: Tensor, target: Tensor, *, ignore_index: int = -100, reduction: str = "mean") -> Tensor:
    """−input[n, target[n]] for log-probabilities, of cross_entropy's shapes: cross entropy after log_softmax."""
    rows, classes = _rows("nll_loss", input, target, ignore_index, reduction)
    kept = classes != ignore_index
    picked = -rows.gather(1, wrap(np.where(kept, classes, 0)).unsqueeze(1)).squeeze(1).masked_fill(wrap(~kept), 0.0)
    if reduction == "none":
        return picked.reshape(target.array.shape)
    return picked.sum() / int(kept.sum()) if reduction == "mean" else picked.sum()


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """(…) int64 → (…, num_classes) int64: 1 at the class, 0 elsewhere. -1: one more than the largest."""
    ids = tensor.array
    if ids.dtype != np.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor (int64)")
    if ids.size == 0 and num_classes <= 0:
        raise RuntimeError("one_hot: can not infer total number of classes from empty tensor")
    if num_classes == -1:
        num_classes = int(ids.max()) + 1
    if ids.size and (int(ids.min()) < 0 or int(ids.max()) >= num_classes):
        raise RuntimeError("one_hot: class values must be non-negative and smaller than num_classes")
    xp = array_module(ids)
    return wrap((ids[..., None] == xp.arange(num_classes)).astype(np.int64))


# ------------------------------------------------------------------------------------------- attention


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """softmax(scale · q kᵀ + mask) v: q (…, T, D), k (…, S, D), v (…, S, E) → (…, T, E); scale is 1/√D if None.

    attn_mask: bool (True may look) or float (added), broadcast to (…, T, S); not together with is_causal.
    dropout_p applies always: pass 0 when not training, as in PyTorch. RuntimeError for a mask beside is_causal, other
    dtypes, or sizes that do not fit. Source: Vaswani et al., "Attention Is All You Need", 2017, section 3.2.1.
    """
    _same_dtype("scaled_dot_product_attention", query, key, value)
    if min(query.ndim, key.ndim, value.ndim) < 2:
        raise RuntimeError("scaled_dot_product_attention: query, key and value need at least 2 dimensions")
    if attn_mask is not None and is_causal:
        raise RuntimeError("scaled_dot_product_attention: attn_mask and is_causal=True exclude each other")
    if attn_mask is not None and attn_mask.array.dtype == bool:
        xp = array_module(attn_mask.array)
        zero = xp.zeros((), query.array.dtype)
        attn_mask = wrap(xp.where(attn_mask.array, zero, zero - xp.inf))
    elif attn_mask is not None and attn_mask.array.dtype == np.float32:
        attn_mask = cast(attn_mask, query.array.dtype)
    _same_dtype("scaled_dot_product_attention (attn_mask is bool, float32 or of the query's dtype)", query, attn_mask)
    scale = query.array.shape[-1] ** -0.5 if scale is None else float(scale)
    dropout = None
    if dropout_p > 0:
        batch = np.broadcast_shapes(query.array.shape[:-2], key.array.shape[:-2])
        shape = (*batch, query.array.shape[-2], key.array.shape[-2])
        dropout = _dropout_mask(query.array, shape, dropout_p)
    return apply(ATTENTION, query, key, value, attn_mask, scale=scale, causal=is_causal, dropout=dropout)


# ---------------------------------------------------------------------------------------------- checks


def _same_dtype(name: str, *tensors: Tensor | None) -> None:
    first = tensors[0]
    assert first is not None
    for t in tensors:
        if t is not None and t.array.dtype != first.array.dtype:
            raise RuntimeError(f"{name}: expected all to have the same dtype, but got {first.dtype} and {t.dtype}")


def _one_of(name: str, reduction: str) -> None:
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{name}: {reduction!r} is not a valid value for reduction; use 'none', 'mean' or 'sum'")


def _classes(name: str, ids: Array, count: int, ignore: int | None = None) -> Array:
    """ids, checked to be integers in [0, count) or `ignore`. On a GPU the check would wait for it: not made there."""
    if ids.dtype.kind != "i":
        raise RuntimeError(f"{name}: expected int64 or int32 indices, not {ids.dtype}")
    if isinstance(ids, np.ndarray) and ids.size and not (ids.min() >= 0 and ids.max() < count):
        bad = (
            ids[((ids < 0) | (ids >= count)) & (ids != ignore)]
            if ignore is not None
            else ids[(ids < 0) | (ids >= count)]
        )
        if bad.size:
            raise IndexError(f"{name}: index {bad.flat[0]} is out of range for {count} rows: use 0 to {count - 1}")
    return ids


__all__ = [
    "cross_entropy", "dropout", "embedding", "gelu", "layer_norm", "linear", "log_softmax", "mse_loss", "nll_loss",
    "one_hot", "relu", "scaled_dot_product_attention", "sigmoid", "silu", "softmax", "tanh",
]  # fmt: skip

__getattr__ = outside("tinytensor.nn.functional")
