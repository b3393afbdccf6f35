"""The update of AdamW, all terms: checked with PyTorch's numbers, and with the formula on numbers drawn now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gpt.learn import recorded
from gpt.learn.call import SINGLE, Call, Cause
from gpt.learn.derivative import Derivative
from gpt.learn.derivatives.elementwise import normal, sizes
from gpt.learn.exercise import Array, Arrays
from gpt.learn.pair import Generator, Given, described

# The mistakes that `updated` can make, and the result in which they are seen first.
USUAL = (
    ("m", "m and v keep their old values: the new m = β₁ m + (1 − β₁) g is missing", "old m"),
    ("m", "the factor 1 − β₁ of the gradient is missing", "whole g"),
    ("m", "β₁ and β₂ are swapped", "betas"),
    ("m", "the decay is added to the gradient: so does Adam with L2; here p decays apart from it", "l2"),
    ("m", "it returns m̂; m itself has to be kept, without the correction", "keep hat"),
    ("v", "v and m keep their old values: the new v = β₂ v + (1 − β₂) g² is missing", "old v"),
    ("v", "the factor 1 − β₂ of the squared gradient is missing", "whole g²"),
    ("v", "β₁ and β₂ are swapped", "betas"),
    ("v", "g is not squared", "g not squared"),
    ("v", "it returns v̂; v itself has to be kept, without the correction", "keep hat"),
    ("p", "the correction 1 / (1 − β₁ᵗ) of m is missing", "m as it is"),
    ("p", "the correction 1 / (1 − β₂ᵗ) of v is missing", "v as it is"),
    ("p", "both corrections, of m and of v, are missing", "no correction"),
    ("p", "the corrections are those of the step before: t is 1 at the first step", "t - 1"),
    ("p", "the weights do not decay", "no decay"),
    ("p", "the decay lacks lr: p ← (1 − lr λ) p", "decay without lr"),
    ("p", "the weights grow: the sign of the decay is the other way around", "growth"),
    ("p", "the decay takes the gradient's step as well; it stands before it", "decay after"),
    ("p", "it goes uphill: the sign of the step is the other way around", "uphill"),
    ("p", "the root is missing: m̂ is divided by v̂", "no root"),
    ("p", "eps is inside of the root", "eps inside"),
    ("p", "eps is missing", "no eps"),
    ("p", "lr is missing in the step", "no lr"),
    ("p", "the step is taken with the old m and v", "old moments"),
    ("p", "the step is g / √v̂: m̂ belongs in the place of g", "g for m"),
)


def updated(p: Array, g: Array, m: Array, v: Array, t: int, lr: float, beta1: float, beta2: float, eps: float,
            weight_decay: float, wrong: str = "") -> Arrays:  # fmt: skip
    """The new p, m and v; or what comes out with one of the mistakes above."""
    b1, b2 = (beta2, beta1) if wrong == "betas" else (beta1, beta2)
    before, slope = (m, v), g
    if wrong == "l2":
        g = g + weight_decay * p
    square = g if wrong == "g not squared" else g * g
    m = m if wrong == "old m" else b1 * m + (g if wrong == "whole g" else (1 - b1) * g)
    v = v if wrong == "old v" else b2 * v + (square if wrong == "whole g²" else (1 - b2) * square)
    time = t - 1 if wrong == "t - 1" else t
    with np.errstate(all="ignore"):
        first, second = before if wrong == "old moments" else (slope if wrong == "g for m" else m, v)
        c1 = np.float64(1) if wrong in ("m as it is", "no correction", "g for m") else 1 - np.float64(b1) ** time
        c2 = np.float64(1) if wrong in ("v as it is", "no correction") else 1 - np.float64(b2) ** time
        mhat, vhat = first / c1, second / c2
        small = 0.0 if wrong in ("no eps", "eps inside") else eps
        below = vhat if wrong == "no root" else np.sqrt(vhat + eps if wrong == "eps inside" else vhat)
        move = (1.0 if wrong == "no lr" else lr) * mhat / (below + small)
    decay = 0.0 if wrong in ("no decay", "l2") else weight_decay * (1 if wrong == "decay without lr" else lr)
    decay = -decay if wrong == "growth" else decay
    move = -move if wrong == "uphill" else move
    new = (p - move) * (1 - decay) if wrong == "decay after" else p * (1 - decay) - move
    return {"p": new, "m": mhat, "v": vhat} if wrong == "keep hat" else {"p": new, "m": m, "v": v}


def draw(rng: Generator) -> Iterator[Given]:
    """Arguments of a step: the first one, later ones, one without decay, of single numbers and of none."""
    n, m = sizes(rng, 2)
    for shape, t, decay in [
        ((m,), 1, 0.0),
        ((m,), 1, 0.3),
        ((n, m), 7, 0.1),
        ((), 3, 0.1),
        ((0, m), 2, 0.1),
        ((n,), 200, 0.2),
    ]:
        start = t == 1
        p, g = normal(rng, *shape), normal(rng, *shape)
        moments = {"m": 0 * p if start else normal(rng, *shape), "v": 0 * p if start else normal(rng, *shape) ** 2}
        numbers = {"lr": round(float(rng.uniform(0.01, 0.2)), 3), "beta1": round(float(rng.uniform(0.6, 0.9)), 2),
                   "beta2": round(float(rng.uniform(0.92, 0.99)), 3), "eps": 0.01, "weight_decay": decay}  # fmt: skip
        yield {"p": p, "g": g, **moments}, {"t": t, **numbers}


class Update(Derivative):
    """Write step: the arguments are arrays and numbers, and the results the new arrays."""

    function = "step"

    def calls(self, rng: Generator) -> Iterator[Call]:
        for row in recorded.rows(self.name):
            yield self.call(row["inputs"], row["static"], "PyTorch's recorded numbers", row["gradients"])
        for inputs, static in draw(rng):
            yield self.call(inputs, static, "the formula, on numbers drawn now")
        for inputs, static in draw(rng):
            rough = {name: x.astype(np.float32) for name, x in inputs.items()}
            call = self.call(rough, static, "float64 results, for float32 numbers drawn now")
            call.limit, call.dtype = SINGLE, np.float32
            yield call

    def call(self, inputs: Arrays, static: dict[str, Any], source: str, right: Arrays | None = None) -> Call:
        """A call of step, and what it must return."""
        exact: list[Any] = [np.asarray(x, np.float64) for x in inputs.values()]
        numbers: dict[str, Any] = static

        def causes() -> Iterator[Cause]:
            for name, text, wrong in USUAL:
                yield name, text, np.asarray(updated(*exact, **{**numbers, "wrong": wrong})[name])

        right = right or updated(*exact, **numbers)
        # p is compared last: m and v lead to it, so a mistake in them is told where it was made
        ordered = {name: np.asarray(right[name]) for name in ("p", "m", "v")}
        return Call(described({**inputs, **static}), (*inputs.values(), *static.values()), ordered,
                    dict.fromkeys(ordered, "p"), source, causes=causes, first=("m", "v"))  # fmt: skip


ADAMW = Update("adamw", "09-adamw")
