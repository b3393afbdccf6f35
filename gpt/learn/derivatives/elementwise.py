"""Functions of one element each: mul with its broadcasting, unbroadcast, relu, gelu, dropout."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from gpt.learn.call import Cause
from gpt.learn.exercise import Array
from gpt.learn.pair import Generator, Given, Pair, Point


def sizes(rng: Generator, count: int) -> list[int]:
    """Sizes of dimensions, 2 to 4."""
    return [int(n) for n in rng.integers(2, 5, count)]


def normal(rng: Generator, *shape: int) -> Array:
    """Normal numbers, none closer to 0 than 0.05: there a step of a difference would cross the bend of relu."""
    x = np.asarray(rng.standard_normal(shape))
    return np.asarray(np.where(np.abs(x) < 0.05, 0.5, x))


def uses(dy: Array, shape: tuple[int, ...]) -> Iterator[tuple[str, Array]]:
    """What becomes of the gradient of a broadcast result if the uses of an element are not added up as they have to be."""
    extra = dy.ndim - len(shape)
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and dy.shape[extra + i] != 1)
    leading = dy.sum(tuple(range(extra)))
    count = dy.size // max(1, math.prod(shape))
    yield "it was broadcast, so each element is used several times: the gradients of the uses are not added up", dy
    if extra and stretched:
        yield "the dimensions that it lacks are summed, those of size 1 that were stretched are not", leading
    if stretched or extra:
        full = leading.sum(stretched, keepdims=True)
        yield "the dimensions of size 1 are lost in the sum: keepdims=True, or reshape", leading.sum(stretched)
        yield "the gradients of the uses are averaged; they have to be added up", full / count
        first = dy[(0,) * extra] if dy.size else leading
        for axis in stretched:
            first = first.take([0], axis) if first.size else first
        yield "only the first use of each element counts; the gradients of all uses have to be added up", first


def draw_mul(rng: Generator) -> Iterator[Given]:
    n, m = sizes(rng, 2)
    pairs = [((n, m), (n, m)), ((n, m), (m,)), ((n, 1), (n, m)), ((1, m), (n, 1)), ((), (n, m)), ((2, n, 1), (m,)),
             ((0, m), (m,)), ((n, 0), (1, 0))]  # fmt: skip
    for a, b in pairs:
        yield {"a": normal(rng, *a), "b": normal(rng, *b)}, {}


def usual_mul(p: Point) -> Iterator[Cause]:
    for name, other in (("a", "b"), ("b", "a")):
        own = p.dy * p[name]
        if own.shape == p[name].shape:
            yield f"d{name}", f"dy is multiplied by {name}; the derivative of a·b by {name} is {other}", own
        for text, wrong in uses(p.dy * p[other], p[name].shape):
            yield f"d{name}", text, wrong


MUL = Pair("mul", "03-derivatives", draw=draw_mul, usual=usual_mul)


def draw_unbroadcast(rng: Generator) -> Iterator[Given]:
    n, m = sizes(rng, 2)
    pairs: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
        ((m,), (n, m)), ((n, 1), (n, m)), ((n, m), (n, m)), ((), (n, m)), ((1, m), (2, n, m)), ((1, n, 1), (m, 2, n, 3)),
        ((1,), (1,)), ((1, m), (0, m)), ((0, 1), (0, m)), ((1, 1), (n, m)),
    ]  # fmt: skip
    for x, to in pairs:
        yield {"x": normal(rng, *x)}, {"shape": to}


def usual_unbroadcast(p: Point) -> Iterator[Cause]:
    for text, wrong in uses(p.dy, p["x"].shape):
        yield "dx", text, wrong


UNBROADCAST = Pair("unbroadcast", "01-tensors", draw=draw_unbroadcast, usual=usual_unbroadcast)


def draw_one(rng: Generator) -> Iterator[Given]:
    n, m = sizes(rng, 2)
    for shape in [(n,), (n, m), (), (1, m), (0, m), (2, n, m)]:
        yield {"x": normal(rng, *shape)}, {}


def edges_relu() -> Iterator[Given]:
    yield {"x": np.array([-1.5, 0.0, 2.0, -0.0, 0.0])}, {}


def usual_relu(p: Point) -> Iterator[Cause]:
    x = p["x"]
    yield "dx", "it asks whether dy is above 0; the derivative depends on x", p.dy * (p.dy > 0)
    yield "dx", "x at 0 lets dy pass; PyTorch, as the engine, takes 0 there", p.dy * (x >= 0)
    yield "dx", "this is max(x, 0) · dy: the derivative of x is 1, not x", p.dy * np.maximum(x, 0)
    yield "dx", "the elements below 0 let dy pass, those above do not: it is the other way around", p.dy * (x <= 0)


RELU = Pair("relu", "03-derivatives", draw=draw_one, usual=usual_relu, edges=edges_relu)


def usual_gelu(p: Point) -> Iterator[Cause]:
    x, dy, root, cubic = p["x"], p.dy, math.sqrt(2 / math.pi), 0.044715
    t = np.tanh(root * (x + cubic * x**3))
    s = (1 + t) / 2
    rest = p.right["dx"] - dy * s  # the second term of the product rule
    slope = 1 + 3 * cubic * x * x
    yield "dx", "product rule: x·s′ is missing, only s is there", dy * s
    yield "dx", "product rule: s is missing, only x·s′ is there", rest
    yield "dx", "chain rule: the derivative of the inside, u′, is missing", dy * s + rest / (root * slope)
    yield "dx", "u′ is not complete: the derivative of x³ is missing", dy * s + rest / slope
    yield "dx", "the derivative of x³ is 3x²: the 3 is missing", dy * s + rest / slope * (1 + cubic * x * x)
    yield "dx", "√(2/π) is missing in u′", dy * s + rest / root
    yield "dx", "dy has to multiply both terms, s and x·s′: a bracket is missing", dy * s + rest / dy
    yield "dx", "dy has to multiply both terms, s and x·s′: a bracket is missing", s + rest
    if np.abs(t).max(initial=0) < 1:
        full = rest / (1 - t * t)
        yield "dx", "the derivative of tanh u is 1 − tanh² u, not 1 − tanh u", dy * s + full * (1 - t)
        yield "dx", "the derivative of tanh u, 1 − tanh² u, is missing", dy * s + full
    yield "dx", "s = (1 + tanh u) / 2: the 1/2 is missing in s′", dy * s + 2 * rest


GELU = Pair("gelu", "03-derivatives", draw=draw_one, usual=usual_gelu)


def draw_dropout(rng: Generator) -> Iterator[Given]:
    n, m = sizes(rng, 2)
    for shape, p in [((n, m), 0.5), ((2, n, m), 0.25), ((n,), 0.0), ((), 0.5), ((0, m), 0.1), ((8, 8), 0.75)]:
        yield {"x": normal(rng, *shape)}, {"keep": np.asarray(rng.random(shape) >= p), "p": p}


def usual_dropout(p: Point) -> Iterator[Cause]:
    dy, keep, rate = p.dy, p["keep"], p["p"]
    yield "dx", "the factor 1 / (1 − p) of the forward is missing", dy * keep
    yield "dx", "the elements that were dropped get a gradient: keep is missing", dy / (1 - rate)
    yield "dx", "the factor is 1 − p; it has to be 1 / (1 − p), as in the forward", dy * keep * (1 - rate)
    yield "dx", "it drops the elements that were kept", dy * ~keep / (1 - rate)
    if rate:
        yield "dx", "the factor is 1 / p; it has to be 1 / (1 − p)", dy * keep / rate
    yield "dx", "x is in it: y is linear in x, so its derivative does not depend on x", p["x"] * dy * keep / (1 - rate)


DROPOUT = Pair("dropout", "10-training", draw=draw_dropout, usual=usual_dropout)
