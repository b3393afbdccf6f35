"""The functions of a network (torch.nn.functional): linear, embedding, norms, activations, losses, attention.

The fused ones call one primitive each; its mathematics stands in the file of `tinytensor.ops` with the same name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinytensor import functions
from tinytensor.backend import Array, array_module
from tinytensor.base import wrap
from tinytensor.dtypes import promote
from tinytensor.functions import expm1, log_softmax, sigmoid, softmax, tanh, where
from tinytensor.functions.inplace import write
from tinytensor.functions.pointwise import cast, implemented
from tinytensor.ops.attention import ATTENTION
from tinytensor.ops.blockwise_attention import BLOCKWISE_ATTENTION
from tinytensor.ops.cross_entropy import CROSS_ENTROPY
from tinytensor.ops.dropout import DROPOUT
from tinytensor.ops.embedding import EMBEDDING
from tinytensor.ops.gelu import GELU_TANH
from tinytensor.ops.gelu_exact import GELU
from tinytensor.ops.layer_norm import LAYER_NORM
from tinytensor.ops.linear import LINEAR
from tinytensor.ops.losses import BINARY_CROSS_ENTROPY
from tinytensor.ops.unary import SILU, SOFTPLUS
from tinytensor.random import numpy_generator
from tinytensor.subset import outside
from tinytensor.tape import apply
from tinytensor.tensor import Tensor


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y = x Wᵀ + b: x (…, I), weight (O, I), bias (O,) → (…, O). RuntimeError if sizes or dtypes differ."""
    _same_dtype("linear", input, weight, bias)
    return apply(LINEAR, input, weight, bias)


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """y = W[ids]: ids (…) int64 or int32, weight (V, C) → (…, C). IndexError for an id outside of [0, V).

    The row padding_idx, negative from the end, gets no gradient.

    Source: Bengio et al., "A Neural Probabilistic Language Model", JMLR 3, 2003, section 2.
    """
    if weight.ndim != 2:
        raise RuntimeError(f"embedding: weight must be 2-D, (V, C), but its shape is {tuple(weight.shape)}")
    ids = _classes("embedding", input.array, weight.shape[0])
    y = apply(EMBEDDING, weight, ids=ids)
    if padding_idx is None:
        return y
    return where(wrap(ids == padding_idx % weight.shape[0]).unsqueeze(-1), y.detach(), y)


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
    for p in (weight, bias):
        if p is not None and p.array.shape != shape:
            name = "weight" if p is weight else "bias"
            raise RuntimeError(
                f"layer_norm: expected {name} to be of shape {list(shape)}, but got {list(p.array.shape)}"
            )
    _same_dtype("layer_norm", input, weight, bias)
    if weight is None and bias is not None:
        return layer_norm(input, shape, None, None, eps) + bias
    return apply(LAYER_NORM, input, weight, bias, n=int(math.prod(shape)), eps=float(eps))


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """y = w x / √(mean x² + ε) over the last dimensions; ε is the dtype's smallest step above 1 if None.

    RuntimeError if x does not end in normalized_shape. Source: Zhang and Sennrich, 2019, equation 4.
    """
    shape = tuple(normalized_shape)
    if not shape or input.array.shape[-len(shape) :] != shape:
        kind = ValueError if input.ndim < len(shape) else RuntimeError
        raise kind(f"rms_norm: normalized_shape={list(shape)} does not end input {tuple(input.shape)}")
    if weight is not None and weight.array.shape != shape:
        raise RuntimeError(f"rms_norm: expected weight to be of shape {list(shape)}, but got {list(weight.shape)}")
    eps = float(np.finfo(input.array.dtype).eps) if eps is None else eps
    y = input * (input.square().mean(tuple(range(-len(shape), 0)), keepdim=True) + eps).rsqrt()
    return y if weight is None else y * weight


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

    In training the mean and variance are the batch's, and the running ones move towards them by `momentum` of the way,
    in place; else they are the running ones. Source: Ioffe and Szegedy, "Batch Normalization", 2015, algorithm 1.
    """
    if not input.numel():
        return input.clone()
    dims, column = (0, *range(2, input.ndim)), (-1, *(1,) * (input.ndim - 2))
    n = input.numel() // input.shape[1]
    if training and n == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {input.shape}")
    for name, p in (("running_mean", running_mean), ("running_var", running_var), ("weight", weight), ("bias", bias)):
        if p is not None and p.numel() != input.shape[1]:
            raise RuntimeError(f"batch_norm: {name} should contain {input.shape[1]} elements not {p.numel()}")
    mean, var = running_mean, running_var
    if training:
        mean, var = input.mean(dims), input.var(dims, unbiased=False)
        for running, new in ((running_mean, mean), (running_var, var * (n / (n - 1)))):
            if running is not None:
                running.copy_(running + momentum * (new.detach() - running))
    if mean is None or var is None:
        raise RuntimeError("batch_norm: needs running_mean and running_var when not training")
    y = (input - mean.view(column)) * (var.view(column) + eps).rsqrt()
    y = y if weight is None else y * weight.view(column)
    return y if bias is None else y + bias.view(column)


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """x / max(‖x‖ₚ, ε) along dim."""
    return input / input.norm(p, dim, keepdim=True).clamp(min=eps)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x₁·x₂ / (max(‖x₁‖, ε) max(‖x₂‖, ε)) along dim; the two broadcast before that."""
    shape = (x1.detach() * x2.detach()).shape
    x1, x2 = x1.expand(shape), x2.expand(shape)
    return (normalize(x1, 2, dim, eps) * normalize(x2, 2, dim, eps)).sum(dim)


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """value (0 if None) around x: pad = (left, right, top, bottom, …) from the last dimension on; negative ones crop."""
    if mode != "constant":
        raise NotImplementedError(f"pad: mode {mode!r} is outside tinytensor's subset: use 'constant'")
    if len(pad) % 2 or len(pad) > 2 * input.ndim:
        raise RuntimeError(f"pad: {tuple(pad)} needs two numbers for each of up to {input.ndim} dimensions")
    ends = [(0, 0)] * (input.ndim - len(pad) // 2) + list(zip(pad[::2], pad[1::2], strict=True))[::-1]
    pairs = list(zip(ends, input.shape, strict=True))
    if any(n + min(a, 0) + min(b, 0) < 0 for (a, b), n in pairs):
        raise RuntimeError(f"pad: {tuple(pad)} leaves a negative size of {tuple(input.shape)}")
    x = input[tuple(slice(max(0, -a), n - max(0, -b)) for (a, b), n in pairs)]
    y = input.new_full([n + a + b for (a, b), n in pairs], 0 if value is None else value)
    y[tuple(slice(max(0, a), n + a + b - max(0, b)) for (a, b), n in pairs)] = x
    return y


# ----------------------------------------------------------------------------------------- activations


def _activate(name: str, function: Callable[..., Tensor], input: Tensor, inplace: bool, *args: float) -> Tensor:
    return write(input, f"{name}_", function, *args) if inplace else function(input, *args)


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0); the derivative at 0 is 0."""
    return _activate("relu", functions.relu, input, inplace)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x above 0, negative_slope·x elsewhere. Source: Maas, Hannun and Ng, 2013."""
    implemented("leaky_relu", "f", input)
    return _activate("leaky_relu", lambda x: where(x > 0, x, x * negative_slope), input, inplace)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x above 0, alpha·(eˣ − 1) elsewhere. Source: Clevert, Unterthiner and Hochreiter, 2016."""
    implemented("elu", "f", input)
    return _activate("elu", lambda x: where(x > 0, x, alpha * expm1(x.clamp(max=0))), input, inplace)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """ln(1 + e^(beta·x)) / beta, and x itself where beta·x is above the threshold."""
    implemented("softplus", "f", input)
    return where(input * beta > threshold, input, apply(SOFTPLUS, input * beta) / beta)


def logsigmoid(input: Tensor) -> Tensor:
    """ln σ(x) = −ln(1 + e⁻ˣ)."""
    implemented("logsigmoid", "f", input)
    return 0 - apply(SOFTPLUS, -input)  # not −y: 0 keeps its sign


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a σ(b), for a and b the halves of x along dim. Source: Dauphin et al., 2017."""
    if input.shape[dim] % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim} is size {input.shape[dim]}")
    a, b = input.chunk(2, dim)
    return a * b.sigmoid()


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x Φ(x), Φ the normal distribution function; approximate="tanh" is GPT-2's form. RuntimeError for another name.

    Source: Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016, section 2.
    """
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f"gelu: approximate argument must be either none or tanh, not {approximate!r}")
    implemented("gelu", "f", input)
    return apply(GELU_TANH if approximate == "tanh" else GELU, input)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x σ(x). Source: Elfwing, Uchibe and Doya, "Sigmoid-weighted linear units", 2018, equation 1."""
    implemented("silu", "f", input)
    return _activate("silu", lambda x: apply(SILU, x), input, inplace)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """x with each element set to 0 with probability p and the others divided by 1 − p; x itself if not training.

    ValueError for p outside of [0, 1]. Source: Srivastava et al., "Dropout", JMLR 15, 2014, sections 4 and 10.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0:
        return input
    mask = _dropout_mask(input.array, p, input.array.shape)
    return _activate("dropout", lambda x: apply(DROPOUT, x, mask=mask), input, inplace)


def _dropout_mask(like: Array, p: float, shape: tuple[int, ...]) -> Any:
    """0 with probability p, else 1/(1 − p), from this thread's generator; on a GPU, what the kernel draws it from."""
    if not isinstance(like, np.ndarray):
        from tinytensor.cuda.fused.dropout import Mask  # not to be read where there is no CuPy

        return Mask.draw(p, shape, like.device.id)
    mask = (numpy_generator(None).random(shape, np.float32) >= p).astype(like.dtype)
    mask *= 1 / (1 - p) if p < 1 else 0
    return mask


# ---------------------------------------------------------------------------------------------- losses


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """−ln softmax(x)[target]: x (N, C) and target (N,), or (C,) and (), or (N, C, d…) and (N, d…).

    reduction "mean" is over the targets that are not ignore_index, weighted by weight[target]. Targets are classes
    (int64; IndexError for one outside of [0, C)) or, in x's shape, probabilities; label_smoothing mixes them with 1/C.
    Source: Goodfellow, Bengio and Courville, "Deep Learning", 2016, section 6.2.2.3.
    """
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if input.ndim and target.array.shape == input.array.shape:
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
    x, classes = _rows("cross_entropy", input, target, ignore_index, reduction)
    if weight is None and not label_smoothing:
        loss = apply(CROSS_ENTROPY, x, target=classes, ignore_index=ignore_index, reduction=reduction)
        return loss.reshape(target.array.shape) if reduction == "none" else loss
    log_p, t = log_softmax(x, 1), wrap(classes)
    loss = nll_loss(log_p, t, weight, ignore_index=ignore_index, reduction=reduction)
    if label_smoothing:
        kept = t != ignore_index
        smooth = -(log_p if weight is None else log_p * weight).sum(1).masked_fill(~kept, 0.0)
        if reduction != "none":
            count = kept.sum() if weight is None else weight[t[kept]].sum()
            smooth = smooth.sum() / count if reduction == "mean" else smooth.sum()
        loss = (1 - label_smoothing) * loss + label_smoothing / x.shape[1] * smooth
    return loss.reshape(target.array.shape) if reduction == "none" else loss


def _soft_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, label_smoothing: float
) -> Tensor:
    """−Σ p ln softmax(x) over the classes, p the target mixed with 1/C; the mean is over rows."""
    _one_of("cross_entropy", reduction)
    if not target.is_floating_point():
        raise RuntimeError(f"cross_entropy: targets of the input's shape are probabilities: floats, not {target.dtype}")
    dim = min(1, input.ndim - 1)
    classes = input.shape[dim]
    p = target * (1 - label_smoothing) + label_smoothing / classes
    p = p if weight is None else p * weight.view(-1, *(1,) * (input.ndim - dim - 1))
    loss = -(log_softmax(input, dim) * p).sum(dim)
    return loss if reduction == "none" else loss.mean() if reduction == "mean" else loss.sum()


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


def nll_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, ignore_index: int = -100, reduction: str = "mean"
) -> Tensor:
    """−weight[t] input[n, t] for log-probabilities, t = target[n]: cross entropy after log_softmax, in its shapes."""
    x, classes = _rows("nll_loss", input, target, ignore_index, reduction)
    ignored = wrap(classes == ignore_index)
    t = wrap(classes).masked_fill(ignored, 0)
    w = ((~ignored).to(x.dtype) if weight is None else weight[t].masked_fill(ignored, 0.0)).detach()
    loss = -x.gather(1, t.unsqueeze(1)).squeeze(1).masked_fill(ignored, 0.0) * w
    if reduction == "none":
        return loss.reshape(target.array.shape)
    return loss.sum() / w.sum() if reduction == "mean" else loss.sum()


def _reduced(name: str, loss: Tensor, reduction: str, weight: Tensor | None = None) -> Tensor:
    _one_of(name, reduction)
    loss = loss if weight is None else loss * weight
    return loss.mean() if reduction == "mean" else loss.sum() if reduction == "sum" else loss


def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """(input − target)² of two Tensors that broadcast: the "mean" of all, their "sum", or each ("none").

    ValueError for another reduction, RuntimeError for shapes that do not fit.
    """
    dtype = promote(input.array.dtype, target.array.dtype)  # also of a target without dimensions
    return _reduced("mse_loss", (cast(input, dtype) - cast(target, dtype)) ** 2, reduction)


def l1_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """|input − target|, reduced as mse_loss is."""
    dtype = promote(input.array.dtype, target.array.dtype)
    return _reduced("l1_loss", (cast(input, dtype) - cast(target, dtype)).abs(), reduction)


def smooth_l1_loss(input: Tensor, target: Tensor, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """With d = |input − target|: d²/2β below β, d − β/2 elsewhere. Source: Girshick, "Fast R-CNN", 2015."""
    if beta == 0:
        return l1_loss(input, target, reduction)
    return _reduced("smooth_l1_loss", huber_loss(input, target, "none", beta) / beta, reduction)


def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """With d = |input − target|: d²/2 up to δ, δ(d − δ/2) elsewhere. Source: Huber, 1964."""
    d = (input - target).abs()
    return _reduced("huber_loss", where(d < delta, 0.5 * d * d, delta * (d - 0.5 * delta)), reduction)


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str = "mean"
) -> Tensor:
    """−y ln x − (1 − y) ln(1 − x), x in [0, 1], logarithms no lower than −100. ValueError if the shapes differ."""
    _same_shape("binary_cross_entropy", input, target)
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
    """−w y ln σ(x) − (1 − y) ln(1 − σ(x)), w = pos_weight or 1. ValueError if the shapes differ."""
    _same_shape("binary_cross_entropy_with_logits", input, target)
    scale = 1 if pos_weight is None else 1 + (pos_weight - 1) * target
    loss = (1 - target) * input - scale * logsigmoid(input)
    return _reduced("binary_cross_entropy_with_logits", loss, reduction, weight)


def kl_div(input: Tensor, target: Tensor, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """y (ln y − x) for log-probabilities x and probabilities y, or their logarithms; "batchmean" is the sum / N."""
    if reduction != "batchmean":
        _one_of("kl_div", reduction)
    zero = target == 0  # 0 ln 0 is 0
    log_y = target if log_target else target.masked_fill(zero, 1.0).log()
    loss = (target.exp() if log_target else target) * (log_y - input)
    if reduction == "batchmean":
        return loss.sum() / input.shape[0]
    return _reduced("kl_div", loss, reduction)


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
        dropout = _dropout_mask(query.array, dropout_p, shape)
        if not isinstance(dropout, np.ndarray):
            dropout = dropout.array(query.array, shape)
    if attn_mask is None and dropout is None and _in_blocks(query.array, key.array, value.array, is_causal):
        return apply(BLOCKWISE_ATTENTION, query, key, value, scale=scale, causal=is_causal)
    return apply(ATTENTION, query, key, value, attn_mask, scale=scale, causal=is_causal, dropout=dropout)


# So many queries and keys are attended in blocks. Causal, that is faster from about there on, by a quarter at 256 and two
# fifths at 1024, since half of the work is left out; else it takes as long, in a fraction of the memory.
CAUSAL_IN_BLOCKS, IN_BLOCKS = 128, 512


def _in_blocks(q: Array, k: Array, v: Array, causal: bool) -> bool:
    """Long enough, and of equal batches: a mask, dropout and batches that broadcast are left to `attention`."""
    shortest = CAUSAL_IN_BLOCKS if causal else IN_BLOCKS
    return bool(min(q.shape[-2], k.shape[-2]) >= shortest and q.shape[:-2] == k.shape[:-2] == v.shape[:-2])


# ---------------------------------------------------------------------------------------------- checks


def _same_dtype(name: str, *tensors: Tensor | None) -> None:
    first = tensors[0]
    assert first is not None
    dtype = first.array.dtype
    for t in tensors:
        if t is not None and t.array.dtype is not dtype and t.array.dtype != dtype:
            raise RuntimeError(f"{name}: expected all to have the same dtype, but got {first.dtype} and {t.dtype}")


def _same_shape(name: str, input: Tensor, target: Tensor) -> None:
    if input.shape != target.shape:
        raise ValueError(
            f"{name}: target size {tuple(target.shape)} must be the same as input size {tuple(input.shape)}"
        )


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
    "batch_norm", "binary_cross_entropy", "binary_cross_entropy_with_logits", "cosine_similarity", "cross_entropy",
    "dropout", "elu", "embedding", "gelu", "glu", "huber_loss", "kl_div", "l1_loss", "layer_norm", "leaky_relu", "linear",
    "log_softmax", "logsigmoid", "mse_loss", "nll_loss", "normalize", "one_hot", "pad", "relu", "rms_norm",
    "scaled_dot_product_attention", "sigmoid", "silu", "smooth_l1_loss", "softmax", "softplus", "tanh",
]  # fmt: skip

__getattr__ = outside("tinytensor.nn.functional")
