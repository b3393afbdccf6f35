"""One element of a result: which numbers entered it, and how much each of them counts, the largest first.

linear, matmul and mul have the products themselves, cross entropy its rows. For all others the parts are first-order: the
backward of the pair, in float64, with dy = 1 at this element and 0 elsewhere, returns ∂y/∂xⱼ for each input element; a part
is ∂y/∂xⱼ · xⱼ. Where the function is linear (add, sum, permute, embedding …), the parts add up to the element.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tinytensor.backend import Array, as_array
from tinytensor.devices import to_device
from tinytensor.inside.check import argument, in_float64
from tinytensor.inside.show import heading, html_table, number, place, signed, text_table
from tinytensor.inside.watch import Call
from tinytensor.modes import thread

SHOWN = 12  # parts that are listed; the others are added up


class Part(NamedTuple):
    """A number that entered: what it is, what it contributes, and how that is computed."""

    what: str
    contribution: float
    how: str


class Parts(NamedTuple):
    """All parts: their contributions, and how to describe one of them."""

    contributions: Array
    describe: Callable[[int], tuple[str, str]]  # what and how of a part, by its number
    adds_up: bool  # whether they add up to the element
    notes: tuple[str, ...] = ()


@dataclass
class Element:
    """One element of a result. parts: the largest contributions; rest and others: the sum and the number of all others."""

    name: str
    value: float
    formula: str
    parts: list[Part]
    rest: float
    others: int
    adds_up: bool
    notes: tuple[str, ...]

    def rows(self) -> list[tuple[str, str, str]]:
        """The parts as text: contribution, what, how."""
        rows = [(signed(p.contribution), p.what, p.how) for p in self.parts]
        return rows + ([(signed(self.rest), f"{self.others} others", "")] if self.others else [])

    def explained(self) -> str:
        """What the contributions are."""
        if not self.parts:
            return "nothing moves it: no derivative is other than 0"
        return "these add up to it" if self.adds_up else "∂y/∂x · x, first-order: they need not add up"

    def __repr__(self) -> str:
        lines = [f"{self.name} = {number(self.value, 7)}    {self.formula}", *(f"  {note}" for note in self.notes)]
        lines.append(f"  {self.explained()}{':' if self.parts else ''}")
        return "\n".join([*lines, text_table(self.rows(), "    ")]).rstrip()

    def _repr_html_(self) -> str:
        notes = [[note] for note in [*self.notes, self.explained()]]
        table = html_table(self.rows(), ("contribution", "of", "how"))
        return f"<div>{heading(f'{self.name} = {number(self.value, 7)}    {self.formula}')}{html_table(notes)}{table}</div>"


def explain_element(call: Call, which: int, index: Any) -> Element:
    """Which numbers entered outputs[which][index]; IndexError unless the index is one whole number for each dimension."""
    output = to_device(call.outputs[which], "cpu")
    at = one_place(index, output.shape, call.primitive.name)
    inputs = [None if x is None else to_device(x, "cpu") for x in call.inputs]
    rule = RULES.get(call.primitive.name)
    parts = (rule(call, inputs, at) if rule else None) or _first_order(call, which, at)
    notes = parts.notes
    if not call.is_intact():
        notes += ("an array of this call was overwritten in place since: the inputs may be newer than the value",)
    order = np.argsort(-np.abs(np.nan_to_num(parts.contributions)), kind="stable")
    order = order[parts.contributions[order] != 0]
    shown, others = order[:SHOWN], order[SHOWN:]
    described = [(parts.describe(int(k)), float(parts.contributions[k])) for k in shown]
    return Element(
        f"{f'{call.path}: ' if call.path else ''}{call.primitive.name}{place(at)}", float(output[at]), call.primitive.formula,
        [Part(what, contribution, how) for (what, how), contribution in described],
        float(parts.contributions[others].sum()), len(others), parts.adds_up, notes,
    )  # fmt: skip


def one_place(index: Any, shape: tuple[int, ...], name: str) -> tuple[int, ...]:
    """The index of one element, with numbers from 0 on."""
    index = index if isinstance(index, tuple) else (index,)
    try:
        numbers = [operator.index(i) for i in index]
    except TypeError:
        raise IndexError(f"{name}: an element has a whole number for each dimension, not {index!r}") from None
    if len(numbers) != len(shape):
        raise IndexError(f"{name}: an element of {shape} has {len(shape)} indices, not {len(numbers)}: {index!r}")
    for d, (i, n) in enumerate(zip(numbers, shape)):
        if not -n <= i < n:
            raise IndexError(f"{name}: index {i} is out of range for dimension {d} of size {n}")
    return tuple(i % n for i, n in zip(numbers, shape))


# ---------------------------------------------------------------------------------------------- by derivative


def _derivatives(call: Call, which: int, at: tuple[int, ...]) -> tuple[float, list[Any], list[Any]]:
    """The element in float64, the inputs, and its derivatives: by the backward with 1 there and 0 elsewhere."""
    forward, backward, inputs, static = in_float64(call)

    def play() -> tuple[float, Any]:
        output, saved = forward(*inputs, **static)
        outputs = [as_array(y) for y in (output if isinstance(output, tuple) else (output,))]
        value = float(outputs[which][at])  # before the backward, which may write into what was saved
        dy = [np.zeros_like(y) for y in outputs]
        dy[which][at] = 1
        return value, backward(dy if isinstance(output, tuple) else dy[0], *saved)

    value, gradients = thread.mode.run(play)
    host = [None if x is None else to_device(x, "cpu") for x in inputs]
    return value, host, [None if g is None else to_device(as_array(g), "cpu") for g in gradients]


def _first_order(call: Call, which: int, at: tuple[int, ...]) -> Parts:
    """∂y/∂xⱼ · xⱼ for every element of every input."""
    if call.outputs[which].dtype.kind != "f":
        return Parts(np.zeros(0), lambda _: ("", ""), False)
    y, inputs, gradients = _derivatives(call, which, at)
    known = [i for i, (x, g) in enumerate(zip(inputs, gradients)) if x is not None and g is not None]
    rate = np.concatenate([np.zeros(0), *(gradients[i].astype(np.float64).reshape(-1) for i in known)])
    value = np.concatenate([np.zeros(0), *(inputs[i].astype(np.float64).reshape(-1) for i in known)])
    starts = np.cumsum([0, *(inputs[i].size for i in known)])
    unknown = int(np.isnan(rate).sum())
    rate = np.where(np.isnan(rate), 0.0, rate)
    with np.errstate(invalid="ignore"):  # ∞ · 0
        products = np.multiply(rate, value, out=np.zeros_like(rate), where=rate != 0)
    total, size = float(products.sum()), float(np.abs(products).sum())
    adds_up = total == y or (bool(np.isfinite(size)) and abs(total - y) <= 1e-9 * size)

    def describe(k: int) -> tuple[str, str]:
        n = int(np.searchsorted(starts, k, side="right")) - 1
        where = tuple(map(int, np.unravel_index(k - int(starts[n]), inputs[known[n]].shape)))
        return f"{argument(call, known[n])}{place(where)}", f"{number(value[k])}, ∂y/∂x = {number(rate[k])}"

    notes = (f"{unknown} derivatives are nan, as 0 · ∞ is; they are left out",) if unknown else ()
    note = NOTES.get(call.primitive.name)
    return Parts(products, describe, adds_up, (*notes, *note(call, inputs, at)) if note else notes)


# ------------------------------------------------------------------------------------------------- by products


def _linear(call: Call, inputs: list[Any], at: tuple[int, ...]) -> Parts:
    """y[t, j] = Σ x[t, k]·W[j, k] + b[j]."""
    x, w, b = (a if a is None else a.astype(np.float64) for a in inputs)
    assert x is not None and w is not None
    row, out = (at[:-1], at[-1:]) if w.ndim == 2 else (at, ())
    products = x[row] * w[out]
    bias = np.zeros(0) if b is None else np.reshape(b[out] if b.ndim else b, 1)

    def describe(k: int) -> tuple[str, str]:
        if k == len(products):
            return f"b{place(out)}", ""
        return f"x{place((*row, k))} · w{place((*out, k))}", f"{number(x[row][k])} · {number(w[out][k])}"

    return Parts(np.concatenate([products, bias]), describe, True)


def _matmul(call: Call, inputs: list[Any], at: tuple[int, ...]) -> Parts | None:
    """y[…, i, j] = Σ a[…, i, k]·b[…, k, j]."""
    a, b = (x.astype(np.float64) for x in inputs)
    if a.ndim < 2 or b.ndim < 2:
        return None
    batch, (i, j) = at[:-2], at[-2:]
    left, right = (_within(batch, x.shape[:-2]) for x in (a, b))
    row, column = a[left][i], b[right][:, j]

    def describe(k: int) -> tuple[str, str]:
        return f"a{place((*left, i, k))} · b{place((*right, k, j))}", f"{number(row[k])} · {number(column[k])}"

    return Parts(row * column, describe, True)


def _mul(call: Call, inputs: list[Any], at: tuple[int, ...]) -> Parts:
    a, b = (x.astype(np.float64) for x in inputs)
    left, right = _within(at, a.shape), _within(at, b.shape)

    def describe(_: int) -> tuple[str, str]:
        return f"a{place(left)} · b{place(right)}", f"{number(a[left])} · {number(b[right])}"

    return Parts(np.array([a[left] * b[right]]), describe, True)


def _within(at: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The place in an input of this shape that broadcasts to a place of the result."""
    return tuple(0 if n == 1 else i for i, n in zip(at[len(at) - len(shape) :], shape))


def _cross_entropy(call: Call, inputs: list[Any], at: tuple[int, ...]) -> Parts:
    """The loss of each row: −ln p(target), where p = softmax(x); the mean has 1/N of each."""
    x, target = inputs[0].astype(np.float64), to_device(call.static["target"], "cpu").reshape(-1)
    rows = np.arange(len(x)) if call.static["reduction"] != "none" else np.array(at)
    counted = target != call.static["ignore_index"]
    rows = rows[counted[rows]]
    top = x[rows].max(1, keepdims=True)
    each = (np.log(np.exp(x[rows] - top).sum(1)) + top[:, 0]) - x[rows, target[rows]]
    share = 1 / max(int(counted.sum()), 1) if call.static["reduction"] == "mean" else 1.0

    def describe(k: int) -> tuple[str, str]:
        p = np.exp(-each[k])
        how = f"−ln {number(p)}" + (f" / {round(1 / share)}" if share != 1 else "")
        return f"row {rows[k]}, target {target[rows[k]]}", how

    return Parts(each * share, describe, True)


RULES: dict[str, Callable[[Call, list[Any], tuple[int, ...]], Parts | None]] = {
    "linear": _linear, "matmul": _matmul, "mul": _mul, "cross_entropy": _cross_entropy,
}  # fmt: skip


# ----------------------------------------------------------------------------------------------- in words


def _layer_norm_note(call: Call, inputs: list[Any], at: tuple[int, ...]) -> tuple[str, ...]:
    x, w, b = inputs
    n = call.static["n"]
    flat = int(np.ravel_multi_index(at, x.shape))
    row, k = x.reshape(-1, n)[flat // n], flat % n
    mean, rstd = row.mean(), 1 / np.sqrt(row.var() + call.static["eps"])
    text = f"x̂ = (x − mean) · rstd = ({number(row[k])} − {number(mean)}) · {number(rstd)} = {number((row[k] - mean) * rstd)}"
    scale = "" if w is None else f" · w {number(w.reshape(-1)[k])}"
    shift = "" if b is None else f" + b {number(b.reshape(-1)[k])}"
    return (text, f"y = x̂{scale}{shift}") if scale or shift else (text,)


def _softmax_note(call: Call, inputs: list[Any], at: tuple[int, ...]) -> tuple[str, ...]:
    axis = call.static["axis"] % inputs[0].ndim
    row = inputs[0][tuple(slice(None) if d == axis else i for d, i in enumerate(at))]
    powers = np.exp(row - row.max())
    k = at[axis]
    largest = np.argsort(-powers, kind="stable")[:4]
    others = ", ".join(f"{i}: {number(powers[i] / powers.sum())}" for i in largest)
    return (
        f"e^(x − max) = e^({number(row[k] - row.max())}) = {number(powers[k])}, the sum of all {number(powers.sum())}",
        f"the largest along dimension {axis} are {others}",
    )


def _embedding_note(call: Call, inputs: list[Any], at: tuple[int, ...]) -> tuple[str, ...]:
    ids = to_device(call.static["ids"], "cpu")
    return (f"ids{place(at[:-1])} = {int(ids[at[:-1]])}: a copy of that row of w",)


NOTES: dict[str, Callable[[Call, list[Any], tuple[int, ...]], tuple[str, ...]]] = {
    "layer_norm": _layer_norm_note, "softmax": _softmax_note, "embedding": _embedding_note,
}  # fmt: skip
