"""Embedding: y[n] = W[ids[n]].  ids (…) integers below V, W (V, C) → y (…, C).

    dW[v] = Σ over the n with ids[n] = v of dy[n]

It is a product with one-hot rows, y = onehot(ids) W, that nobody multiplies out; so the backward is onehotᵀ dy.
"""

from __future__ import annotations

from typing import Any

from tinytensor.backend import Array, scatter_add
from tinytensor.primitive import primitive


def embedding_forward(w: Array, *, ids: Array) -> Any:
    return w[ids], (ids, len(w))


def embedding_backward(dy: Array, ids: Array, rows: int) -> Any:
    return (scatter_add(rows, ids.reshape(-1), dy.reshape(ids.size, dy.shape[-1])),)


def embedding_composed(w: Any, *, ids: Any) -> Any:
    """The same as reading by position, whose backward adds row by row."""
    return w[ids]


EMBEDDING = primitive(
    "embedding", embedding_forward, embedding_backward, composed=embedding_composed, formula="y = W[ids]"
)
