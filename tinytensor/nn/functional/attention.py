"""scaled_dot_product_attention: checks, the mask, dropout, and the choice between two primitives."""

from __future__ import annotations

import numpy as np

from tinytensor.backend import Array, array_module
from tinytensor.base import wrap
from tinytensor.functions.operands import cast
from tinytensor.modes import thread
from tinytensor.nn.functional.checks import same_dtype
from tinytensor.nn.functional.dropout import draw_mask
from tinytensor.ops.attention import ATTENTION, attention_composed
from tinytensor.ops.blockwise_attention import BLOCKWISE_ATTENTION
from tinytensor.tape import apply
from tinytensor.tensor import Tensor

# Attention runs in blocks if there are at least so many queries and keys. With a causal mask that is faster, by a
# quarter at 256 and by two fifths at 1024, because it skips the masked half of the work. Without a mask it takes the
# same time and a fraction of the memory.
CAUSAL_IN_BLOCKS, IN_BLOCKS = 128, 512


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(scale · q kᵀ + mask) v: q (…, T, D), k (…, S, D), v (…, S, E) → (…, T, E); scale is 1/√D if None.

    attn_mask broadcasts to (…, T, S): a bool mask is True where a query may look at a key, a float mask is added to the
    scores. dropout_p always applies, so pass 0 when not training, as in PyTorch. RuntimeError for a mask together with
    is_causal, for mixed dtypes, and for sizes that do not fit. enable_gqa lets groups of query heads share a head of keys and
    values: q (…, H, T, D) with k (…, G, S, D) and v (…, G, S, E), G a divisor of H; query head h reads head h // (H / G).
    Source: Vaswani et al., "Attention Is All You Need", 2017, section 3.2.1.
    """
    same_dtype("scaled_dot_product_attention", query, key, value)
    if dropout_p > 1:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {dropout_p}")
    if min(query.ndim, key.ndim, value.ndim) < 2:
        raise RuntimeError("scaled_dot_product_attention: query, key and value need at least 2 dimensions")
    if query.array.dtype.kind != "f":
        raise RuntimeError(
            f"scaled_dot_product_attention: expected floating point, not {query.dtype}; call .float() first"
        )
    if enable_gqa:
        key, value = _for_all_heads(query, key), _for_all_heads(query, value)
    if attn_mask is not None and is_causal:
        raise RuntimeError("scaled_dot_product_attention: attn_mask and is_causal=True exclude each other")
    if attn_mask is not None:
        attn_mask = _added_mask(attn_mask, query.array)
    same_dtype("scaled_dot_product_attention (attn_mask is bool, float32 or of the query's dtype)", query, attn_mask)
    scale = query.array.shape[-1] ** -0.5 if scale is None else float(scale)
    dropout = _weights_mask(query.array, key.array, dropout_p) if dropout_p > 0 else None
    if thread.mode.watch is not None:  # traced: its scores and weights are values like any other
        point, given = thread.mode.watch.point, None if dropout is None else wrap(dropout)
        # In float16 the fused operation computes in float32 as well: unscaled scores are soon too large for float16.
        wide = [x.float() if x is not None and x.array.itemsize == 2 else x for x in (query, key, value, attn_mask)]
        y = attention_composed(*wide, scale=scale, causal=is_causal, dropout=given, point=point)
        return y.to(query.dtype)  # type: ignore[no-any-return]
    if attn_mask is None and dropout is None and _in_blocks(query.array, key.array, value.array, is_causal):
        return apply(BLOCKWISE_ATTENTION, query, key, value, scale=scale, causal=is_causal)
    return apply(ATTENTION, query, key, value, attn_mask, scale=scale, causal=is_causal, dropout=dropout)


def _for_all_heads(query: Tensor, x: Tensor) -> Tensor:
    """x (…, G, S, E) with each head as often as query heads share it: (…, H, S, E)."""
    if min(query.ndim, x.ndim) < 3:
        raise IndexError(f"enable_gqa: heads are the third dimension from the end, and {tuple(x.shape)} has fewer")
    H, G = query.shape[-3], x.shape[-3]
    if G == 0 or H % G:
        raise RuntimeError(f"enable_gqa: {G} heads of keys and values do not divide {H} heads of queries")
    return x if H == G else x.repeat_interleave(H // G, -3)


def _added_mask(mask: Tensor, q: Array) -> Tensor:
    """What to add to the scores, in the dtype of q: a bool mask becomes 0 where True and −∞ where False."""
    if mask.array.dtype == bool:
        xp = array_module(mask.array)
        zero = xp.zeros((), q.dtype)
        return wrap(xp.where(mask.array, zero, zero - xp.inf))
    return cast(mask, q.dtype) if mask.array.dtype == np.float32 else mask


def _weights_mask(q: Array, k: Array, p: float) -> Array:
    """A dropout mask for the attention weights, (…, T, S)."""
    shape = (*np.broadcast_shapes(q.shape[:-2], k.shape[:-2]), q.shape[-2], k.shape[-2])
    mask = draw_mask(q, p, shape)
    return mask if isinstance(mask, np.ndarray) else mask.array(q, shape)  # on a GPU it is not drawn yet


def _in_blocks(q: Array, k: Array, v: Array, causal: bool) -> bool:
    """Whether the sequences are long enough for blocks, and the batches equal: blocks do not broadcast."""
    shortest = CAUSAL_IN_BLOCKS if causal else IN_BLOCKS
    return bool(min(q.shape[-2], k.shape[-2]) >= shortest and q.shape[:-2] == k.shape[:-2] == v.shape[:-2])
