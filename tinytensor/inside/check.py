"""check_call: is the gradient right that one call returned? The call itself, again, by central differences in float64.

    L(x) = Σ dy·f(x)        ∂L/∂xⱼ ≈ (L(x + h eⱼ) − L(x − h eⱼ)) / 2h        along a direction v:  Σ g·v

f is the forward of the call with its own inputs, dy the gradient that its backward took, g what it returned. An error is
relative to what adds up to the derivative, Σ |dy·∂f/∂xⱼ|, or to a thousandth of the largest such sum of that input. It may be √ε
of the dtype, half of its digits; in float64 1e-7, since differences are no more exact. Rounding within the call can take more of
the digits (1 − p, where p is nearly 1). So where the pair is right in float64, g may also differ from that by some roundings of
the largest dy; the check says so.

A kink or a jump at xⱼ is where the two one-sided differences stay apart as h shrinks: there no derivative exists, and none is
compared. Source: Press et al., "Numerical Recipes", 3rd edition, section 5.7.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from inspect import CO_VARARGS
from typing import Any

import numpy as np

from tinytensor.backend import Array, array_module, as_array
from tinytensor.devices import to_device
from tinytensor.gradcheck.table import FLOOR, LIMITS, STEP
from tinytensor.inside.watch import Call
from tinytensor.modes import thread
from tinytensor.parameters import own_names
from tinytensor.primitive import PRIMITIVES, Function, Primitive

SHRINK = 64  # a second try takes a step that is so many times smaller: away from a kink nearby
KINK = 1e-3  # share of the slope by which one-sided differences differ at a kink; elsewhere about h f″/f′
ROUNDINGS = 4  # of the largest dy: what a gradient may lose within a call
LARGE = 10**6  # numbers, from which on fewer differences are taken
EXACT = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Check:
    """What a check found. ok is None where nothing could be compared; `reason` says why."""

    ok: bool | None
    reason: str = ""
    error: float = 0.0  # the largest, relative to scale
    tolerance: float = 0.0
    scale: float = 0.0  # the largest Σ |dy·∂f/∂xⱼ|
    elements: int = 0  # single elements that were compared
    directions: int = 0  # random directions that were compared
    kinks: int = 0  # elements and directions left out, since the function has a kink or a jump there
    recorded: bool = True  # whether the gradients are those of the backward that ran; else of one with a random dy
    worst: str = ""  # where the largest error is, and both numbers

    def __str__(self) -> str:
        if self.ok is None:
            return f"not checked: {self.reason}"
        parts = [f"{self.elements} elements and {self.directions} directions by central differences in float64"]
        if not self.recorded:
            parts.append("no backward has run, so with a random dy")
        if self.kinks:
            parts.append(f"{self.kinks} more lie at a kink and were left out")
        parts.append(f"largest error {self.error:.1e} of at most {self.tolerance:.1e}")
        parts += [text for text in (self.reason, self.worst if not self.ok else "") if text]
        return f"{'right' if self.ok else 'WRONG'}: {'; '.join(parts)}"


@dataclass
class Probe:
    """A derivative along a direction: by the backward (exact), by differences (numeric), what adds up, and the bend."""

    where: str
    position: int  # of the input
    direction: Any  # an index, or an array
    exact: float
    numeric: float = np.nan
    scale: float = 0.0
    noise: float = 0.0  # how much of a derivative the differences cannot see: the last digit of the outputs, over h
    bend: float = 0.0  # Σ |dy·(f(x + h) − 2 f(x) + f(x − h))| / h
    error: float = np.inf
    ok: bool | None = None  # None: a kink
    note: str = ""


def check_call(call: Call, *, elements: int | None = None, directions: int | None = None, seed: int = 0) -> Check:
    """Compare the gradients of a call with central differences, in `elements` places of each input and some directions.

    None: 12 elements and 3 directions, or 4 and 1 where the inputs have more than a million numbers. The elements
    are those with the largest gradients and random ones. Where no backward has run, the pair's own runs, on
    a fresh forward, with a random dy.
    """
    if not call.is_intact():
        return Check(None, "an array of this call was overwritten in place since")
    if not any(_is_float(y) for y in call.outputs):
        return Check(None, "its output is no floating point number, so there is no derivative")
    if not any(x is not None and _is_float(x) and x.size for x in call.inputs):
        return Check(None, "no input is a floating point number")
    large = sum(x.size for x in call.inputs if x is not None) > LARGE
    elements = (4 if large else 12) if elements is None else elements
    directions = (1 if large else 3) if directions is None else directions
    recorded = call.gradients is not None
    rng = np.random.default_rng(seed)
    try:
        dy = call.dy if recorded else _random_dy(call, rng)
        gradients = call.gradients if recorded else _backward(call, dy)
    except Exception as error:  # a broken backward is what we look for
        return Check(False, f"the backward fails: {type(error).__name__}: {error}", recorded=False)
    return _Checker(call, dy, gradients or (), recorded, rng).check(elements, directions)


class _Checker:
    """A call in float64, with the gradients to be checked."""

    def __init__(self, call: Call, dy: Any, gradients: tuple[Any, ...], recorded: bool, rng: Any) -> None:
        self.call, self.recorded, self.rng = call, recorded, rng
        self.gradients = gradients = tuple([None if g is None else as_array(g) for g in gradients])
        arrays = [None if d is None else as_array(d) for d in (dy if isinstance(dy, list) else [dy])]
        self.dy = [None if d is None else to_device(d, "cpu").astype(np.float64) for d in arrays]
        self.forward, self.backward, self.inputs, self.static = in_float64(call)
        self.spreads = [_spread(x) for x in self.inputs]
        self.wide: tuple[Any, ...] | None = None  # the gradients by the pair in float64, if they were needed
        self.middle = self._outputs(self.inputs)
        sizes = [np.abs(d[np.isfinite(y)] * y[np.isfinite(y)]) for d, y in zip(self.dy, self.middle) if d is not None]
        self.last_digit = float(np.finfo(np.float64).eps * max((s.max(initial=0.0) for s in sizes), default=0.0))
        found = [*arrays, *gradients]
        self.eps = max(float(np.finfo(d.dtype).eps) for d in found if d is not None and _is_float(d))
        self.tolerance = max(self.eps**0.5, LIMITS["differences"])

    def check(self, elements: int, directions: int) -> Check:
        probes = []
        for i, (x, g) in enumerate(zip(self.inputs, self.gradients)):
            if x is None or not _is_float(x) or not x.size or (g is None and self.recorded):
                continue
            if g is not None and g.shape != x.shape:
                return Check(False, f"the gradient of input {i} is of {g.shape}, the input of {x.shape}")
            of_input = [*self._probes(i, x, g, elements, directions)]
            floor = FLOOR * max((p.scale for p in of_input if np.isfinite(p.scale)), default=0.0)
            for probe in of_input:
                self._judge(probe, floor)
            probes += of_input
        return self._summary(probes)

    def _summary(self, probes: list[Probe]) -> Check:
        compared = [p for p in probes if p.ok is not None]
        kinks = len(probes) - len(compared)
        if not compared:
            why = (
                "a kink or a jump at every place"
                if kinks
                else "no finite input, or none whose gradient the backward returned"
            )
            return Check(None, why, kinks=kinks, recorded=self.recorded)
        worst = max(compared, key=lambda p: (not p.ok, np.inf if np.isnan(p.error) else p.error))
        single = sum(isinstance(p.direction, tuple) for p in compared)
        return Check(
            ok=all(p.ok for p in compared),
            reason=next((p.note for p in compared if p.note), ""),
            error=worst.error,
            tolerance=self.tolerance,
            scale=max((p.scale for p in compared if np.isfinite(p.scale)), default=0.0),
            elements=single,
            directions=len(compared) - single,
            kinks=kinks,
            recorded=self.recorded,
            worst=f"{worst.where}: backward says {worst.exact:.9g}, differences say {worst.numeric:.9g}",
        )

    def _probes(self, i: int, x: Array, g: Array | None, elements: int, directions: int) -> Iterator[Probe]:
        """Single elements of input i, then random directions in it, each with its differences."""
        host = to_device(x, "cpu")
        gradient = np.zeros(x.shape) if g is None else to_device(g, "cpu").astype(np.float64)
        finite = np.isfinite(host)
        name = argument(self.call, i)
        for at in self._chosen(np.abs(gradient), finite, elements):
            probe = Probe(f"∂/∂{name}[{', '.join(map(str, at))}]", i, at, float(gradient[at]))
            yield self._differ(probe, 1)
        for k in range(directions if finite.any() else 0):
            v = np.where(finite & np.isfinite(gradient), self.rng.standard_normal(x.shape), 0.0)
            terms = gradient[v != 0] * v[v != 0]
            probe = Probe(f"direction {k} in {name}", i, v, float(terms.sum()), scale=float(np.abs(terms).sum()))
            yield self._differ(probe, 1)

    def _chosen(self, size: Array, finite: Array, elements: int) -> list[tuple[int, ...]]:
        """Half of them where |g| is largest, the others anywhere."""
        places = np.flatnonzero(finite)
        if len(places) > elements:
            half = elements // 2
            order = np.argpartition(-np.nan_to_num(size.reshape(-1)[places], nan=np.inf), half)
            largest, others = places[order[:half]], places[order[half:]]
            places = np.concatenate([largest, self.rng.choice(others, elements - elements // 2, replace=False)])
        return [tuple(map(int, np.unravel_index(place, size.shape))) for place in places]

    def _differ(self, probe: Probe, shrink: int) -> Probe:
        """Set numeric, scale and bend of a probe, by the forward on both sides."""
        x = self.inputs[probe.position]
        one = isinstance(probe.direction, tuple)
        spread = self.spreads[probe.position]
        size = max(abs(float(x[probe.direction])), spread) if one else spread
        h, sides = STEP * size / shrink, []
        for sign in (h, -h):
            moved = x.copy()
            if one:
                moved[probe.direction] += sign
            else:
                moved += sign * array_module(x).asarray(probe.direction)
            sides.append(self._outputs([moved if j == probe.position else y for j, y in enumerate(self.inputs)]))
        with np.errstate(all="ignore"):
            changes = self._times_dy([_minus(a, b, m) for a, b, m in zip(*sides, self.middle)])
            probe.numeric = float(changes.sum()) / (2 * h)
            probe.scale = max(probe.scale * (not one), float(np.abs(changes).sum()) / (2 * h))
            probe.noise = self.last_digit / h
            if shrink > 1:  # it did not fit at first: is there a kink?
                bends = self._times_dy([_minus(a, m, m) + _minus(b, m, m) for a, b, m in zip(*sides, self.middle)])
                probe.bend = float(np.abs(bends).sum()) / h
        return probe

    def _times_dy(self, changes: list[Array]) -> Array:
        """dy·change for each element of the outputs that changes, flat."""
        terms = [np.where(c == 0, 0.0, d * c).reshape(-1) for d, c in zip(self.dy, changes) if d is not None]
        return np.concatenate([np.zeros(0), *terms])

    def _judge(self, probe: Probe, floor: float) -> None:
        """Set ok and error of a probe: True, False, or None at a kink. A second try takes a smaller step."""
        for shrink in (1, SHRINK):
            if shrink > 1:
                self._differ(probe, shrink)
            unit, gap = max(probe.scale, floor), abs(probe.exact - probe.numeric)
            probe.error = 0.0 if gap == 0 else gap / unit if unit else np.inf
            if probe.error <= self.tolerance or gap <= probe.noise:
                probe.ok, probe.error = True, min(probe.error, self.tolerance)
                return
        undefined = np.isnan(probe.exact) and any(np.isnan(y).any() for y in self.middle)
        if undefined or not np.isfinite(probe.numeric) or probe.bend > KINK * max(unit, abs(probe.exact)):
            return
        probe.ok = False
        if self.eps > EXACT and self._is_rounding(probe, unit):
            probe.ok = True
            probe.note = f"rounding takes digits: {probe.where} is {probe.exact:.6g}, in float64 {probe.numeric:.6g}"

    def _is_rounding(self, probe: Probe, unit: float) -> bool:
        """Whether the pair is right in float64, and the gradient as near to that as numbers of dy's size are exact."""
        if self.wide is None:
            dy = [d if d is None else array_module(y).asarray(d) for d, y in zip(self.dy, self.call.outputs)]
            given = dy if self.call.several else dy[0]
            self.wide = _play(self.forward, self.backward, self.inputs, self.static, given)
        g = self.wide[probe.position]
        wide = _along(np.zeros(()) if g is None else to_device(g, "cpu"), probe.direction)
        length = 1.0 if isinstance(probe.direction, tuple) else float(np.abs(probe.direction).sum())
        largest = max(float(np.abs(d).max(initial=0.0)) for d in self.dy if d is not None)
        right = abs(wide - probe.numeric) <= self.tolerance * unit + probe.noise
        return right and abs(wide - probe.exact) <= ROUNDINGS * self.eps * largest * length

    def _outputs(self, inputs: list[Any]) -> list[Array]:
        """The forward, on the host."""
        output = thread.mode.run(lambda: self.forward(*inputs, **self.static)[0])
        return [to_device(as_array(y), "cpu") for y in (output if isinstance(output, tuple) else (output,))]


# ------------------------------------------------------------------------------------------- playing the pair


def _backward(call: Call, dy: Any) -> tuple[Any, ...]:
    """The gradients by the pair itself, on a fresh forward: a backward may overwrite what its forward saved."""
    return _play(call.primitive.forward, call.primitive.backward, call.inputs, call.static, dy)


def _play(forward: Function, backward: Function, inputs: Any, static: dict[str, Any], dy: Any) -> tuple[Any, ...]:
    found = thread.mode.run(lambda: backward(dy, *forward(*inputs, **static)[1]))
    return tuple([None if g is None else as_array(g) for g in found])


def _spread(x: Array | None) -> float:
    """The root mean square of the finite elements; 1 if they are 0, or there are none."""
    if x is None or not _is_float(x):
        return 1.0
    finite = to_device(x, "cpu")
    finite = finite[np.isfinite(finite)]
    return float(np.sqrt(np.mean(np.square(finite)))) or 1.0 if finite.size else 1.0


def _along(gradient: Array, direction: Any) -> float:
    """An element of a gradient, or Σ g·v."""
    if gradient.ndim == 0 and isinstance(direction, tuple) and direction:
        return 0.0  # there is none
    return float(gradient[direction] if isinstance(direction, tuple) else (gradient * direction).sum())


def _random_dy(call: Call, rng: Any) -> Any:
    """A dy of normal numbers as the backward takes it: a list for several outputs."""
    made = [array_module(y).asarray(rng.standard_normal(y.shape), dtype=y.dtype) for y in call.outputs]
    return made if call.several else made[0]


def in_float64(call: Call) -> tuple[Function, Function, list[Any], dict[str, Any]]:
    """The pair of a call, with its inputs and constants in float64."""
    row, static = _row(call.primitive), {name: _wide_static(value) for name, value in call.static.items()}
    return row.forward, row.backward, [_wide(x) for x in call.inputs], static


def _row(primitive: Primitive) -> Primitive:
    """The pair of the table: a float16 call took one that computes in float32."""
    row = PRIMITIVES.get(primitive.name)
    return row if row is not None and row.half is primitive else primitive


def _wide(x: Array | None) -> Array | None:
    """A copy in float64; None, integers and bools stay."""
    return x.astype(np.float64) if x is not None and _is_float(x) else x


def _wide_static(value: Any) -> Any:
    """A constant in float64: an array, or a dtype."""
    if _is_float(value):
        return value.astype(np.float64)
    is_dtype = isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic))
    return np.dtype(np.float64) if is_dtype and np.dtype(value).kind == "f" else value


def _is_float(x: Any) -> bool:
    return getattr(getattr(x, "dtype", None), "kind", "") == "f"


def _minus(a: Array, b: Array, middle: Array) -> Array:
    """a − b; 0 where they are equal, also both infinite, and where all three are nan."""
    same = (a == b) | (np.isnan(a) & np.isnan(b) & np.isnan(middle))
    return np.where(same, 0.0, np.subtract(a, b, dtype=np.float64))


def argument(call: Call, i: int) -> str:
    """The name of an input in the definition of the forward; xs.0, xs.1 of several."""
    forward = inspect.unwrap(call.primitive.forward)
    places = own_names(forward)[0]
    if i < len(places):
        return places[i]
    code = getattr(forward, "__code__", None)
    rest = (
        code.co_varnames[code.co_argcount + code.co_kwonlyargcount] if code and code.co_flags & CO_VARARGS else "input"
    )
    return f"{rest}.{i - len(places)}"
