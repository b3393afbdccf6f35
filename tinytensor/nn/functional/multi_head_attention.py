"""multi_head_attention_forward: attention of several heads between projections, with PyTorch's masks and options.

Letters of the shapes: T queries, S keys, B sequences in the batch, E width, H heads, D = E / H width of a head.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from tinytensor.creation import zeros_like
from tinytensor.functions import cat, softmax
from tinytensor.nn.functional.attention import scaled_dot_product_attention
from tinytensor.nn.functional.dropout import dropout
from tinytensor.nn.functional.linear import linear
from tinytensor.nn.functional.pad import pad
from tinytensor.tensor import Tensor


def multi_head_attention_forward(
    query: Tensor, key: Tensor, value: Tensor, embed_dim_to_check: int, num_heads: int,
    in_proj_weight: Tensor | None, in_proj_bias: Tensor | None, bias_k: Tensor | None, bias_v: Tensor | None,
    add_zero_attn: bool, dropout_p: float, out_proj_weight: Tensor, out_proj_bias: Tensor | None,
    training: bool = True, key_padding_mask: Tensor | None = None, need_weights: bool = True,
    attn_mask: Tensor | None = None, use_separate_proj_weight: bool = False, q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None, v_proj_weight: Tensor | None = None, static_k: Tensor | None = None,
    static_v: Tensor | None = None, average_attn_weights: bool = True, is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """y = [softmax(q kᵀ / √D + mask) v of each head, side by side] W_outᵀ + b_out, and the weights, the softmax.

    query (T, B, E), key and value (S, B, E) → y (T, B, E); the weights are the mean of the heads (B, T, S), those of
    each head (B, H, T, S) if not average_attn_weights, or None if not need_weights. Without a batch no shape has a B.
    q, k, v are projected with the rows of in_proj_weight (3E, E), or with three weights if use_separate_proj_weight.
    bias_k and bias_v are one more key and value; add_zero_attn adds zeros; static_k, static_v (B·H, S, D) replace k, v.
    attn_mask is (T, S) or (B·H, T, S), key_padding_mask (B, S): bools are True where a query may NOT look (unlike in
    scaled_dot_product_attention), floats are added. is_causal: attn_mask is the causal mask, and need not be read.
    A query that may look nowhere gets 0, or nan if need_weights. Other shapes: AssertionError, or RuntimeError.
    Source: Vaswani et al., 2017, section 3.2.2.
    """
    batched = _is_batched(query, key, value, key_padding_mask, attn_mask, num_heads)
    padding = key_padding_mask if batched or key_padding_mask is None else key_padding_mask.unsqueeze(0)
    padding = added_mask(padding, query, "key_padding_mask", attn_mask, "attn_mask")
    mask = added_mask(attn_mask, query, "attn_mask")
    if is_causal and mask is None:
        raise RuntimeError("is_causal needs an attn_mask; Transformer.generate_square_subsequent_mask makes one")
    is_causal = is_causal and padding is None and not need_weights  # else the mask itself is needed
    separate = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else None
    _check_sizes(query, key, value, embed_dim_to_check, num_heads, separate)

    inputs = _batch_first(query, key, value, batched)
    q, k, v = _projected(inputs, separate or in_proj_weight, in_proj_bias, num_heads)
    mask = None if is_causal or mask is None else _per_head(mask, q, k)
    k, v = _static("key", static_k, k, bias_k), _static("value", static_v, v, bias_v)
    k, v, added = _extended(k, v, bias_k, bias_v, add_zero_attn)
    mask = _merged(mask, padding, added, k)

    p = dropout_p if training else 0.0
    if need_weights:
        w = dropout(_weights(q, k, mask), p)  # (B, H, T, S)
        y = w @ v
    else:
        w, y = None, scaled_dot_product_attention(q, k, v, mask, p, is_causal)
    y = linear(y.permute(2, 0, 1, 3).flatten(2), out_proj_weight, out_proj_bias)  # (B, H, T, D) -> (T, B, E)
    w = w.mean(1) if w is not None and average_attn_weights else w
    return (y, w) if batched else (y.squeeze(1), w if w is None else w.squeeze(0))


def added_mask(
    mask: Tensor | None, like: Tensor, name: str, other: Tensor | None = None, other_name: str = ""
) -> Tensor | None:
    """The mask to add to scores: a float mask itself, of a bool mask −∞ where True, in the dtype of `like`.

    AssertionError for another dtype; a warning if the other mask has another dtype.
    """
    if mask is None:
        return None
    if mask.array.dtype.kind not in "fb":
        raise AssertionError(f"only bool and floating types of {name} are supported, not {mask.dtype}")
    if other is not None and other.dtype is not mask.dtype:
        text = f"Support for mismatched {name} and {other_name} is deprecated. Use same type for both instead."
        warnings.warn(text, stacklevel=3)
    if mask.array.dtype.kind == "f":
        return mask
    return zeros_like(mask, dtype=like.dtype).masked_fill(mask, float("-inf"))


# -------------------------------------------------------------------------------------------- checks


def _is_batched(
    query: Tensor, key: Tensor, value: Tensor, padding: Tensor | None, mask: Tensor | None, heads: int
) -> bool:
    """Whether the inputs have a batch. AssertionError for numbers of dimensions that do not fit."""
    n = query.ndim
    if n not in (2, 3):
        raise AssertionError(f"query should be unbatched 2D or batched 3D tensor but received {n}-D query tensor")
    if (key.ndim, value.ndim) != (n, n):
        raise AssertionError(f"query is {n}-D, so key and value must be too, but found {key.ndim}-D and {value.ndim}-D")
    if padding is not None and padding.ndim != n - 1:
        raise AssertionError(f"query is {n}-D, so key_padding_mask must be {n - 1}-D, but found {padding.ndim}-D")
    if mask is not None and mask.ndim not in (2, 3):
        raise AssertionError(f"attn_mask must be 2-D or 3-D, but found {mask.ndim}-D")
    if n == 2 and mask is not None and mask.ndim == 3 and mask.shape != (heads, query.shape[0], key.shape[0]):
        fitting = (heads, query.shape[0], key.shape[0])
        raise AssertionError(f"Expected `attn_mask` shape to be {fitting} but got {tuple(mask.shape)}")
    return n == 3


def _check_sizes(
    query: Tensor, key: Tensor, value: Tensor, width: int, heads: int, separate: tuple[Tensor | None, ...] | None
) -> None:
    E = query.shape[-1]
    if width != E:
        raise AssertionError(f"was expecting embedding dimension of {width}, but got {E}")
    if E % heads:
        raise AssertionError(f"embed_dim {E} not divisible by num_heads {heads}")
    if key.shape[:-1] != value.shape[:-1] or (separate is None and key.shape != value.shape):
        raise AssertionError(f"key shape {tuple(key.shape)} does not match value shape {tuple(value.shape)}")
    for name, x, weight in zip("qkv", (query, key, value), separate or ()):
        if weight is None:
            raise AssertionError(f"use_separate_proj_weight is True but {name}_proj_weight is None")
        if weight.shape != (E, x.shape[-1]):
            raise AssertionError(f"expecting {name} weights shape of {(E, x.shape[-1])}, but got {tuple(weight.shape)}")
    if query.ndim == 3 and query.shape[1] != key.shape[1]:
        raise RuntimeError(f"query has a batch of {query.shape[1]}, key and value of {key.shape[1]}")


# --------------------------------------------------------------------------------- q, k, v of the heads


def _batch_first(query: Tensor, key: Tensor, value: Tensor, batched: bool) -> list[Tensor]:
    """The different inputs, (B, T, E): one for self-attention, two if the keys are the values, or three.

    The rows of a sequence then lie side by side, so that attention reads memory in order.
    """
    different = [query, key, value] if key is not value else [query, key] if query is not key else [query]
    return [x.transpose(0, 1) if batched else x.unsqueeze(0) for x in different]


def _projected(inputs: list[Tensor], weight: Any, bias: Tensor | None, heads: int) -> list[Tensor]:
    """q (B, H, T, D), k and v (B, H, S, D): a product of matrices for each input, which makes one, two or three of them."""
    if weight is None:
        raise AssertionError("use_separate_proj_weight is False but in_proj_weight is None")
    if isinstance(weight, tuple):
        inputs = [inputs[0], inputs[-1 if len(inputs) < 3 else 1], inputs[-1]]
    counts = {1: [3], 2: [1, 2], 3: [1, 1, 1]}[len(inputs)]
    rows = [n * inputs[0].shape[-1] for n in counts]  # of the weight and the bias, for each input
    weights = weight if isinstance(weight, tuple) else weight.split(rows) if len(rows) > 1 else [weight]
    biases = [bias] * len(rows) if bias is None or len(rows) == 1 else bias.split(rows)
    return [
        head
        for x, w, b, n in zip(inputs, weights, biases, counts)
        for head in _heads(linear(x, w, b), n * heads).split(heads, 1)
    ]


def _heads(x: Tensor, heads: int) -> Tensor:
    """(B, T, H·D) -> (B, H, T, D)."""
    return x.view(*x.shape[:2], heads, x.shape[2] // heads).transpose(1, 2)


def _static(name: str, given: Tensor | None, x: Tensor, bias: Tensor | None) -> Tensor:
    """The given (B·H, S, D) as heads in the place of x (B, H, S, D), if there is one."""
    if given is None:
        return x
    if bias is not None:
        raise AssertionError(f"bias cannot be added to static {name}.")
    B, H, _, D = x.shape
    if given.shape[0] != B * H or given.shape[2] != D:
        raise AssertionError(f"expecting static {name} of {(B * H, '…', D)}, but got {tuple(given.shape)}")
    return given.view(B, H, -1, D)


def _extended(
    k: Tensor, v: Tensor, bias_k: Tensor | None, bias_v: Tensor | None, zero: bool
) -> tuple[Tensor, Tensor, int]:
    """k and v with a learned key and value behind them, and with zeros; and how many there are more."""
    if (bias_k is None) is not (bias_v is None):
        raise AssertionError("bias_k and bias_v are both set, or both None")
    more = []
    B, H, _, D = k.shape
    if bias_k is not None and bias_v is not None:
        more.append([b.reshape(H, 1, D).expand(B, H, 1, D) for b in (bias_k, bias_v)])
    if zero:
        more.append([k.new_zeros(B, H, 1, D)] * 2)
    if not more:
        return k, v, 0
    return cat([k, *(pair[0] for pair in more)], 2), cat([v, *(pair[1] for pair in more)], 2), len(more)


# ------------------------------------------------------------------------------------- masks and weights


def _per_head(mask: Tensor, q: Tensor, k: Tensor) -> Tensor:
    """attn_mask (T, S) as it is, (B·H, T, S) as (B, H, T, S). RuntimeError for other sizes."""
    (B, H, T, _), S = q.shape, k.shape[2]
    fitting = (T, S) if mask.ndim == 2 else (B * H, T, S)
    if mask.shape != fitting:
        raise RuntimeError(f"The shape of the {mask.ndim}D attn_mask is {tuple(mask.shape)}, but should be {fitting}.")
    return mask if mask.ndim == 2 else mask.view(B, H, T, S)


def _merged(mask: Tensor | None, padding: Tensor | None, added: int, k: Tensor) -> Tensor | None:
    """The sum of the masks, with room for the keys that were added, which every query sees."""
    B, S = k.shape[0], k.shape[2]
    mask, padding = (x if x is None or not added else pad(x, (0, added)) for x in (mask, padding))
    if padding is None:
        return mask
    if padding.shape != (B, S):
        raise AssertionError(f"Expected key_padding_mask of {(B, S)}, but got {tuple(padding.shape)}")
    padding = padding.view(B, 1, 1, S)
    return padding if mask is None else mask + padding


def _weights(q: Tensor, k: Tensor, mask: Tensor | None) -> Tensor:
    """softmax(q kᵀ / √D + mask), (B, H, T, S)."""
    scores = q * math.sqrt(1 / q.shape[-1]) @ k.transpose(-2, -1)
    return softmax(scores if mask is None else scores + mask, -1)
