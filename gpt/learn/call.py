"""One call of a reader's function, what it must return, and how the two are compared, element by element."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from gpt.learn.exercise import Array, Arrays, Fault
from gpt.learn.reader import Reader

EXACT = 1e-12  # of the largest element: what two right orders of float64 operations differ by, and more
CENTRAL = 1e-7  # and what central differences are off by
SINGLE = 1e-4  # float32
NEAR = 1e-5  # a wrong formula is not so close to the right one; a difference quotient is
SHOWN = 3  # elements of one array that a report shows

Function: TypeAlias = Callable[..., Any]
Cause: TypeAlias = tuple[
    str, str, Array
]  # the result that a usual mistake changes, the mistake, and what it returns then


class Mismatch(Fault):
    """A result that is wrong. `causes` are the mistakes that lead to it: several, where numbers do not tell them apart."""

    def __init__(self, result: str, causes: list[str], *lines: str) -> None:
        super().__init__(*lines)
        self.result, self.causes = result, causes


@dataclass
class Call:
    """A call of a reader's function with these arguments. `right` has what it must return, by name and in order."""

    title: str  # its arguments, as a report shows them
    arguments: tuple[Any, ...]
    right: Arrays
    like: dict[str, str]  # for each result, the argument whose shape it has
    source: str  # where the right numbers are from
    limit: float = EXACT
    causes: Callable[[], Iterator[Cause]] = lambda: iter(())
    finer: Callable[[], Arrays] | None = None  # the same numbers with more digits, where `right` has few
    dtype: Any = np.float64
    first: tuple[str, ...] = ()  # results to be compared before the others, since they lead to them

    def play(self, function: Function) -> Any:
        """Call the reader's function."""
        return function(*self.arguments)

    def examine(self, reader: Reader, function: Function) -> None:
        """Raise Fault unless the function returns what is right, twice the same, and changes nothing that it was given."""
        given = list(arrays_in(self.arguments))
        before = [x.copy() for x in given]
        for x in given:
            x.flags.writeable = False
        found = self.named(reader.call(self.play, function))
        kept = {name: x.copy() for name, x in found.items()}
        again = self.named(reader.call(self.play, function))
        if any(not same(x, y) for x, y in zip(given, before)):
            raise Fault("it changes an array that it was given, and that others still need; make a new one")
        for name, x in kept.items():
            if not same(again[name], x):
                raise Fault(f"{name} differs between two calls with the same arguments: nothing here is random")
        for name in dict.fromkeys((*self.first, *kept)):
            self.compare(name, kept[name], self.right[name], self.limit)
        if self.finer is not None:
            for name, right in self.finer().items():
                self.compare(name, kept[name], right, EXACT)

    def named(self, result: Any) -> Arrays:
        """Return the results by name; Fault if they are not the arrays that were asked for."""
        names = list(self.right)
        if len(names) == 1 and type(result) not in (tuple, list):
            result = (result,)
        asked = names[0] if len(names) == 1 else f"a tuple ({', '.join(names)})"
        if type(result) not in (tuple, list):
            raise Fault(f"it returns {kind(result)}; it has to return {asked}")
        if len(result) != len(names):
            raise Fault(f"it returns {len(result)} results; it has to return {asked}")
        found = {}
        for name, x in zip(names, result):
            if type(x) is not np.ndarray and not (isinstance(x, np.generic) and self.right[name].shape == ()):
                raise Fault(f"{name} is {kind(x)}; it has to be an array of the shape of {self.like[name]}, "
                            f"{shape(self.right[name])}")  # fmt: skip
            if x.dtype.kind not in "biufc":
                raise Fault(f"{name} has dtype {x.dtype}; it must have dtype {np.dtype(self.dtype)}")
            found[name] = np.asarray(x)
        return found

    def compare(self, name: str, found: Array, right: Array, limit: float) -> None:
        """Raise Fault with the worst elements, and the usual mistake that returns these numbers, if one does."""
        if found.dtype.kind not in "fc" or found.shape != right.shape:
            what, ought = f"dtype {found.dtype}", f"dtype {np.dtype(self.dtype)}"
            if found.dtype.kind in "fc":
                what, ought = f"shape {shape(found)}", f"the shape of {self.like[name]}, {shape(right)}"
            raise Mismatch(name, self.usual(name, found), f"{name} has {what}; it must have {ought}")
        if found.dtype != self.dtype:
            raise Fault(f"{name} has dtype {found.dtype}; of {np.dtype(self.dtype)} arrays it must have "
                        f"{np.dtype(self.dtype)}. {PROMOTED}")  # fmt: skip
        error, scale = np.abs(found - right), size(right)
        wrong = ~(error <= limit * scale)  # also nan
        if not wrong.any():
            return
        worst = np.argsort(-np.where(np.isnan(error), np.inf, error), axis=None, kind="stable")[
            : int(min(wrong.sum(), SHOWN))
        ]
        lines = [element(name, found, right, int(i)) for i in worst]
        count = (
            f"{int(wrong.sum())} of {wrong.size} elements of {name} are wrong" if wrong.size > 1 else f"{name} is wrong"
        )
        raise Mismatch(name, self.usual(name, found), f"{count}:", *lines)

    def usual(self, name: str, found: Array) -> list[str]:
        """Return the usual mistakes that lead to what was found."""
        right = self.right[name]
        if found.shape == right.shape and not np.isfinite(found).all():
            return ["a division by 0, or a logarithm of 0"]
        if found.shape == right.shape and np.abs(found - right).max(initial=0) <= NEAR * size(right):
            return [CLOSE]
        tolerance = max(self.limit, CENTRAL) * 10
        with np.errstate(all="ignore"):
            said = [
                text for result, text, wrong in self.causes()
                if result == name and alike(found, wrong, tolerance) and not alike(wrong, right, tolerance)
            ]  # fmt: skip
            return list(dict.fromkeys([*said, *general(name, found, self.right, tolerance)]))


PROMOTED = ("np.zeros or np.eye without a dtype, and numbers of NumPy's, as np.sqrt(2) or keep.sum(), make float64 of it; "
            "float(…) and int(…) make Python's numbers, which do not")  # fmt: skip
CLOSE = ("the formula is almost right: a difference quotient in the place of a derivative, float32 in between, "
         "or a constant with too few digits")  # fmt: skip


def general(name: str, found: Array, right: Arrays, tolerance: float) -> list[str]:
    """Return a mistake that can be told from the numbers alone, whatever the function is."""
    ought = right[name]
    said = ""
    swapped = [other for other, x in right.items() if other != name and x.size and alike(found, x, tolerance)]
    if found.shape != ought.shape:
        if found.size == ought.size and alike(found.reshape(ought.shape), ought, tolerance):
            said = "the numbers are right; reshape them"
        elif found.ndim > 1 and alike(found.swapaxes(-1, -2), ought, tolerance):
            said = "it is transposed"
        elif any(alike(x, ought, tolerance) for x in sums(found, ought.shape)):
            said = "gradients of the uses of an element are not added up: sum over the dimensions that the input lacks"
    elif not found.any():
        said = "it is 0 everywhere"
    elif alike(found, -ought, tolerance):
        said = "the sign is the other way around"
    elif found.ndim > 1 and alike(found.swapaxes(-1, -2), ought, tolerance):
        said = "it is transposed"
    elif found.size > 1 and (factor := proportion(found, ought)) and alike(found, factor * ought, tolerance):
        said = f"every element is {factor:.6g} times what it should be"
    if not said and swapped:
        said = f"this is {swapped[0]}: the results are in another order"
    return [said] if said else []


def proportion(found: Array, right: Array) -> float:
    """The factor that brings `right` closest to `found`; 0 if there is none."""
    square = float((right * right).sum())
    return float((found * right).sum()) / square if square else 0.0


def sums(x: Array, to: tuple[int, ...]) -> Iterator[Array]:
    """x summed over leading dimensions, and over those that `to` has with size 1."""
    if x.ndim >= len(to):
        extra = x.ndim - len(to)
        x = x.sum(tuple(range(extra)))
        axes = tuple(i for i, n in enumerate(to) if n == 1)
        x = x.sum(axes, keepdims=True) if axes else x
        if x.shape == to:
            yield x


def alike(a: Array, b: Array, tolerance: float) -> bool:
    """Whether two arrays have one shape and the same numbers, but for rounding."""
    return a.shape == b.shape and bool((np.abs(a - b) <= tolerance * size(b)).all())


def size(x: Array) -> float:
    """The largest element, to which errors are relative; at least 0.1, since what cancels to 0 consists of rounding."""
    return float(np.abs(x).max(initial=0.1))


def same(a: Array, b: Array) -> bool:
    """Whether two arrays are equal bit for bit, nan included."""
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def arrays_in(value: Any) -> Iterator[Array]:
    """The arrays among arguments, and in tuples and lists of them."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from arrays_in(each)


def element(name: str, found: Array, right: Array, flat: int) -> str:
    """One element as a report shows it: what it is, what it should be, and the difference."""
    at = np.unravel_index(flat, right.shape)
    place = f"{name}[{', '.join(str(int(i)) for i in at)}]" if at else name
    x, y = found[at], right[at]
    return f"    {place} is {x:.9g}; it should be {y:.9g} (off by {x - y:.2g})"


def shape(x: Array) -> str:
    """A shape as a report shows it."""
    return str(tuple(int(n) for n in x.shape))


def kind(x: Any) -> str:
    """What a value is that is no array, in words."""
    if x is None:
        return "None"
    name = type(x).__name__
    if isinstance(x, np.generic):
        return f"a single number, {name}"
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
