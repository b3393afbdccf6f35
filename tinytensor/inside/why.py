"""why: one element of a parameter's gradient, split exactly into what each position of the batch contributed.

    linear       dW[i, j] = Σ dy[t, i]·x[t, j]        db[i] = Σ dy[t, i]             over the rows t of x
    matmul       dW[k, n] = Σ a[t, k]·dy[t, n]        for a second factor (K, N)
    embedding    dW[v, j] = Σ dy[t, j]                over the t with ids[t] = v
    layer norm   dw[j] = Σ dy[t, j]·x̂[t, j]           db[j] = Σ dy[t, j]
    mul          dw[j] = Σ dy[t, j]·other[t, j]       for a weight that is broadcast; add and sub: ± Σ dy[t, j]

A parameter that is used several times, or in two layers, has the parts of each use. reshape, permute, cast and copy are
followed to what uses their result. The parts are added up, and compared with the gradient that the backward returned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytensor.backend import Array, as_array
from tinytensor.base import TensorBase, is_tensor
from tinytensor.devices import to_device
from tinytensor.functions.backward import grad
from tinytensor.inside.element import one_place
from tinytensor.inside.explain import maker, parameter_names
from tinytensor.inside.show import heading, html_table, number, place, signed, text_table
from tinytensor.inside.trace import Trace
from tinytensor.inside.watch import Call, Observer, call_of, call_of_node, observed
from tinytensor.modes import thread
from tinytensor.ops.layer_norm import layer_norm_forward
from tinytensor.precision import get_float32_matmul_precision
from tinytensor.tape import Node

SHOWN = 12  # positions that are listed; the others are added up
BLOCK = 1024  # terms that a kernel may add one by one (sums.py)


class NotTheGradient(RuntimeError):
    """The parts do not add up to the gradient."""


@dataclass(frozen=True)
class Use:
    """What one call contributed: parts, one for each of its positions, and their factors; gradient: what its backward said."""

    call: Call
    parts: Array  # (B, T), or whatever leading dimensions the call had; float64
    gradient: float
    dy: Array  # the incoming gradient at each position, in the shape of parts
    factor: Array | None  # what it is multiplied by; None: by 1

    def how(self, at: tuple[int, ...]) -> str:
        """dy · x of a position."""
        return f"dy {number(self.dy[at])}" + ("" if self.factor is None else f" · {number(self.factor[at])}")


@dataclass(frozen=True)
class Why:
    """An element of a gradient, split. total is the sum of all parts, gradient that of what the backwards returned."""

    name: str
    index: tuple[int, ...]
    uses: tuple[Use, ...]
    total: float
    gradient: float
    words: Array | None = None  # the token at each position

    @property
    def parts(self) -> Any:
        """The contribution of each position, summed over the uses; a tuple, one for each, if their shapes differ."""
        shapes = {use.parts.shape for use in self.uses}
        arrays = [use.parts for use in self.uses]
        return np.sum(arrays, axis=0) if len(shapes) == 1 else tuple(arrays)

    def sentences(self) -> list[str]:
        """The gradient, and where it moves the element."""
        element, g = f"{self.name}{place(self.index)}", self.gradient
        away = "does not move it" if g == 0 else f"makes it {'smaller' if g > 0 else 'larger'}"
        count = sum(use.parts.size for use in self.uses)
        return [
            f"the gradient of {element} is {signed(g)}: a step of gradient descent {away}",
            f"it is the sum of {count} parts, to {number(abs(self.total - g), 2)}; a positive part pushes it down",
        ]

    def rows(self) -> list[tuple[str, ...]]:
        """The largest parts: contribution, push, position, token, factors, call."""
        flat = np.concatenate([use.parts.reshape(-1) for use in self.uses])
        starts = np.cumsum([0, *(use.parts.size for use in self.uses)])
        order = np.argsort(-np.abs(flat), kind="stable")[: np.count_nonzero(flat)]
        rows = []
        for k in order[:SHOWN]:
            n = int(np.searchsorted(starts, k, side="right")) - 1
            at = np.unravel_index(k - starts[n], self.uses[n].parts.shape)
            rows.append(self._row(self.uses[n], tuple(map(int, at))))
        if len(others := order[SHOWN:]):
            rest = float(flat[others].sum())
            rows.append((signed(rest), "down" if rest > 0 else "up", f"{len(others)} others", "", "", ""))
        return rows

    def _row(self, use: Use, at: tuple[int, ...]) -> tuple[str, ...]:
        part = float(use.parts[at])
        fits = self.words is not None and self.words.shape == use.parts.shape
        word = repr(str(self.words[at])) if fits and self.words is not None else ""
        where = use.call.path or use.call.primitive.name
        position = f"batch {at[0]}, position {at[1]}" if len(at) == 2 else f"position {place(at) or '()'}"
        return signed(part), "down" if part > 0 else "up", position, word, use.how(at), where

    def __repr__(self) -> str:
        return "\n".join([*self.sentences(), text_table(self.rows(), "  ")]).rstrip()

    def _repr_html_(self) -> str:
        head = ("part", "push", "position", "token", "factors", "call")
        first, *rest = self.sentences()
        return f"<div>{heading(first)}{html_table([[text] for text in rest])}{html_table(self.rows(), head)}</div>"


def why(parameter: Any, index: Any, loss: Any, *, tokens: Any = None) -> Why:
    """Split the gradient of parameter[index] into the contributions of each (batch, position).

    loss: a Tensor that was computed inside of `with tinytensor.trace() as t:` while t is kept; its backward runs here if it
    has not run, and changes no .grad. Or t itself, if the backward ran inside of it; then the parameter may be a name.
    tokens: the text of each position, (B, T) or (T,), or a tokenizer, which decodes the ids that the embedding got.

    ValueError, if a primitive used the parameter whose gradient is no sum over positions, or no use is known;
    NotTheGradient, a RuntimeError, if the parts do not add up; IndexError for an index that is not one element.
    """
    if isinstance(parameter, str):
        if not isinstance(loss, Trace):
            raise ValueError(f"a name, {parameter!r}, needs a trace of the model, not {type(loss).__name__}")
        parameter = loss[parameter]
    if not is_tensor(parameter):
        raise TypeError(f"why takes a parameter, or its name, not {type(parameter).__name__}")
    calls, gradient = _played(parameter, loss)
    at = one_place(index, parameter.array.shape, "the parameter")
    uses = [*_uses(parameter.array, parameter, at, calls)]
    if not uses:
        raise ValueError("no watched call below the loss used this parameter; compute the loss inside of a trace")
    for use in uses:
        _compare(float(use.parts.sum()), use.gradient, [use], f"{use.call!r}")
    total, found = float(sum(use.parts.sum() for use in uses)), float(sum(use.gradient for use in uses))
    if gradient is not None:
        _compare(total, float(gradient[at]), uses, "the whole graph; was some of it computed outside of the trace?")
    name = next((n[id(parameter.array)] for n in map(parameter_names, calls) if id(parameter.array) in n), "parameter")
    return Why(name, at, tuple(uses), total, found, _words(tokens, uses, calls))


# ------------------------------------------------------------------------------------------ the backward


def _played(parameter: TensorBase, loss: Any) -> tuple[list[Call], Array | None]:
    """The calls below the loss, whose backwards have run; and the whole gradient, if they ran here."""
    if isinstance(loss, Trace):
        if not any(call.gradients is not None for call in loss.calls):
            raise ValueError("no backward has run inside of this trace: run it there, or pass the loss")
        return loss.calls, None
    if not is_tensor(loss):
        raise TypeError(f"why takes a loss or a trace, not {type(loss).__name__}")
    if loss._node is not None and loss._node._call().saved is not None:
        calls = [*_below(loss._node)]
        with observed(Observer()):  # so that each backward is told to its call
            (found,) = grad(loss, parameter, retain_graph=True, allow_unused=True)  # type: ignore[arg-type]
        return calls, None if found is None else to_device(found.array, "cpu").astype(np.float64)
    call = call_of_node(loss._node) or call_of(loss)
    if call is None:
        raise ValueError("the loss was not watched: compute it inside of `with tinytensor.trace() as t:`, and keep t")
    return [*_made_from(call)], None


def _below(root: Node) -> Iterator[Call]:
    """The calls of a node and of all below it."""
    stack, seen = [root], {root}
    while stack:
        node = stack.pop()
        if not node.is_output() and (call := call_of_node(node)) is not None:
            yield call
        new = [edge for edge in node.inputs if isinstance(edge, Node) and edge not in seen]
        seen.update(new)
        stack += new


def _made_from(root: Call) -> Iterator[Call]:
    """A call, and all those that computed its inputs."""
    stack, seen = [root], {root}
    while stack:
        call = stack.pop()
        yield call
        new = {m for i in range(len(call.inputs)) if (m := maker(call, i)) is not None} - seen
        seen |= new
        stack += new


# --------------------------------------------------------------------------------------------- the uses


def _uses(array: Array, source: Any, at: tuple[int, ...], calls: list[Call]) -> Iterator[Use]:
    """The uses of an array by calls whose backwards have run. source: the parameter, or the call that computed it."""
    for call in calls:
        for i, x in enumerate(call.inputs):
            ours = call.sources[i] is source if call.sources and call.sources[i] is not None else x is array
            if not ours or not call.needs[i] or call.gradients is None or call.gradients[i] is None:
                continue
            move, rule = MOVES.get(call.primitive.name), RULES.get((call.primitive.name, i))
            if move is not None:
                yield from _uses(call.output, call, move(call, at), calls)
                continue
            if rule is None:
                raise ValueError(
                    f"{call!r} uses the parameter as input {i}, and its gradient is no sum over positions; known: {_known()}"
                )
            if not call.is_intact():
                raise ValueError(
                    f"an array of {call!r} was overwritten in place since: ask before the optimizer's step"
                )
            dy, factor = rule(call, _host(call.dy), at)
            factor = None if factor is None else factor.astype(np.float64)
            dy = dy.astype(np.float64)
            gradient = float(_host(call.gradients[i])[at])
            yield Use(call, dy if factor is None else dy * factor, gradient, dy, factor)


def _compare(total: float, gradient: float, uses: Sequence[Use], where: str) -> None:
    """NotTheGradient unless they differ by rounding alone: by that of the terms that are added one by one."""
    terms = sum(use.parts.size for use in uses)
    size = float(sum(np.abs(use.parts).sum() for use in uses))
    own = max(_eps(use.call) for use in uses)
    wide = min(own, float(np.finfo(np.float32).eps))  # float16 adds up in float32
    limit = (min(terms, BLOCK) + 8) * wide * size + own * abs(gradient)
    if own > wide:
        limit += float(np.finfo(np.float16).smallest_subnormal)
    if not abs(total - gradient) <= limit:
        raise NotTheGradient(
            f"the parts add up to {total:.9g}, the gradient is {gradient:.9g}: they differ by {abs(total - gradient):.3g},"
            f" and rounding explains {limit:.3g}; in {where}"
        )


def _eps(call: Call) -> float:
    """The rounding of the products of a call."""
    on_gpu = not isinstance(call.outputs[0], np.ndarray)
    tf32 = on_gpu and call.outputs[0].dtype == np.float32 and get_float32_matmul_precision() != "highest"
    return 2.0**-11 if tf32 else float(np.finfo(call.outputs[0].dtype).eps)


def _host(x: Any) -> Array:
    return to_device(as_array(x), "cpu")


# ------------------------------------------- a rule: dy of each position, and what it is multiplied by (None: 1)


def _along(x: Array, at: tuple[int, ...]) -> Array:
    """x at these indices of its last dimensions, for all of the others."""
    return x[(slice(None),) * (x.ndim - len(at)) + at]


def _linear_weight(call: Call, dy: Array, at: tuple[int, ...]) -> tuple[Array, Array | None]:
    x = _host(call.inputs[0])
    return _along(dy, at[:-1]), x[..., at[-1]]


def _matmul_weight(call: Call, dy: Array, at: tuple[int, ...]) -> tuple[Array, Array | None]:
    a = _host(call.inputs[0])
    if len(at) != 2:
        raise ValueError(f"{call!r} uses the parameter as {len(at)}-dimensional second factor; known is (K, N)")
    return dy[..., at[1]], a[..., at[0]]


def _embedding(call: Call, dy: Array, at: tuple[int, ...]) -> tuple[Array, Array | None]:
    ids = _host(call.static["ids"])
    return np.where(ids == at[0], dy[..., at[1]], 0), None


def _norm_weight(call: Call, dy: Array, at: tuple[int, ...]) -> tuple[Array, Array | None]:
    x = _host(call.inputs[0])
    wide = x.astype(np.float32) if x.dtype == np.float16 else x
    n, eps = call.static["n"], call.static["eps"]
    xhat = thread.mode.run(lambda: layer_norm_forward(wide, None, None, n=n, eps=eps)[0])  # as the backward has it
    return _along(dy, at), _along(xhat, at)


def _norm_bias(call: Call, dy: Array, at: tuple[int, ...]) -> tuple[Array, Array | None]:
    return _along(dy, at), None


def _broadcast(sign: float, other: int | None = None) -> Any:
    """The rule of add, sub and mul: the dimensions along which the parameter is repeated are the positions."""

    def rule(call: Call, dy: Array, at: tuple[int, ...], position: int) -> tuple[Array, Array | None]:
        shape = _host(call.inputs[position]).shape
        extra = dy.ndim - len(shape)
        place = (slice(None),) * extra + tuple(
            slice(None) if n == 1 and dy.shape[extra + d] != 1 else i for d, (n, i) in enumerate(zip(shape, at))
        )
        factor = None if other is None else np.broadcast_to(_host(call.inputs[other]), dy.shape)[place]
        return np.asarray(sign * dy[place]), factor

    return rule


def _at(position: int, rule: Any) -> Callable[[Call, Array, tuple[int, ...]], tuple[Array, Array | None]]:
    return lambda call, dy, at: rule(call, dy, at, position)


RULES: dict[tuple[str, int], Callable[[Call, Array, tuple[int, ...]], tuple[Array, Array | None]]] = {
    ("linear", 1): _linear_weight, ("linear", 2): _at(2, _broadcast(1.0)), ("matmul", 1): _matmul_weight,
    ("embedding", 0): _embedding, ("layer_norm", 1): _norm_weight, ("layer_norm", 2): _norm_bias,
    ("add", 0): _at(0, _broadcast(1.0)), ("add", 1): _at(1, _broadcast(1.0)),
    ("sub", 0): _at(0, _broadcast(1.0)), ("sub", 1): _at(1, _broadcast(-1.0)),
    ("mul", 0): _at(0, _broadcast(1.0, 1)), ("mul", 1): _at(1, _broadcast(1.0, 0)),
}  # fmt: skip


def _known() -> str:
    """The primitives and their inputs whose gradients are such sums."""
    pairs = sorted([*RULES, *((name, 0) for name in MOVES)])
    return ", ".join(f"{name} (input {i})" for name, i in pairs)


def _permuted(call: Call, at: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(at[axis] for axis in call.static["axes"])


def _reshaped(call: Call, at: tuple[int, ...]) -> tuple[int, ...]:
    flat = np.ravel_multi_index(at, call.inputs[0].shape) if at else 0  # type: ignore[union-attr]
    return tuple(map(int, np.unravel_index(flat, call.output.shape)))


MOVES: dict[str, Callable[[Call, tuple[int, ...]], tuple[int, ...]]] = {
    "permute": _permuted, "reshape": _reshaped, "cast": lambda _, at: at, "copy": lambda _, at: at,
}  # fmt: skip


# -------------------------------------------------------------------------------------------- the tokens


def _words(tokens: Any, uses: Sequence[Use], calls: Iterable[Call]) -> Array | None:
    """The text of each position in the shape of the parts. ValueError if there are more or fewer."""
    if tokens is None:
        return None
    shape = max((use.parts.shape for use in uses), key=len)
    if hasattr(tokens, "decode") and not isinstance(tokens, (str, bytes)):
        ids = [_host(c.static["ids"]) for c in calls if c.primitive.name == "embedding"]
        fitting = [x for x in ids if x.shape == shape]
        if not fitting:
            raise ValueError(f"no embedding of the trace got ids of {shape}: pass the tokens themselves")
        texts = [tokens.decode([int(i)]) for i in fitting[0].reshape(-1)]
    else:
        texts = [*tokens]
        if len(texts) != np.prod(shape):
            texts = [text for row in tokens for text in row]
    if len(texts) != np.prod(shape):
        raise ValueError(f"there are {len(texts)} tokens for positions of shape {shape}")
    words = np.empty(len(texts), object)
    words[:] = texts
    return words.reshape(shape)
