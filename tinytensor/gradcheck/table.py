"""The checks that every row of the table of primitives has to pass, on its sample calls.

With y = f(x), J[i, j] = ∂yᵢ/∂xⱼ by backward and h = 6·10⁻⁶, the step at which rounding and truncation are balanced:

    differences   |J − (f(x + h eⱼ) − f(x − h eⱼ)) / 2h| / max |J|            each element of each Jacobian
    directions    ⟨u, (f(x + h v) − f(x − h v)) / 2h⟩ against ⟨backward(u), v⟩   for random u and v
    PyTorch       value and backward(u), against the same function there, relative to the largest element
    ulps          value and backward(u) in float32 against float64, in units of the error that rounded inputs cause
    composed      value and backward(u), against the composed form of a fused pair
    saved         bytes that the forward keeps for the backward, and how many times the inputs' bytes that is

No check shares arrays with another: a backward may overwrite what its forward saved, so each runs the forward again.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinytensor import autograd
from tinytensor.backend import Array, as_array
from tinytensor.base import wrap
from tinytensor.gradcheck.sample import Sample as Sample
from tinytensor.primitive import Primitive
from tinytensor.tensor import Tensor
from tinytensor.writes import arrays_in, owner

STEP = float(np.finfo(np.float64).eps) ** (1 / 3)  # 6e-6: here the errors f‴h²/6 and rounding/h have one size
LARGE = 300  # elements: a larger Jacobian would take too long, so random directions alone check it
ULP = float(np.finfo(np.float32).eps)
FLOOR = 1e-3  # errors are relative to this at least: a gradient that cancels to 0 consists of rounding errors
LIMITS = {"differences": 1e-7, "pytorch": 1e-12, "composed": 1e-12, "ulps": 4.0}

Arrays = list["Array | None"]


# ----------------------------------------------------------------------------------------- playing a pair


def pair_for(primitive: Primitive, arrays: Any) -> Primitive:
    """The pair that the tape takes for these arrays: another one in float16."""
    return primitive.half if primitive.half and arrays[0].dtype == np.float16 else primitive


def forward(primitive: Primitive, arrays: Any, static: dict[str, Any]) -> list[Array]:
    """The outputs, as a list of arrays."""
    with np.errstate(all="ignore"):
        return _listed(pair_for(primitive, arrays).forward(*arrays, **static)[0])


def play(primitive: Primitive, arrays: Any, static: dict[str, Any], u: list[Array]) -> tuple[list[Array], Arrays]:
    """The outputs, and the gradients of Σ ⟨output, u⟩ with respect to the inputs."""
    primitive = pair_for(primitive, arrays)
    with np.errstate(all="ignore"):
        y, saved = primitive.forward(*arrays, **static)
        dxs = primitive.backward(list(u) if isinstance(y, tuple) else u[0], *saved)
    return _listed(y), [None if dx is None else as_array(dx) for dx in dxs]


def _listed(y: Any) -> list[Array]:
    return [as_array(o) for o in (y if isinstance(y, tuple) else (y,))]


def cotangents(ys: list[Array], seed: int = 0) -> list[Array]:
    """A random u for every output."""
    return [np.random.default_rng([seed, i]).standard_normal(y.shape).astype(y.dtype) for i, y in enumerate(ys)]


def saved_bytes(primitive: Primitive, sample: Sample) -> int:
    """Bytes of the arrays that the forward saves; memory that two of them share counts once."""
    _, saved = primitive.forward(*sample.arrays, **sample.static)
    owners = [owner(x) for x in arrays_in(saved)]
    return sum({id(owner): owner.nbytes for owner in owners}.values())


# -------------------------------------------------------------------------------------------- calculus


def differences(primitive: Primitive, sample: Sample) -> float:
    """The largest error in the Jacobians by backward, relative to a Jacobian's largest element; 0 for LARGE inputs."""
    arrays, static = [None if a is None else a.copy() for a in sample.arrays], sample.static
    if sum(a.size for a in arrays if a is not None) > LARGE:
        return 0.0
    ys = forward(primitive, arrays, static)
    worst = 0.0
    for j, x in enumerate(arrays):
        if x is None or x.size == 0:
            continue
        columns = [_central(primitive, arrays, static, x, i) for i in np.ndindex(x.shape)]
        numeric = np.stack(columns, -1)  # (all outputs, x.size)
        rows = [play(primitive, arrays, static, u)[1][j] for u in _unit_vectors(ys)]
        exact = np.stack([np.zeros(x.size) if g is None else g.reshape(-1) for g in rows] or [np.zeros((0, x.size))])
        worst = max(worst, _relative(exact.reshape(numeric.shape), numeric))
    return worst


def _central(primitive: Primitive, arrays: Arrays, static: dict[str, Any], x: Array, i: Any) -> Array:
    """∂ all outputs / ∂ x[i], flat."""
    old = x[i]
    x[i] = old + STEP
    high = _joined(forward(primitive, arrays, static))
    x[i] = old - STEP
    low = _joined(forward(primitive, arrays, static))
    x[i] = old
    return (high - low) / (2 * STEP)


def _joined(ys: list[Array]) -> Array:
    return np.concatenate([np.array(y, np.float64).reshape(-1) for y in ys])


def _unit_vectors(ys: list[Array]) -> Iterator[list[Array]]:
    """A 1 in one element of one output, zeros everywhere else; for each in turn."""
    for o, y in enumerate(ys):
        for i in np.ndindex(y.shape):
            u = [np.zeros_like(z) for z in ys]
            u[o][i] = 1
            yield u


def directions(primitive: Primitive, sample: Sample, count: int = 4) -> float:
    """The largest relative error of a directional derivative, over `count` random directions in all inputs at once."""
    static, worst = sample.static, 0.0
    for k in range(count):
        rng = np.random.default_rng(k)
        vs = [None if a is None else np.asarray(rng.standard_normal(a.shape)) for a in sample.arrays]
        high, low = (_joined(forward(primitive, _moved(sample.arrays, vs, s), static)) for s in (STEP, -STEP))
        u = cotangents(forward(primitive, sample.arrays, static), k)
        terms = _joined(u) * (high - low) / (2 * STEP)
        _, dxs = play(primitive, sample.arrays, static, u)
        exact = sum(float((dx * v).sum()) for dx, v in zip(dxs, vs, strict=True) if dx is not None and v is not None)
        scale = float(np.abs(terms).sum())  # the terms may cancel, and their rounding does not
        worst = np.maximum(worst, abs(exact - terms.sum()) / scale if scale else abs(exact))
    return float(worst)


def _moved(arrays: tuple[Any, ...], vs: Arrays, by: float) -> Arrays:
    return [None if a is None or v is None else np.asarray(a + by * v) for a, v in zip(arrays, vs, strict=True)]


def _relative(found: Array, wanted: Array) -> float:
    """The largest error, relative to the largest element, or to FLOOR; infinite where a nan or an infinity differs."""
    if found.shape != wanted.shape:
        return np.inf
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    same = (found == wanted) | (np.isnan(found) & np.isnan(wanted))
    if same.all():
        return 0.0
    with np.errstate(all="ignore"):
        error = np.abs(found - wanted)[~same].max()
        scale = np.abs(wanted[np.isfinite(wanted)]).max(initial=FLOOR)
    return float(error / scale) if np.isfinite(error) else np.inf


# --------------------------------------------------------------------- against PyTorch and composed forms


def worst(found: tuple[list[Any], Arrays], wanted: tuple[list[Any], Arrays]) -> float:
    """The largest relative difference of values and gradients."""
    pairs = [*zip(found[0], wanted[0], strict=True), *zip(found[1], wanted[1], strict=True)]
    return max(0.0, *(_relative(a, b) for a, b in pairs if a is not None and b is not None))


def in_pytorch(sample: Sample, u: list[Array]) -> tuple[list[Array], Arrays]:
    """Values and gradients by PyTorch, which has to be installed."""
    torch = importlib.import_module("torch")
    xs = [None if a is None else torch.tensor(a).requires_grad_() for a in sample.arrays]
    ys = sample.torch(*xs)
    ys = list(ys) if isinstance(ys, (tuple, list)) else [ys]
    torch.autograd.backward(ys, [torch.tensor(v).to(y.dtype) for v, y in zip(u, ys, strict=True)])
    gradients = [None if x is None else np.zeros(x.shape) if x.grad is None else x.grad.numpy() for x in xs]
    return [y.detach().numpy() for y in ys], gradients


def pytorch(primitive: Primitive, sample: Sample) -> float:
    """The largest relative difference from PyTorch in float64."""
    u = cotangents(forward(primitive, sample.arrays, sample.static))
    return worst(play(primitive, sample.arrays, sample.static, u), in_pytorch(sample, u))


def composed(primitive: Primitive, sample: Sample) -> float:
    """The largest relative difference between a fused pair and its composed form, which it must have."""
    assert primitive.composed is not None
    u = cotangents(forward(primitive, sample.arrays, sample.static))
    xs = [None if a is None else wrap(a.copy()).requires_grad_() for a in sample.arrays]
    static = {k: wrap(v) if isinstance(v, np.ndarray) else v for k, v in sample.static.items()}
    y: Tensor = primitive.composed(*xs, **static)
    autograd.backward(y, wrap(u[0]))
    gradients = [None if x is None or x.grad is None else x.grad.array for x in xs]
    return worst(play(primitive, sample.arrays, sample.static, u), ([y.detach().array], gradients))


def ulps(primitive: Primitive, sample: Sample, with_pytorch: bool = False) -> float:
    """The largest float32 error of a value or gradient, in units of the unavoidable error; or PyTorch's error.

    The unit is one rounding of the result, plus the change of the result if every input and every u changes by one
    rounding error, up or down at random: the condition of the operation, measured in float64.
    """
    rough = sample.cast(np.float32)
    sample = rough.cast(np.float64)  # inputs that float32 can hold
    u = [v.astype(np.float32) for v in cotangents(forward(primitive, sample.arrays, sample.static))]
    exact = _results(primitive, sample, u)
    found = _results(primitive, rough, u)
    wanted = _given(in_pytorch(rough, u)) if with_pytorch else exact
    worst = 0.0
    for f, w, e, s in zip(found, wanted, exact, _spread(primitive, sample, u, exact), strict=True):
        error, unit = _distance(f, w), s + ULP * float(np.abs(e).max(initial=0))
        worst = np.maximum(worst, error / unit if unit else error)
    return float(worst)


def _spread(primitive: Primitive, sample: Sample, u: list[Array], exact: list[Array], trials: int = 8) -> list[float]:
    """How much each result changes if inputs and u change by a rounding error; the largest of several trials."""
    spread = [0.0] * len(exact)
    for k in range(trials):
        rng = np.random.default_rng(k)
        nudged = replace(sample, arrays=tuple(None if a is None else _nudged(a, rng) for a in sample.arrays))
        moved = _results(primitive, nudged, [_nudged(v, rng) for v in u])
        spread = [max(s, _distance(m, e)) for s, m, e in zip(spread, moved, exact, strict=True)]
    return spread


def _results(primitive: Primitive, sample: Sample, u: list[Array]) -> list[Array]:
    """Values and gradients; u in the precision of the values."""
    ys = forward(primitive, sample.arrays, sample.static)
    u = [v.astype(y.dtype) for v, y in zip(u, ys, strict=True)]
    return _given(play(primitive, sample.arrays, sample.static, u))


def _given(results: tuple[list[Array], Arrays]) -> list[Array]:
    return [*results[0], *(g for g in results[1] if g is not None)]


def _nudged(x: Array, rng: Any) -> Array:
    return np.asarray(x * (1 + ULP * rng.choice([-1, 1], x.shape)))


def _distance(a: Array, b: Array) -> float:
    return float(np.abs(np.subtract(a, b, dtype=np.float64)).max(initial=0))


# ------------------------------------------------------------------------------------------- one row


@dataclass
class Row:
    """The largest errors over the samples of a primitive; None if a check does not apply."""

    name: str
    formula: str
    differences: float | None = None
    pytorch: float | None = None
    ulps: float | None = None
    composed: float | None = None
    saved: int = 0
    inputs: int = 0

    def add(self, check: str, error: float) -> None:
        """Keep the largest error of a check."""
        setattr(self, check, float(np.maximum(error, getattr(self, check) or 0.0)))  # a nan stays

    def wrong(self) -> list[str]:
        """The checks whose error is above its limit."""
        return [name for name, limit in LIMITS.items() if not (getattr(self, name) or 0.0) <= limit]


def examine(primitive: Primitive, samples: list[Sample], with_pytorch: bool) -> Row:
    """Run all checks on all samples. The bytes saved are those of the largest sample."""
    row = Row(primitive.name, primitive.formula)
    for sample in samples:
        inputs = sum(a.nbytes for a in sample.arrays if a is not None)
        if inputs > row.inputs:
            row.inputs, row.saved = inputs, saved_bytes(primitive, sample)
        if sample.smooth:
            row.add("differences", max(differences(primitive, sample), directions(primitive, sample)))
        if with_pytorch:
            row.add("pytorch", pytorch(primitive, sample))
        if primitive.composed is not None:
            row.add("composed", composed(primitive, sample))
        if sample.smooth and "float32" in sample.dtypes:
            row.add("ulps", ulps(primitive, sample))
    return row
