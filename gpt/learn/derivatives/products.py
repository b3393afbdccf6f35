"""Products of matrices: matmul, linear, and embedding, which is a product with ones and zeros."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gpt.learn.call import Cause
from gpt.learn.derivatives.elementwise import normal, sizes, uses
from gpt.learn.pair import Generator, Given, Pair, Point


def draw_matmul(rng: Generator) -> Iterator[Given]:
    n, k, m = sizes(rng, 3)
    pairs = [((n, k), (k, m)), ((k, k), (k, k)), ((2, n, k), (2, k, m)), ((2, n, k), (k, m)), ((n, k), (2, k, m)),
             ((3, 1, n, k), (2, k, m)), ((2, n, k), (1, k, m)), ((1, k), (k, 1)), ((0, k), (k, m)), ((n, 0), (0, m))]  # fmt: skip
    for a, b in pairs:
        yield {"a": normal(rng, *a), "b": normal(rng, *b)}, {}


def usual_matmul(p: Point) -> Iterator[Cause]:
    a, b, dy = p["a"], p["b"], p.dy
    da, db = dy @ b.swapaxes(-1, -2), a.swapaxes(-1, -2) @ dy
    for name, wrong in (("a", da), ("b", db)):
        if wrong.shape != p[name].shape:
            for text, array in uses(wrong, p[name].shape):
                yield f"d{name}", f"leading dimensions: {text}", array
    if a.shape[-1] == a.shape[-2] == b.shape[-1]:
        yield "da", "b is not transposed: da = dy bᵀ", dy @ b
        yield "db", "a is not transposed: db = aᵀ dy", a @ dy
        yield "da", "the order is the other way around: da = dy bᵀ, and a product of matrices has an order", (
            b.swapaxes(-1, -2) @ dy)  # fmt: skip
        yield "db", "the order is the other way around: db = aᵀ dy, and a product of matrices has an order", (
            dy @ a.swapaxes(-1, -2))  # fmt: skip


MATMUL = Pair("matmul", "04-embedding-linear", draw=draw_matmul, usual=usual_matmul)


def draw_linear(rng: Generator) -> Iterator[Given]:
    n, k, m = sizes(rng, 3)
    for lead, inner, outer in [((n,), k, m), ((n,), k, k), ((2, n), k, m), ((), k, m), ((1,), 1, m), ((0,), k, m),
                               ((2, 1, n), k, 1)]:  # fmt: skip
        yield {"x": normal(rng, *lead, inner), "w": normal(rng, outer, inner), "b": normal(rng, outer)}, {}


def usual_linear(p: Point) -> Iterator[Cause]:
    x, w, dy = p["x"], p["w"], p.dy
    count = max(1, x.size // x.shape[-1])
    yield "db", "b is used in every row: the gradients of the rows are not added up", dy
    if w.shape[0] == w.shape[1]:
        yield "dx", "y = x Wᵀ, so dx = dy W: W is transposed once too often", dy @ w.T
        yield "dw", "it is transposed: W has a row for each output, so dW = dyᵀ x", p.right["dw"].T
    if dy.ndim > 1:
        yield "db", "only the first dimension is summed: all but the last are rows of the batch", dy.sum(0)
        yield "db", "only one dimension is summed: all but the last are rows of the batch", dy.sum(-2)
        yield "dw", "only the first part of the batch is in it: all rows have to be added up", (
            dy.reshape(-1, dy.shape[-1])[:1].T @ x.reshape(-1, x.shape[-1])[:1])  # fmt: skip
        yield "dw", "the leading dimensions are not summed: reshape x and dy to two dimensions first", (
            dy.swapaxes(-1, -2) @ x)  # fmt: skip
    for name in ("dw", "db"):
        yield name, "the rows of the batch are averaged; their gradients have to be added up", p.right[name] / count


LINEAR = Pair("linear", "04-embedding-linear", draw=draw_linear, usual=usual_linear)


def draw_embedding(rng: Generator) -> Iterator[Given]:
    v, c, n = sizes(rng, 3)
    lists: list[list[int] | list[list[int]]] = [[1, 0], [0, 1, 0, 0], [[1, 1], [0, 1]], [v - 1] * n, []]
    for ids in lists:
        yield {"w": normal(rng, v, c)}, {"ids": np.array(ids, np.int64)}
    yield {"w": normal(rng, v, 1)}, {"ids": rng.integers(0, v, (2, n))}


def usual_embedding(p: Point) -> Iterator[Cause]:
    w, ids, dy = p["w"], p["ids"], p.dy
    last, first, count = np.zeros_like(w), np.zeros_like(w), np.zeros(len(w))
    last[ids] = dy
    first[ids.reshape(-1)[::-1]] = dy.reshape(-1, w.shape[1])[::-1]
    np.add.at(count, ids.reshape(-1), 1)
    buffered = "an id that occurs twice keeps its last gradient alone: dW[ids] += dy adds once for each row, np.add.at each time"
    yield "dw", buffered, last
    yield "dw", "an id that occurs twice keeps its first gradient alone; the gradients of its uses add up", first
    yield "dw", "the gradients of an id that occurs twice are averaged; they have to be added up", (
        p.right["dw"] / np.maximum(count, 1)[:, None])  # fmt: skip
    yield "dw", "dW has to have a row for each row of W; these are the gradients of the rows that were read", dy


EMBEDDING = Pair("embedding", "04-embedding-linear", draw=draw_embedding, usual=usual_embedding)
