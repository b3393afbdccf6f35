"""Norms over the last dimension, layer_norm and rms_norm; and rotary, which turns pairs of numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gpt.learn.call import Cause
from gpt.learn.derivatives.elementwise import normal, sizes
from gpt.learn.exercise import Array
from gpt.learn.pair import Generator, Given, Pair, Point


def draw_layer_norm(rng: Generator) -> Iterator[Given]:
    n, m = sizes(rng, 2)
    m += 1  # two numbers of mean 0 and variance 1 are −1 and 1, whatever x is
    for lead, width in [((1,), m), ((n,), m), ((), m), ((2, n), m), ((2, 1, n), 7), ((0,), m)]:
        yield {"x": normal(rng, *lead, width), "w": normal(rng, width), "b": normal(rng, width)}, {}


def draw_rms_norm(rng: Generator) -> Iterator[Given]:
    for inputs, static in draw_layer_norm(rng):
        yield {"x": inputs["x"], "w": inputs["w"]}, static


def mean(x: Array) -> Array:
    """The mean over the last dimension, which stays with size 1."""
    return np.asarray(x.mean(-1, keepdims=True))


def parameters(p: Point, xhat: Array) -> Iterator[Cause]:
    """Mistakes in the gradients of weight and bias, which every row uses."""
    rows = max(1, xhat.size // xhat.shape[-1])
    names = {"dw": ("Σ dy·x̂", p.dy * xhat), "db": ("Σ dy", p.dy)}
    for name in p.right:
        if name in names:
            formula, each = names[name]
            yield name, f"every row uses it: the rows are not added up, {formula}", each
            yield name, "the rows are averaged; their gradients have to be added up", p.right[name] / rows
            if each.ndim > 1:
                yield name, "only the first dimension is summed; all but the last are rows", each.sum(0)
                yield name, "the sum goes over the last dimension; it has to go over all others", each.sum(-1)
    if "dw" in p.right:
        axes = tuple(range(p.dy.ndim - 1))
        yield "dw", "x is in the place of x̂: y = w·x̂ + b", (p.dy * p["x"]).sum(axes)
        yield "dw", "x̂ is missing: y = w·x̂ + b, so dw = Σ dy·x̂", p.dy.sum(axes)


def usual_layer_norm(p: Point) -> Iterator[Cause]:
    xhat, rstd, w = p.saved
    d = p.dy * w  # dx̂
    both = d - mean(d) - xhat * mean(d * xhat)
    yield "dx", "the term of the mean is missing: every x moves the mean of its row", rstd * (both + mean(d))
    yield (
        "dx",
        "the term of the variance is missing: every x moves the standard deviation of its row",
        rstd * (d - mean(d)),
    )
    yield "dx", "the terms of mean and variance are missing: they are treated as constants", rstd * d
    yield "dx", "the division by the standard deviation is missing: the factor rstd", both
    yield "dx", "the factor rstd is there twice", rstd * rstd * both
    yield (
        "dx",
        "sums are in the place of means",
        rstd * (d - d.sum(-1, keepdims=True) - xhat * (d * xhat).sum(-1, keepdims=True)),
    )
    yield "dx", "the term of the mean has the wrong sign", rstd * (both + 2 * mean(d))
    yield "dx", "the term of the variance has the wrong sign", rstd * (d - mean(d) + xhat * mean(d * xhat))
    e = p.dy
    yield "dx", "w is missing: dx̂ = dy·w", rstd * (e - mean(e) - xhat * mean(e * xhat))
    yield "dx", "w is multiplied after the means; it belongs into dx̂, before them", (
        rstd * w * (e - mean(e) - xhat * mean(e * xhat)))  # fmt: skip
    yield from parameters(p, xhat)


LAYER_NORM = Pair("layer_norm", "06-layer-norm", draw=draw_layer_norm, usual=usual_layer_norm)


def usual_rms_norm(p: Point) -> Iterator[Cause]:
    xhat, rrms, w = p.saved
    d = p.dy * w
    both = d - xhat * mean(d * xhat)
    e = p.dy
    yield "dx", "the term of the root mean square is missing: every x moves it", rrms * d
    yield "dx", "the term of a mean is there, as in layer norm; nothing is subtracted here", rrms * (both - mean(d))
    yield "dx", "the factor 1 / rms is missing", both
    yield "dx", "the factor 1 / rms is there twice", rrms * rrms * both
    yield "dx", "a sum is in the place of the mean", rrms * (d - xhat * (d * xhat).sum(-1, keepdims=True))
    yield "dx", "the second term has the wrong sign", rrms * (d + xhat * mean(d * xhat))
    yield "dx", "w is missing: dx̂ = dy·w", rrms * (e - xhat * mean(e * xhat))
    yield "dx", "w is multiplied after the mean; it belongs into dx̂, before it", rrms * w * (e - xhat * mean(e * xhat))
    yield from parameters(p, xhat)


RMS_NORM = Pair("rms_norm", "06-layer-norm", draw=draw_rms_norm, usual=usual_rms_norm)


def draw_rotary(rng: Generator) -> Iterator[Given]:
    t, d = sizes(rng, 2)
    for shape in [(1, 2), (2, 2), (t, 2 * d), (2, t, 4), (2, 1, t, 2), (0, 2)]:
        yield {"x": normal(rng, *shape)}, {}


def usual_rotary(p: Point) -> Iterator[Cause]:
    (cos, sin), dy = p.saved, p.dy
    a, b = dy[..., 0::2], dy[..., 1::2]

    def paired(first: Array, second: Array) -> Array:
        return np.stack([first, second], -1).reshape(dy.shape)

    yield "dx", "dy is turned the same way as x; the gradient of a rotation turns back: −sin where the forward has sin", (
        paired(a * cos - b * sin, a * sin + b * cos))  # fmt: skip
    yield "dx", "only the first number of each pair turns back", paired(a * cos + b * sin, a * sin + b * cos)
    yield "dx", "only the second number of each pair turns back", paired(a * cos - b * sin, b * cos - a * sin)
    yield "dx", "the sines are missing: each y depends on both numbers of its pair", paired(a * cos, b * cos)
    yield "dx", "the two numbers of each pair are swapped", paired(b * cos - a * sin, a * cos + b * sin)
    halves = np.concatenate([a * cos + b * sin, b * cos - a * sin], -1)
    yield "dx", "the pairs are put together as two halves; they are neighbours, x[0::2] and x[1::2]", halves


ROTARY = Pair("rotary", "08-block", draw=draw_rotary, usual=usual_rotary)
