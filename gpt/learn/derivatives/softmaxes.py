"""Functions with a softmax in them: softmax, cross_entropy, attention."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from gpt.learn.call import Cause
from gpt.learn.derivatives.elementwise import normal, sizes
from gpt.learn.exercise import Array
from gpt.learn.pair import Generator, Given, Pair, Point


def draw_softmax(rng: Generator) -> Iterator[Given]:
    n, m = sizes(rng, 2)
    for shape in [(m,), (n, m), (m, m), (2, n, m), (n, 1), (0, m)]:
        yield {"x": normal(rng, *shape)}, {}


def usual_softmax(p: Point) -> Iterator[Cause]:
    y, dy = p.y, p.dy
    inner = (dy * y).sum(-1, keepdims=True)
    yield (
        "dx",
        "only the diagonal is there, y (1 − y): each y depends on every x of its row, through the sum",
        dy * y * (1 - y),
    )
    yield "dx", "the term of the sum is missing: raising one x lowers all other y", dy * y
    yield "dx", "the sum Σ dy·y is not multiplied by y", dy * y - inner
    yield "dx", "this is the derivative of the log-softmax", dy - y * dy.sum(-1, keepdims=True)
    yield "dx", "the factor y in front of the bracket is missing", dy - inner
    yield "dx", "Σ dy·y has the wrong sign", dy * y + y * inner
    yield "dx", "the sum is taken over all rows at once: each row is a softmax of its own", y * (dy - (dy * y).sum())
    if y.ndim > 1:
        yield "dx", "the sum is taken over the wrong axis", y * (dy - (dy * y).sum(0, keepdims=True))
    yield "dx", "dy is summed without y: the sum is Σ dy·y", y * (dy - dy.sum(-1, keepdims=True))


SOFTMAX = Pair("softmax", "05-cross-entropy", draw=draw_softmax, usual=usual_softmax)


def draw_cross_entropy(rng: Generator) -> Iterator[Given]:
    n, c = sizes(rng, 2)
    targets: list[list[int]] = [[1], [0, 1], [1, 1, 0], [0, -1, 1], [-1, c - 1], [c - 1] * n]
    for target in targets:
        yield {"x": normal(rng, len(target), c)}, {"target": np.array(target, np.int64)}


def usual_cross_entropy(p: Point) -> Iterator[Cause]:
    (probability, target), dy = p.saved, float(p.dy)
    kept = target >= 0
    onehot = np.zeros_like(probability)
    onehot[np.flatnonzero(kept), target[kept]] = 1
    rows = kept[:, None]
    last = np.zeros_like(probability)
    last[np.arange(len(target)), target] = 1  # target −1 reads the last class
    right = (probability - onehot) * rows
    yield "dx", "the loss is a mean: the division by the number of rows is missing", dy * right
    yield "dx", "it divides by all rows; those with the target −1 do not count in the mean", dy * right / len(target)
    yield "dx", "the rows with the target −1 get a gradient; they do not count in the loss", (
        dy * (probability - last) / kept.sum())  # fmt: skip
    yield "dx", "the rows with the target −1 get a gradient; they do not count in the loss", (
        dy * (probability - onehot) / kept.sum())  # fmt: skip
    both = "it divides by all rows, and the rows with the target −1 get a gradient; they do not count in the mean"
    yield "dx", both, dy * (probability - last) / len(target)
    yield "dx", both, dy * (probability - onehot) / len(target)
    yield "dx", "the 1 at the target is not subtracted", dy * probability * rows / kept.sum()
    yield "dx", "only the target's element is there: the logits of the other classes have the gradient p", (
        dy * right * onehot / kept.sum())  # fmt: skip
    yield "dx", "dy is missing: this is the gradient for dy = 1", right / kept.sum()
    yield "dx", "dy is missing, and so is the division by the number of rows", right
    yield "dx", "it divides by all elements; the mean is over the rows", dy * right / right.size
    yield "dx", "this is the derivative by the probabilities; the logits are one step further", (
        -dy * onehot / probability / kept.sum())  # fmt: skip


CROSS_ENTROPY = Pair("cross_entropy", "05-cross-entropy", draw=draw_cross_entropy, usual=usual_cross_entropy)


def draw_attention(rng: Generator) -> Iterator[Given]:
    t, d, e = sizes(rng, 3)
    for lead, T, D, E in [
        ((), 1, 2, 2),
        ((), 2, d, d),
        ((), t, d, d + 1),
        ((2,), t, d, e),
        ((2, 2), 3, d, e),
        ((0,), t, d, e),
    ]:
        yield {"q": normal(rng, *lead, T, D), "k": normal(rng, *lead, T, D), "v": normal(rng, *lead, T, E)}, {}


def usual_attention(p: Point) -> Iterator[Cause]:
    q, k, v, dy, w = p["q"], p["k"], p["v"], p.dy, p.saved[3]
    scale = 1 / math.sqrt(q.shape[-1])
    dw = dy @ v.swapaxes(-1, -2)
    inner = (dw * w).sum(-1, keepdims=True)
    rest = "the gradient of the scores is not right: "
    steps: list[tuple[str, Array]] = [
        (f"{rest}it is passed through the softmax as if each weight depended on its own score alone", w * (1 - w) * dw),
        (f"{rest}the term −w Σ dw·w of the softmax is missing", w * dw),
        (f"{rest}the softmax is left out", dw),
        (f"{rest}Σ dw·w is taken over the wrong axis: over the queries, not over the keys", (
            w * (dw - (dw * w).sum(-2, keepdims=True)))),
        (f"{rest}Σ dw·w is not multiplied by w, so masked scores get a gradient, too", w * dw - inner),
        (f"{rest}w (dw − Σ dw·w): the factor w in front is missing", dw - inner),
    ]  # fmt: skip
    yield "dv", "w is not transposed: key s gets dy of each query t that looks at it, times w[t, s]", w @ dy
    yield "dv", "this is dy: each query mixes several values", dy
    yield "dq", "the scale 1/√D is missing", p.right["dq"] / scale
    yield "dk", "the scale 1/√D is missing", p.right["dk"] / scale
    yield "dq", "the scale 1/√D is there twice", p.right["dq"] * scale
    yield "dk", "the scale 1/√D is there twice", p.right["dk"] * scale
    for text, da in steps:
        yield "dq", text, scale * da @ k
        yield "dk", text, scale * da.swapaxes(-1, -2) @ q
        yield "dq", f"{text}; and the scale is missing", da @ k
        yield "dk", f"{text}; and the scale is missing", da.swapaxes(-1, -2) @ q
    da = w * (dw - inner)
    yield "dq", "da is transposed: query t needs row t of da", scale * da.swapaxes(-1, -2) @ k
    yield "dk", "da is not transposed: key s needs column s of da", scale * da @ q
    yield "dq", "dq takes the keys, dk the queries: here q is in the place of k", scale * da @ q
    yield "dk", "dq takes the keys, dk the queries: here k is in the place of q", scale * da.swapaxes(-1, -2) @ k


ATTENTION = Pair("attention", "07-attention", draw=draw_attention, usual=usual_attention)
