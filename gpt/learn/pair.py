"""Exercises in which the forward is given, and the reader writes the backward."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpt.learn import recorded
from gpt.learn.call import CENTRAL, EXACT, SINGLE, Call, Cause
from gpt.learn.derivative import Derivative
from gpt.learn.differences import Forward, central, complex_step
from gpt.learn.exercise import Array, Arrays

Generator = np.random.Generator
Given = tuple[Arrays, dict[str, Any]]  # arguments of a forward: those with a gradient, and those without


class Point:
    """A call of a forward, with the gradient of its result and the right gradients: what usual mistakes are computed from."""

    def __init__(self, forward: Forward, inputs: Arrays, static: dict[str, Any], dy: Array, right: Arrays) -> None:
        self.inputs, self.static, self.dy, self.right = inputs, static, dy, right
        self.y, self.saved = forward(**inputs, **static)
        self.jacobian: Callable[[str], Array] = functools.cache(
            lambda name: complex_step(forward, inputs, static, name)
        )

    def __getitem__(self, name: str) -> Any:
        """An argument of the forward by its name."""
        return self.inputs[name] if name in self.inputs else self.static[name]

    def through(self, name: str, dy: Array) -> Array:
        """The right gradient of an input for another dy."""
        return (dy.reshape(-1) @ self.jacobian(name)).reshape(self.inputs[name].shape)


@dataclass(frozen=True)
class Pair(Derivative):
    """`draw` yields arguments of the forward, `usual` the mistakes that are common. Gradients come in the order of inputs.

    `edges` yields arguments at which the forward has no derivative and PyTorch takes one: those are only recorded.
    """

    draw: Callable[[Generator], Iterator[Given]]
    usual: Callable[[Point], Iterable[Cause]]
    edges: Callable[[], Iterator[Given]] = lambda: iter(())

    def calls(self, rng: Generator) -> Iterator[Call]:
        """The calls of a check: recorded ones, new ones in float64 and in two memory layouts, and in float32."""
        for row in recorded.rows(self.name):
            yield self.call(row["inputs"], row["static"], row["result"]["dy"], row["gradients"])
        for k, (inputs, static) in enumerate(self.draw(rng)):
            y, _ = self.forward()(**inputs, **static)
            dy = np.asarray(rng.standard_normal(np.shape(y)))
            order: Any = "F" if k % 2 else "C"
            arrays = {name: np.asarray(x, order=order) for name, x in inputs.items()}
            yield self.call(arrays, static, np.asarray(dy, order=order))
        for inputs, static in self.draw(rng):
            rough = {name: x.astype(np.float32) for name, x in inputs.items()}
            y, _ = self.forward()(**rough, **static)
            yield self.call(rough, static, np.asarray(rng.standard_normal(np.shape(y))).astype(np.float32))

    def call(self, inputs: Arrays, static: dict[str, Any], dy: Array, right: Arrays | None = None) -> Call:
        """A call of the backward. Without `right` central differences say what is right, and complex steps say it again."""
        forward = self.forward()
        dtype = dy.dtype
        exact = {name: x.astype(np.float64) for name, x in inputs.items()}
        wide = dy.astype(np.float64)
        source, limit, finer = "PyTorch's recorded numbers", EXACT, None
        if right is None:
            source, limit = "central differences of numbers drawn now", CENTRAL
            right = self.gradients(central, exact, static, wide)
            finer = functools.partial(self.gradients, complex_step, exact, static, wide)
        if dtype == np.float32:
            source, limit, finer = "float64 results, for float32 numbers drawn now", SINGLE, None
        point = Point(forward, exact, static, wide, right)
        return Call(
            title=described({**inputs, **static}), arguments=(dy, *forward(**inputs, **static)[1]), right=right,
            like={f"d{name}": name for name in inputs}, source=source, limit=limit, finer=finer, dtype=dtype,
            causes=lambda: self.causes(point),
        )  # fmt: skip

    def gradients(self, by: Callable[..., Array], inputs: Arrays, static: dict[str, Any], dy: Array) -> Arrays:
        """The right gradients of all inputs: dy times the Jacobian by differences."""
        flat = dy.reshape(-1)
        return {f"d{n}": (flat @ by(self.forward(), inputs, static, n)).reshape(x.shape) for n, x in inputs.items()}

    def causes(self, point: Point) -> Iterator[Cause]:
        """The usual mistakes of this exercise, and those that any derivative may have."""
        yield from self.usual(point)
        dy = point.dy
        for name, x in point.inputs.items():
            yield f"d{name}", "dy is missing: this is the gradient for dy = 1", point.through(name, np.ones_like(dy))
            yield f"d{name}", "this is dy itself: the derivative of the forward is missing", dy
            if dy.shape == x.shape:
                J = point.jacobian(name)
                own = "only ∂y[i]/∂x[i] is in it: each y depends on other x as well"
                yield f"d{name}", own, (np.diag(J) * dy.reshape(-1)).reshape(x.shape)
                turned = "∂y/∂x is taken the wrong way around: this is J dy; the gradient is Jᵀ dy"
                yield f"d{name}", turned, (J @ dy.reshape(-1)).reshape(x.shape)


def described(arguments: dict[str, Any]) -> str:
    """Arguments as a report shows them: arrays by their shape, short ones of integers by their values."""
    said = []
    for name, x in arguments.items():
        if isinstance(x, np.ndarray) and (x.dtype.kind != "i" or x.size > 12):
            said.append(f"{name} {tuple(int(n) for n in x.shape)}")
        else:
            said.append(f"{name} = {x.tolist() if isinstance(x, np.ndarray) else x}")
    dtypes = {x.dtype for x in arguments.values() if isinstance(x, np.ndarray) and x.dtype.kind == "f"}
    return ", ".join(said) + (" in float32" if np.dtype(np.float32) in dtypes else "")
