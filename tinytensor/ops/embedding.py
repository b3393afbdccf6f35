"""Embedding: y[n] = W[ids[n]].  ids (…) integers below V, W (V, C) → y (…, C).

    dW[v] = Σ dy[n] over all n with ids[n] = v

It is the product y = onehot(ids) W, without the multiplications by 0 and 1. So its backward is dW = onehot(ids)ᵀ dy.
"""

from __future__ import annotations

from typing import Any

from tinytensor.backend import Array, array_module
from tinytensor.primitive import Gradients, Output, primitive
from tinytensor.sums import add_rows, product


def scatter_add(vocabulary: int, index: Array, updates: Array) -> Array:
    """dw[index[n]] += updates[n] over n, from zeros: dw (V, C), V = vocabulary, index (N,), updates (N, C)."""
    if vocabulary > 1024:
        return add_rows(vocabulary, index, updates)  # row by row: the matrix below would be large
    xp = array_module(updates)
    onehot = xp.zeros((len(index), vocabulary), updates.dtype)  # (N, V)
    onehot[xp.arange(len(index)), index] = 1  # one 1 in each row, in the column of its id
    return product(onehot.T, updates)  # (V, N) @ (N, C) -> (V, C): one call of BLAS, the fastest for a small V


def embedding_forward(w: Array, *, ids: Array) -> Output:
    return w[ids], (ids, len(w))  # (…) -> (…, C): row ids[n] of W for each n


def embedding_backward(dy: Array, ids: Array, vocabulary: int) -> Gradients:
    flat_ids = ids.reshape(-1)  # (…) -> (N,)
    dy = dy.reshape(ids.size, dy.shape[-1])  # (…, C) -> (N, C)
    return (scatter_add(vocabulary, flat_ids, dy),)  # dW[flat_ids[n]] += dy[n]: an id that occurs twice receives both


def embedding_composed(w: Any, *, ids: Any) -> Any:
    """The same as indexing, whose backward adds row by row."""
    return w[ids]  # of Tensors: the primitive getitem


EMBEDDING = primitive(
    "embedding", embedding_forward, embedding_backward, composed=embedding_composed, formula="y = W[ids]"
)
