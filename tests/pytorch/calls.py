"""Generated calls for every public function: the table that a new public name adds one row to.

A row is a function that draws the arguments of one call: `"unbind": lambda d: d.called(x := d.x(), d.dim(x))`.
It belongs to every home of its name (the module function, the method of Tensor, nn.functional); a row with a full name,
such as "Tensor.where", belongs to that home alone. Arguments are described apart from both libraries: an `Array` becomes
a Tensor of whichever is asked, a `Name` one of its dtypes. tests/pytorch/test_generated.py makes each call twice and compares.

What a row leaves out on purpose has a comment: what is outside the subset, and where PyTorch fails inside.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

FLOATS = ("float64", "float32", "float16")
WHOLE = ("int64", "int32", "bool")
INTS = ("int64", "int32")
ABSENT: Any = object()  # an argument that the call leaves out


@dataclass(frozen=True)
class Array:
    """A Tensor to be: its values with their memory layout, whether it requires grad, and whether it is a leaf."""

    plain: np.ndarray
    grad: bool = False
    leaf: bool = True
    special: bool = False  # nan, inf or limits of the type are among the values: no gradient is compared
    layout: str = "plain"

    def __post_init__(self) -> None:
        assert isinstance(self.plain, np.ndarray), (
            "a number of NumPy's is refused by both libraries: nothing is compared"
        )

    def new(self) -> np.ndarray:
        """The values in memory of their own."""
        return lay_out(self.plain.copy(), self.layout)

    @property
    def values(self) -> np.ndarray:
        return lay_out(self.plain, self.layout)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.plain.shape

    @property
    def ndim(self) -> int:
        return self.plain.ndim

    def __repr__(self) -> str:
        how = f"{self.layout}, grad={self.grad}, leaf={self.leaf}"
        return f"Array({self.values.tolist()}, {self.plain.dtype}, shape={self.shape}, {how})"


class Name(str):
    """A name in the library that is asked: Name("float32") is torch.float32, or tinytensor's."""

    __slots__ = ()


@dataclass(frozen=True)
class Call:
    """The arguments of one call. For a layer, `setup` has those of its constructor."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    setup: tuple[tuple[Any, ...], dict[str, Any]] | None = None


@dataclass(frozen=True)
class Named:
    """Arguments that may be given by position or by name, in PyTorch's order."""

    arguments: dict[str, Any]


@dataclass(frozen=True)
class Row:
    """How to draw a call. random: values are not compared, but lie in `between`. slack: see `close` in the test."""

    draw: Callable[[Draw], Call]
    random: bool = False
    between: Callable[[Call], tuple[float, float]] = lambda call: (-math.inf, math.inf)
    slack: int = 32
    laid_out: bool = True  # whether results lie in memory as PyTorch's, see LAID_OUT_APART


class Draw:
    """What rows draw from."""

    def __init__(self, draw: Callable[[Any], Any]) -> None:
        self._draw = draw

    def of(self, *options: Any) -> Any:
        """One of these; the first are the simplest."""
        return self._draw(st.sampled_from(options))

    def int(self, low: int, high: int) -> int:
        return int(self._draw(st.integers(low, high)))

    def flag(self) -> bool:
        return bool(self._draw(st.booleans()))

    def rarely(self) -> bool:
        """One case in eight: arguments that do not fit."""
        return bool(self._draw(st.integers(0, 7)) == 7)

    def maybe(self, make: Callable[[], Any]) -> Any:
        """An argument that may be left out."""
        return make() if self.flag() else ABSENT

    # ------------------------------------------------------------------------------------ Tensors

    def shape(self, low: int = 0, high: int = 3) -> tuple[int, ...]:
        return tuple(self.of(2, 3, 1, 4, 3, 2, 0) for _ in range(self.int(low, high)))

    def dtype(self, kinds: tuple[str, ...] = (*FLOATS, *WHOLE)) -> str:
        return str(self.of(*kinds))

    def x(
        self,
        shape: tuple[int, ...] | None = None,
        dtypes: tuple[str, ...] = ("float64", *FLOATS, *WHOLE),
        *,
        low: int = 0,
        high: int = 3,
        kinds: tuple[str, ...] = ("plain", "ties", "special", "plain"),
        grad: bool | None = None,
        leaf: bool | None = True,
        plain: bool = False,
    ) -> Array:
        """A Tensor: any shape unless one is given, one of the dtypes, values of one of the kinds, any memory layout."""
        shape = self.shape(low, high) if shape is None else shape
        dtype, kind = self.dtype(dtypes), self.of(*kinds)
        values = fill(np.random.default_rng(self.int(0, 9999)), shape, dtype, kind)
        layout = "plain" if plain else self.of("plain", "plain", "transposed", "strided", "expanded")
        grad = dtype in FLOATS and (self.of(True, False, True) if grad is None else grad)
        return Array(
            values, grad, self.of(False, True, False, False) if leaf is None else leaf, kind == "special", layout
        )

    def fitting(self, x: Array, dtypes: tuple[str, ...] | None = None, **how: Any) -> Array:
        """A Tensor that broadcasts with x; rarely one that does not. Its dtype is often x's."""
        shape = self.broadcastable(x.shape)
        own = x.plain.dtype.name
        return self.beside(x, self.x(shape, dtypes or (own, own, *FLOATS, *WHOLE), **how))

    def beside(self, x: Array, y: Array) -> Array:
        """y. PyTorch takes one integer for a number beside float16: 0 · 2⁶³ is 0 then, and 0 · ∞ for several integers."""
        one = x.plain.dtype == np.float16 and y.plain.dtype.kind == "i" and y.plain.size == 1
        return replace(y, plain=np.asarray(np.clip(y.plain, -7, 7))) if one else y

    def broadcastable(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if self.rarely():
            return self.shape()
        shape = shape[self.int(0, len(shape)) :] if self.flag() else shape
        shape = tuple(self.of(n, 1) for n in shape)
        return (2, *shape) if self.rarely() else shape

    def number(self) -> Any:
        return self.of(2, 0.5, -1.5, 0, 3, -1, 1.0, True, math.inf)

    def exponent(self, x: Array) -> Any:
        """A power for x. Among integers not a negative one, which PyTorch takes from Tensors alone; not bools to bools.

        0.5 is a root there, but not in float16, where −0 and −∞ become 0 and ∞.
        """
        number = self.of(2, 3, 0, 1) if x.plain.dtype.kind == "i" else self.of(2, 3, 0.5, -1, 0, 1, 2.5, -1.5)
        number = 3 if number == 0.5 and x.plain.dtype == np.float16 else number
        if self.flag() or x.special:  # of ±∞ and −0, PyTorch's powers depend on where in memory they stand
            return number
        kind = ("plain", "ties", "special") if x.plain.dtype.kind == "f" else ("positive",)
        return self.fitting(x, (*FLOATS, *INTS), kinds=kind)

    def other(self, x: Array, **how: Any) -> Any:
        """A Tensor or a number to go with x."""
        return self.fitting(x, **how) if self.flag() or self.flag() else self.number()

    def filling(self, x: Array) -> Any:
        """One value to fill x with; rarely a Tensor with a dimension."""
        if self.flag():
            return self.number()
        shape = (1,) if self.rarely() else ()
        if x.plain.dtype.kind == "f":
            return self.x(shape)
        return self.x(shape, grad=False, kinds=("plain", "ties"))  # integers take no gradient and no nan

    def mask(self, x: Array) -> Array:
        return self.fitting(x, ("bool",) if not self.rarely() else WHOLE, grad=False)

    def indices(self, shape: tuple[int, ...], size: int, dtypes: tuple[str, ...] = ("int64",), low: int = 0) -> Array:
        """Integers in [low, size); rarely some outside."""
        rng = np.random.default_rng(self.int(0, 9999))
        bottom, top = (low - 1, size + 1) if self.rarely() else (low, size)
        values = np.asarray(rng.integers(bottom, max(top, bottom + 1), shape))
        return Array(values.astype(self.dtype(dtypes)), layout=self.of("plain", "transposed", "strided"))

    # ------------------------------------------------------------------------------------ other arguments

    def dim(self, x: Array | int) -> int:
        """A dimension, from the front or the back; rarely one that is not there."""
        n = max(x if isinstance(x, int) else x.ndim, 1)
        return self.of(n, -n - 1) if self.rarely() else self.int(-n, n - 1)

    def dims(self, x: Array) -> Any:
        """A dimension, several (in a tuple or a list; rarely one twice), none, or None."""
        n = x.ndim
        kind = self.of("one", "some", "none", "None", "some", "twice")
        if kind == "one" or (n == 0 and kind in ("some", "twice")):
            return self.dim(x)
        if kind in ("none", "None"):
            return self.of((), []) if kind == "none" else None
        if kind == "twice" and self.rarely():
            return (0, self.of(0, -n))
        some = [d - n if self.flag() else d for d in self.permutation(n)[: self.int(1, n)]]
        return tuple(some) if self.flag() else some

    def permutation(self, n: int) -> list[int]:
        return list(self._draw(st.permutations(range(n))))

    def sizes(self, shape: tuple[int, ...], rest: tuple[int, ...] = ()) -> tuple[Any, ...]:
        """The arguments of f(2, 3), f((2, 3)) or f([2, 3])."""
        kind = self.of("numbers", "tuple", "list")
        return shape if kind == "numbers" and shape else (list(shape) if kind == "list" else shape,)

    def new_shape(self, x: Array) -> tuple[int, ...]:
        """A shape with as many elements as x, perhaps with a -1; rarely one that does not fit."""
        count, shape = math.prod(x.shape), []
        if self.rarely():
            return tuple(self.int(-2, 4) for _ in range(self.int(0, 3)))
        while count > 1 and self.flag():
            n = self.of(*[k for k in range(1, count + 1) if count % k == 0])
            shape.append(n)
            count //= n
        shape.append(count)
        if self.flag():
            shape[self.int(0, len(shape) - 1)] = -1
        return tuple(shape)

    def size(self) -> tuple[int, ...]:
        """A shape; rarely a negative one."""
        return (*self.shape(0, 2), -1) if self.rarely() else self.shape()

    def type(self, kinds: tuple[str, ...] = (*FLOATS, *WHOLE)) -> Name:
        return Name(self.dtype(kinds))

    def new(self, kinds: tuple[str, ...] = (*FLOATS, *WHOLE), grad: bool = True) -> dict[str, Any]:
        """The arguments by name of what makes a new Tensor."""
        made = {"dtype": self.maybe(lambda: self.type(kinds)), "device": self.maybe(lambda: self.of("cpu", None))}
        return {**made, "requires_grad": self.maybe(self.flag)} if grad else made

    def called(self, *args: Any, **only: Any) -> Call:
        """A call with these arguments. Those in a `Named` go by position or by name; ABSENT ones are left out."""
        positional: list[Any] = []
        named: dict[str, Any] = {}
        for a in args:
            if not isinstance(a, Named):
                positional.append(a)
                continue
            by_position = self.int(0, len(a.arguments))
            for i, (name, value) in enumerate(a.arguments.items()):
                if value is not ABSENT and i < by_position and not named:
                    positional.append(value)
                elif value is not ABSENT:
                    named[name] = value
                else:
                    by_position = 0
        return Call(tuple(positional), {**named, **{k: v for k, v in only.items() if v is not ABSENT}})


def fill(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, kind: str) -> np.ndarray:
    """Values: plain (no two alike), ties (halves and small integers), positive, unit (in [0, 1)), or special ones."""
    values: Any
    if dtype == "bool":
        values = rng.integers(0, 2, shape)
    elif dtype in INTS:
        limits = np.iinfo(dtype)
        some = [limits.min, limits.max, 0, 1, -1, 7] if kind == "special" else range(-3, 4)
        values = rng.integers(1, 5, shape) if kind == "positive" else rng.choice(np.array(some, dtype), shape)
    elif kind == "special":
        values = rng.choice(np.array([math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.5, 2.5], dtype), shape)
    elif kind == "ties":
        values = rng.integers(-3, 4, shape) / 2
    elif kind == "unit":
        values = rng.random(shape)
    else:
        values = rng.random(shape) * 2 + 0.5 if kind == "positive" else rng.standard_normal(shape) * 1.5
    return np.asarray(values).astype(dtype)


def lay_out(values: np.ndarray, layout: str) -> np.ndarray:
    """The same values otherwise in memory; "expanded" repeats the first along an axis instead, without a copy."""
    if values.ndim and layout == "transposed":
        return np.ascontiguousarray(values.T).T
    if values.ndim and layout == "strided":
        wide = np.zeros((*values.shape[:-1], 2 * values.shape[-1]), values.dtype)
        wide[..., ::2] = values
        return wide[..., ::2]
    if values.size and values.ndim and layout == "expanded":
        return np.lib.stride_tricks.as_strided(values, values.shape, (0, *values.strides[1:]))
    return values


# Whose results lie otherwise in memory than PyTorch's
LAID_OUT_APART = {
    "Tensor.__deepcopy__": "the elements are copied, not the memory between them, which only a view of it would show",
    "einsum": "row-major; PyTorch's depends on the order in which it chose to multiply",
    "Tensor.__getitem__": "of lists and masks row-major, where PyTorch keeps the order of the other dimensions",
    "scaled_dot_product_attention": "as the query, so that heads merge without a copy; PyTorch's depends on its kernel",
}


def rows(table: dict[str, Any]) -> dict[str, Row]:
    full = {name: row if isinstance(row, Row) else Row(row) for name, row in table.items()}
    return {name: replace(row, laid_out=name not in LAID_OUT_APART) for name, row in full.items()}


def strategy(row: Row) -> st.SearchStrategy[Call]:
    """The calls that a row draws."""
    return st.composite(lambda draw: row.draw(Draw(draw)))()


# ------------------------------------------------------------------------------------ elementwise


WRITTEN: dict[str, Any] = {"leaf": None, "kinds": ("plain", "ties")}  # a Tensor that is written in place


def unary(d: Draw, **how: Any) -> Call:
    return d.called(d.x(**how))


def binary(d: Draw) -> Call:
    x = d.x()
    return d.called(x, d.other(x))


def bitwise(d: Draw, **how: Any) -> Call:
    x = d.x((2, 3), grad=False) if d.rarely() else d.x(dtypes=WHOLE, **how)
    return d.called(x, d.other(x, dtypes=WHOLE) if x.plain.dtype.kind != "f" else True)


def reflected(d: Draw) -> Call:
    return d.called(d.x(), d.number())


def reflected_whole(d: Draw) -> Call:
    """A number before a Tensor, both whole: c // x, c & x."""
    return d.called(d.x(dtypes=WHOLE, grad=False, kinds=("plain", "ties")), d.of(2, 3, 1, True, -5))


def shifted(d: Draw, **how: Any) -> Call:
    """By fewer places than an integer has bits: beyond, PyTorch does what its processor does."""
    x = d.x((2, 3), ("float32",), grad=False) if d.rarely() else d.x(dtypes=WHOLE, **how)
    other = d.of(1, 3, 0, 31) if d.flag() else d.fitting(x, ("int64", "int32"), kinds=("positive",))
    return d.called(x, other)


def whole(d: Draw, **how: Any) -> Call:
    x = d.x(grad=False, **how)  # these have no gradient here, and say so
    fit = x.plain.dtype == bool  # bools are refused before shapes are
    return d.called(x, d.x(x.shape, grad=False) if fit else d.other(x, grad=False))


def tensors(d: Draw, **how: Any) -> Call:
    x = d.x(**how)
    return d.called(x, d.fitting(x))


def with_alpha(d: Draw) -> Call:
    x = d.x()
    return d.called(x, d.other(x), alpha=d.maybe(lambda: d.of(2, 0.5, -1)))


def limits(d: Draw, **how: Any) -> Call:
    x = d.x(**how)
    kind = d.of("numbers", "tensors", "numbers")
    shape = tuple(d.of(n, 1) for n in x.shape[d.int(0, x.ndim) :])  # not above x's: PyTorch's backward would fail
    limit = (lambda: d.of(-0.5, 0, 1, None, 1.5, -1)) if kind == "numbers" else lambda: d.of(d.x(shape), None)
    low, high = d.maybe(limit), d.maybe(limit)
    return d.called(x, Named({"min": limit() if low is high is ABSENT and not d.rarely() else low, "max": high}))


def choice(d: Draw) -> Call:
    x = d.x()
    return d.called(d.mask(x), *d.of((x, d.other(x)), (d.number(), x), (d.number(), d.number())))


def powers(d: Draw) -> Call:
    x = d.x()
    return raised(d) if d.rarely() else d.called(x, d.exponent(x))


def raised(d: Draw) -> Call:
    x = d.x(dtypes=(*FLOATS, "int64"), kinds=("positive",)) if d.flag() else d.x(dtypes=FLOATS)
    return d.called(d.of(2, 0.5, -1.5, 0, 3, 1.0), x)


def gelu(d: Draw) -> Call:
    x = d.x(kinds=("plain", "ties"))  # of ±∞ PyTorch makes nan in float32 and not in float64
    return d.called(x, approximate=d.maybe(lambda: d.of("none", "tanh", "none", "tanh", "erf")))


def rounded(d: Draw, **how: Any) -> Call:
    x = d.x(**how)
    places = (0, 1, -1, 2) if x.plain.dtype.kind == "f" else (1, 2)  # among integers PyTorch refuses an explicit 0 too
    return d.called(x, decimals=d.maybe(lambda: d.of(*places)))


def between(d: Draw, **how: Any) -> Call:
    """lerp: all of one dtype, rarely not. Finite: PyTorch goes from the nearer end, so that ∞ makes another nan."""
    finite = ("plain", "ties")
    x = d.x(dtypes=("float64", *FLOATS), **{"kinds": finite, **how})
    own = (x.plain.dtype.name,) * 7 + (d.of(*FLOATS, "int64"),)
    weight = d.x(d.of((), x.shape), own[:1], kinds=finite) if d.flag() else d.of(0.5, 2, 0, -1.5)
    return d.called(x, d.fitting(x, own, kinds=finite), weight)


def with_product(d: Draw, **how: Any) -> Call:
    """addcmul. Among integers PyTorch cuts off the fraction of value, and tinytensor refuses it; bools before shapes."""
    x = d.x(dtypes=(*FLOATS, *INTS), **how)
    values = (2, 0.5, -1) if x.plain.dtype.kind == "f" else (2, -1)
    dtypes = (x.plain.dtype.name,) * 5 + FLOATS if how else None  # in place, another dtype is mostly refused
    a, b = (d.fitting(x, dtypes) for _ in range(2))
    return d.called(x, a, b, value=d.maybe(lambda: d.of(*values)))


def with_quotient(d: Draw, **how: Any) -> Call:
    """addcdiv: of one dtype, for PyTorch's backward fails of a float by an integer."""
    x = d.x(dtypes=(*FLOATS, "float64", "float32", "int64"), **how)
    a, b = (d.fitting(x, (x.plain.dtype.name,), kinds=("positive", "special")) for _ in range(2))
    return d.called(x, a, b, value=d.maybe(lambda: d.of(2, 0.5, -1)))


POINTWISE = {
    **dict.fromkeys(["log1p", "expm1", "erf", "reciprocal", "sign", "floor", "ceil", "trunc"], unary),
    "round": rounded,
    "lerp": between,
    "addcmul": with_product,
    "addcdiv": with_quotient,
    **dict.fromkeys(["exp", "log", "log2", "log10", "sqrt", "rsqrt", "square", "sin", "cos", "tanh", "sigmoid"], unary),
    **dict.fromkeys(["relu", "abs", "neg", "positive", "isfinite", "isinf", "isnan", "logical_not", "silu"], unary),
    **dict.fromkeys(["Tensor.__abs__", "Tensor.__neg__", "Tensor.__pos__"], unary),
    "Tensor.__invert__": lambda d: d.called(d.x(dtypes=(*WHOLE, *WHOLE, "float32"))),
    **dict.fromkeys(["mul", "div", "eq", "ne", "lt", "le", "gt", "ge"], binary),
    **dict.fromkeys(["floor_divide", "remainder", "Tensor.__floordiv__", "Tensor.__mod__"], whole),
    **dict.fromkeys(["maximum", "minimum", "logical_and", "logical_or", "logical_xor"], tensors),
    **dict.fromkeys(["add", "sub"], with_alpha),
    **dict.fromkeys([f"Tensor.__{n}__" for n in ("add", "sub", "mul", "truediv")], binary),
    **dict.fromkeys([f"Tensor.__{n}__" for n in ("eq", "ne", "lt", "le", "gt", "ge")], binary),
    **dict.fromkeys([f"Tensor.__{n}__" for n in ("and", "or", "xor")], bitwise),
    **dict.fromkeys([f"bitwise_{n}" for n in ("and", "or", "xor")], bitwise),
    **dict.fromkeys([f"Tensor.__{n}__" for n in ("lshift", "rshift")], shifted),
    **dict.fromkeys([f"bitwise_{n}_shift" for n in ("left", "right")], shifted),
    **dict.fromkeys([f"Tensor.__r{n}__" for n in ("floordiv", "mod", "and", "or", "xor")], reflected_whole),
    **dict.fromkeys(
        [f"Tensor.__r{n}__" for n in ("lshift", "rshift")],
        lambda d: d.called(d.x(dtypes=INTS, kinds=("positive",)), d.of(2, 1, -5, True)),
    ),
    "bitwise_not": lambda d: d.called(d.x(dtypes=(*WHOLE, *WHOLE, "float32"))),
    **dict.fromkeys([f"Tensor.__r{n}__" for n in ("add", "sub", "mul", "truediv")], reflected),
    "torch.pow": powers,
    **dict.fromkeys(["Tensor.pow", "Tensor.__pow__"], lambda d: d.called(x := d.x(), d.exponent(x))),
    "Tensor.__rpow__": lambda d: Call(tuple(reversed(raised(d).args)), {}),
    **dict.fromkeys(["clamp"], limits),
    "torch.where": choice,
    "Tensor.where": lambda d: d.called(x := d.x(), d.mask(x), d.other(x)),
    "masked_fill": lambda d: d.called(x := d.x(), d.mask(x), d.filling(x)),
    "gelu": gelu,
}


# ------------------------------------------------------------------------------------------ reductions


def reduction(d: Draw, **how: Any) -> Call:
    x = d.x(**how)
    dim = d.maybe(lambda: d.dims(x))
    keep = d.maybe(d.flag) if dim is not ABSENT else ABSENT
    return d.called(x, Named({"dim": dim, "keepdim": keep}))


def with_dtype(d: Draw) -> Call:
    call = reduction(d)
    kinds = (
        FLOATS if call.args[0].grad else (*FLOATS, *WHOLE)
    )  # the gradient of a sum in integers is an error of its own kind
    dtype = d.maybe(lambda: d.of(None, d.type(kinds)))
    return call if dtype is ABSENT else Call(call.args, {**call.kwargs, "dtype": dtype})


def spread(d: Draw) -> Call:
    x = d.x(dtypes=(*FLOATS, "float64", "int64"))
    dim, keep = d.maybe(lambda: d.dims(x) or None), d.maybe(d.flag)  # with dim=() PyTorch's gradient is infinite
    if d.flag():
        return d.called(x, dim=dim, correction=d.maybe(lambda: d.of(0, 1, *([] if x.grad else [2, 1.5]))), keepdim=keep)
    if dim is ABSENT:
        return d.called(x, Named({"unbiased": d.maybe(d.flag)}))
    return d.called(x, Named({"dim": dim, "unbiased": d.maybe(d.flag), "keepdim": keep}))


def extreme(d: Draw) -> Call:
    x = d.x()
    if d.flag():
        return d.called(x)
    return d.called(x, Named({"dim": d.dim(x), "keepdim": d.maybe(d.flag)}))


def extreme_or_pair(d: Draw) -> Call:
    return tensors(d) if d.rarely() else extreme(d)


def normalised(d: Draw) -> Call:
    x = d.x((2, 3), ("int64",)) if d.rarely() else d.x(dtypes=(*FLOATS, "float64", "float64"))
    return d.called(x, Named({"dim": d.dim(x)}), dtype=d.maybe(lambda: d.of(None, d.type(FLOATS))))


def norms(d: Draw) -> Call:
    x = d.x(dtypes=(*FLOATS, "float64", "int64"))
    p = d.maybe(lambda: d.of(2, 1, 3, math.inf, "fro", 2.5, 2.0))
    dim = d.maybe(lambda: d.dims(x))
    return d.called(x, Named({"p": p, "dim": dim, "keepdim": d.maybe(d.flag) if dim is not ABSENT else ABSENT}))


def close_pair(d: Draw) -> Call:
    x = d.x()
    other = d.of(x, Array(np.asarray(x.values + 0), x.grad), d.fitting(x))
    loose = {"rtol": d.maybe(lambda: d.of(1e-5, 0.1)), "atol": d.maybe(lambda: d.of(1e-8, 0.5))}
    return d.called(x, other, Named({**loose, "equal_nan": d.maybe(d.flag)}))


def products(d: Draw) -> Call:
    x = d.x(kinds=("plain", "ties", "plain"))
    return d.called(x) if d.flag() else d.called(x, Named({"dim": d.dim(x), "keepdim": d.maybe(d.flag)}))


def log_sum(d: Draw) -> Call:
    x, keep = d.x(), d.maybe(d.flag)
    dim = d.dims(x)
    return d.called(x, Named({"dim": 0 if dim in ((), []) else dim, "keepdim": keep}))  # dim=() fails inside PyTorch


REDUCTIONS = {
    "sum": with_dtype,
    "mean": with_dtype,
    "var": spread,
    "std": spread,
    "norm": norms,
    "prod": products,
    **dict.fromkeys(["amax", "amin"], lambda d: reduction(d, kinds=("ties", "plain", "ties", "special"))),
    **dict.fromkeys(["all", "any"], reduction),
    **dict.fromkeys(["max", "min"], extreme_or_pair),
    **dict.fromkeys(["argmax", "argmin"], extreme),
    "cumsum": lambda d: d.called(x := d.x(), Named({"dim": d.dim(x)})),
    "logsumexp": log_sum,
    **dict.fromkeys(["softmax", "log_softmax"], normalised),
    "allclose": close_pair,
    "equal": lambda d: d.called(x := d.x(), d.of(x, d.fitting(x))),
}


# ------------------------------------------------------------------------------------------ positions


def picks(d: Draw) -> Call:
    x = d.x()
    dim = d.dim(x)
    at = list(x.shape)
    if at:
        inside = dim % len(at)
        at = [d.int(0, 3) if i == inside else d.int(0, n) for i, n in enumerate(at)]
    shape = (2, 1, 1, 1) if d.rarely() else tuple(at)
    size = x.shape[dim] if -x.ndim <= dim < x.ndim else 1
    kinds = ("int64", "int64", "int64", "int32", "float32" if 0 not in shape else "int64")
    return d.called(x, Named({"dim": dim, "index": d.indices(shape, size, kinds)}))


def largest(d: Draw) -> Call:
    x = d.x(kinds=("plain",), dtypes=(*FLOATS, "int64"))  # equal values: which of them is PyTorch's own business
    if x.plain.dtype.kind == "i" or len(np.unique(x.values)) < x.values.size:
        x = Array(np.random.default_rng(0).permutation(x.plain.size).reshape(x.shape).astype(x.plain.dtype), x.grad)
    dim = d.maybe(lambda: d.dim(x))
    n = x.shape[dim if dim is not ABSENT and -x.ndim <= dim < x.ndim else -1] if x.ndim else 1
    k = d.int(-1, n + 1) if d.rarely() else d.int(0, n)
    return d.called(x, Named({"k": k, "dim": dim, "largest": d.maybe(d.flag)}), sorted=d.of(ABSENT, True))


def ordered(d: Draw) -> Call:
    x = d.x()
    dim = d.maybe(lambda: d.dim(x))
    return d.called(x, dim=dim, descending=d.maybe(d.flag), stable=True)


def position(d: Draw, x: Array) -> Any:
    """An index of x: numbers, slices, None, `...`, lists, Tensors of integers and bools; rarely outside."""
    parts: list[Any] = []
    axis, arrays = 0, d.of((), (1,), (2,), (1, 2, 3))
    ellipsis = d.int(0, x.ndim) if d.rarely() else None
    while axis < x.ndim and (d.flag() or d.flag()):
        n = x.shape[axis]
        if ellipsis == axis and Ellipsis not in parts:
            parts.append(Ellipsis)
        kind = d.of("slice", "number", "slice", "array", "list", "None", "mask")
        if kind == "number":
            parts.append(d.int(-n - 1, n) if d.rarely() else d.int(-n, max(n - 1, -n)))
        elif kind == "None":
            parts.append(None)
            continue
        elif kind == "slice" or not arrays:
            start, stop = (d.of(None, 0, 1, -1, 5, -5, 2) for _ in range(2))
            parts.append(slice(start, stop, d.of(None, 1, 2, 3)))
        elif kind == "mask":
            parts.append(d.x((n + d.rarely(),), ("bool",)))
        elif kind == "list":
            parts.append([d.int(-n, max(n - 1, -n)) for _ in range(d.int(0, 3))])
        else:
            parts.append(d.indices(d.of((2,), (1,), (), (2, 1), (2, 2), (0,)), n, ("int64", "int64", "int32"), -n))
        axis += 1
    if d.rarely():
        parts.append(d.int(-2, 1))
    return parts[0] if len(parts) == 1 and d.flag() else tuple(parts)


def read(d: Draw) -> Call:
    x = d.x(low=1)
    if d.rarely():
        return d.called(x, d.x(x.shape[: d.int(1, x.ndim)], ("bool",)))
    return d.called(x, position(d, x) if x.plain.size else ...)  # of nothing, PyTorch reads at any place


def written(d: Draw) -> Call:
    """x[at] = value. One mistake at a time: which of two PyTorch sees first is its own business."""
    x = d.x(low=1, leaf=None, kinds=("plain", "ties"))
    at = d.x(x.shape[: d.int(1, x.ndim)], ("bool",)) if d.rarely() else position(d, x)
    at = ... if x.grad and x.leaf else at
    slices = all(isinstance(i, (int, slice, type(...), type(None))) for i in (at if isinstance(at, tuple) else (at,)))
    dtypes = (x.plain.dtype.name, *FLOATS, *WHOLE) if slices else (x.plain.dtype.name,)
    if x.plain.dtype.kind == "f" and not slices and isinstance(at, tuple):
        at = tuple(
            slice(None) if isinstance(i, int) else i for i in at
        )  # numbers beside lists: no gradient in the subset
    if x.shape[0] and not x.grad and d.rarely():
        at, dtypes = [0], (*FLOATS, *WHOLE)
    grad = None if x.plain.dtype.kind == "f" else False
    return d.called(x, at, d.of(d.number(), d.x(d.of((), (1,), (3,), (2, 3), (2,)), dtypes, grad=grad)))


def placed(d: Draw, *, numbers: bool, twice: bool, **how: Any) -> Call:
    """scatter: no place twice, for which of two values stays is PyTorch's own business; scatter_add: any."""
    x = d.x(**how)
    if not x.ndim:  # a vector of one element, and so are an index and a source of 0 dimensions
        index = d.indices(d.of((), (1,)), 1)
        src = d.number() if numbers and d.flag() else d.x(index.shape, (x.plain.dtype.name,), **{**how, "leaf": True})
        return d.called(x, Named({"dim": d.dim(x), "index": index, "src" if isinstance(src, Array) else "value": src}))
    dim = d.dim(x)
    axis = dim % x.ndim
    at = tuple(d.int(0, n) for n in x.shape)
    shape = (*at[:axis], d.int(0, 3), *at[axis + 1 :]) if twice else at
    kinds = ("int64",) * 7 + ("int64" if 0 in shape else "int32",)  # of nothing, PyTorch takes any
    index = d.indices(shape, x.shape[axis], kinds)
    if not twice:
        values = np.argsort(np.random.default_rng(d.int(0, 99)).random(x.shape), axis)[tuple(slice(n) for n in at)]
        index = Array(values.astype(index.plain.dtype))
    source, own = tuple(n + d.of(0, 0, 1) for n in index.shape), (x.plain.dtype.name,)
    if d.rarely() and 0 not in index.shape:
        source, own = d.of((source, (*FLOATS, "int64")), (tuple(n - 1 for n in source), own))
    grad = None if source == index.shape else False  # PyTorch's backward fails with a larger src
    number = (
        2 if 0 in index.shape else d.number()
    )  # ∞ among integers is an error, but not in PyTorch if it goes nowhere
    src = number if numbers and d.flag() else d.x(source, own, **{**how, "leaf": True}, grad=grad)
    return d.called(x, Named({"dim": dim, "index": index, "src" if isinstance(src, Array) else "value": src}))


def slices(d: Draw, x: Array, twice: bool = True) -> tuple[int, Array, tuple[int, ...]]:
    """A dimension, a vector of indices along it (each at most once unless twice), and the shape of what it names."""
    dim = d.dim(x)
    axis = dim % max(x.ndim, 1)
    n = x.shape[axis] if x.ndim else 1
    kinds = ("int64", "int64", "int32") if twice else ("int64",)
    count = d.int(0, 3 if twice else 1) if n and x.plain.size else 0  # of nothing: unchecked there
    shape = (count,) if x.ndim else d.of((1,), ())  # of a 0-d Tensor PyTorch mostly takes one slice alone
    index = d.indices(shape, n, kinds)
    if not twice and n and d.flag():
        index = Array(np.arange(n)[:: d.of(1, -1)].copy())
    return dim, index, (*x.shape[:axis], index.plain.size, *x.shape[axis + 1 :]) if x.ndim else ()


def selected(d: Draw) -> Call:
    x = d.x()
    dim, index, _ = slices(d, x)
    return d.called(x, Named({"dim": dim, "index": index}))


def with_source(d: Draw, twice: bool = True, **how: Any) -> Call:
    x = d.x(**how)
    dim, index, shape = slices(d, x, twice)
    source = d.x(d.shape(1) if d.rarely() else shape, (x.plain.dtype.name,), **how)
    alpha = d.maybe(lambda: d.of(2, -1)) if twice else ABSENT
    return d.called(x, Named({"dim": dim, "index": index, "source": source}), alpha=alpha)


def filled_slices(d: Draw, **how: Any) -> Call:
    x = d.x(**how)
    dim, index, _ = slices(d, x)
    index = Array(np.asarray(np.abs(index.plain)))  # PyTorch takes negative ones, and its backward fails then
    return d.called(x, dim, index, d.filling(x) if x.plain.dtype.kind == "f" else d.of(2, True, 0))


def masked(d: Draw) -> Call:
    x = d.x()
    return d.called(x, d.mask(x))


def counted_numbers(d: Draw) -> Call:
    x = d.indices(
        d.shape(0, 2) if d.rarely() else d.shape(1, 1), 4, ("int64", "int32", "float32" if d.rarely() else "int64")
    )
    weights = ABSENT if d.flag() else d.x(x.shape, ("float64", "float32", "int64"), grad=False, kinds=("plain", "ties"))
    return d.called(x, Named({"weights": weights, "minlength": d.maybe(lambda: d.of(0, 2, 7))}))


def in_bins(d: Draw) -> Call:
    """An odd number of bins: where all are equal, they lie on the edge in the middle of an even one, give or take ε."""
    x = d.x(dtypes=("float64", "float32"), grad=False, kinds=("plain",), low=1)
    return d.called(x, d.of(5, 1, 7), density=d.maybe(d.flag))


POSITIONS = {
    "scatter": lambda d: placed(d, numbers=True, twice=False),
    "scatter_add": lambda d: placed(d, numbers=False, twice=True),
    "index_select": selected,
    "index_add": with_source,
    "index_copy": lambda d: with_source(d, twice=False),
    "index_fill": filled_slices,
    "masked_select": masked,
    "nonzero": lambda d: d.called(d.x(), as_tuple=d.maybe(d.flag)),
    "bincount": counted_numbers,
    "histogram": in_bins,
    "argsort": ordered,
    "gather": picks,
    "topk": largest,
    "sort": ordered,
    "unique": lambda d: d.called(d.x(kinds=("plain", "ties"), grad=False)),
    "Tensor.__getitem__": read,
    "Tensor.__setitem__": written,
}


# ------------------------------------------------------------------------------------------ matrices


def matrices(d: Draw) -> Call:
    k, batch = d.of(2, 3, 1, 0), d.shape(0, 2)
    a = d.of((*batch, d.of(2, 1, 3), k), (k,), (d.of(2, 3), k))
    b = d.of((*d.broadcastable(batch), k, d.of(3, 1, 2)), (k,), (k, d.of(2, 3)))
    if d.rarely():
        b = d.shape()
    dtype = d.dtype((*FLOATS, "float64", *INTS))
    other = "float32" if d.rarely() and 0 not in (*a, *b) else dtype  # of nothing, PyTorch takes any
    if d.rarely():
        a, b, dtype, other = (2, 2), (2, 2), "bool", "bool"
    return d.called(d.x(a, (dtype,)), d.x(b, (other,)))


EQUATIONS = [
    "ij,jk->ik",
    "bij,bjk->bik",
    "ij->ji",
    "ij->",
    "ij->i",
    "i,i->",
    "i,j->ij",
    "ij,ij",
    "ij,j",
    "ij , jk -> ik",
]
EQUATIONS += [
    "...ij,...jk->...ik",
    "...i,i->...",
    "bhtd,bhsd->bhts",
    "ij,kj,kl->il",
    "ij",
    "ba",
    "i...->...",
    "...,...->...",
]
WRONG_EQUATIONS = ["ij,jk->iz", "ij,jk", "ij->iji", "i->j", "ijk->i", "ij,jk->ik->i", "i1->i", "ij;j->i", "i,->ii"]


def equations(d: Draw) -> Call:
    equation = d.of(*WRONG_EQUATIONS) if d.rarely() else d.of(*EQUATIONS)
    size = {c: d.of(2, 3, 1) for c in equation if c.isalpha()}
    dtype, operands = d.dtype((*FLOATS, "float64", "int64")), []
    for letters in equation.partition("->")[0].replace(" ", "").split(","):
        shape = tuple(size[c] for c in letters.replace("...", "") if c.isalpha())
        if letters.startswith("..."):
            shape = (*d.broadcastable((2,)), *shape)
        elif letters.endswith("..."):
            shape = (*shape, *d.shape(0, 2))
        operands.append(d.x(d.shape() if d.rarely() and d.flag() else shape, (dtype,)))
    if len(operands) > 2 and any(0 in x.shape for x in operands):  # ∞ times a sum of nothing, if PyTorch sums first
        operands = [replace(x, plain=np.asarray(np.nan_to_num(x.plain, posinf=1, neginf=1))) for x in operands]
    return d.called(equation, *(operands if d.flag() else [operands]))


FACTORS = {"mm": ("nk", "km"), "bmm": ("bnk", "bkm"), "mv": ("nk", "k"), "dot": ("k", "k")}


def factors(d: Draw, name: str) -> tuple[Array, Array]:
    """Two factors, rarely such as do not fit; not with too few dimensions, where PyTorch's baddbmm fails inside."""
    size = {"b": d.of(2, 1, 3), "n": d.of(2, 3, 1, 0), "k": d.of(3, 2, 1), "m": d.of(2, 1, 3)}
    a, b = (tuple(size[c] for c in letters) for letters in FACTORS[name])
    dtype = d.dtype((*FLOATS, "float64", *INTS))
    b = d.shape(len(b)) if d.rarely() else b
    other = "float32" if d.rarely() and 0 not in (*a, *b) else dtype  # of nothing, PyTorch takes any
    return d.x(a, (dtype,)), d.x(b, (other,))


def product_of(name: str) -> Callable[[Draw], Call]:
    return lambda d: d.called(*factors(d, name))


def sum_with_product(name: str, **how: Any) -> Callable[[Draw], Call]:
    def draw(d: Draw) -> Call:
        a, b = factors(d, name)
        shape = (*a.shape[:-1], *b.shape[-1:])
        whole = a.plain.dtype.kind == "i"
        some = (2, 1, -1, 0) if whole else (0.5, 2, 1, 0)
        beta, alpha = d.maybe(lambda: d.of(*some)), d.maybe(lambda: d.of(*some))
        alpha = (
            1 if alpha == 0 and (a.special or b.special) else alpha
        )  # 0 · nan is 0 or nan, by the kernel of PyTorch's
        own = (
            shape if how and not d.rarely() else d.broadcastable(shape)
        )  # what is written has the shape of the product
        return d.called(d.x(own, (a.plain.dtype.name,), **how), a, b, beta=beta, alpha=alpha)

    return draw


MATRICES = {
    **{name: product_of(name) for name in FACTORS},
    "addmm": sum_with_product("mm"),
    "baddbmm": sum_with_product("bmm"),
    "matmul": matrices,
    "Tensor.__matmul__": matrices,
    "outer": lambda d: d.called(
        x := d.x(d.shape(1, 1)), d.fitting(x) if d.rarely() else d.beside(x, d.x(d.shape(1, 1)))
    ),
    "trace": lambda d: d.called(d.x() if d.rarely() else d.x(d.shape(2, 2))),
    "einsum": equations,
}


# ------------------------------------------------------------------------------------------ shapes


def expanded(d: Draw) -> Call:
    x = d.x()
    shape = tuple(d.of(n, -1) if n != 1 else d.of(1, 3, 0, -1) for n in x.shape)
    shape = d.of((), (2,), (0,), (2, 1), ()) + shape
    if d.rarely():  # -1 for what x has already: elsewhere PyTorch may give a Tensor of negative size
        shape = tuple(d.int(0, 3) for _ in range(d.int(0, 4)))
    return d.called(x, *d.sizes(shape))


def repeated(d: Draw) -> Call:
    x = d.x()
    times = [d.of(1, 2, 0, 3, 1) for _ in range(x.ndim + d.of(0, 0, 1, 2))]
    if d.rarely() and x.plain.size:  # of nothing, PyTorch takes any
        times = [d.int(-1, 2) for _ in range(d.int(0, 4))]
    return d.called(x, *d.sizes(tuple(times)))


def reordered(d: Draw, x: Array) -> tuple[int, ...]:
    axes = tuple(a - x.ndim if d.flag() else a for a in d.permutation(x.ndim))
    if d.rarely():
        axes = tuple(d.int(-x.ndim - 1, x.ndim) for _ in range(x.ndim + d.of(0, 0, 1, -1) if x.ndim else 1))
    return axes


def joined(d: Draw) -> Call:
    x = d.x(low=1)
    dim = d.dim(x)
    others = []
    for _ in range(d.int(0, 2)):
        shape = list(x.shape)
        if -x.ndim <= dim < x.ndim:
            shape[dim] = d.of(2, 0, 1, 3)
        if d.rarely():
            shape = list(d.of((0,), d.shape(), ()))
        others.append(d.x(tuple(shape), d.of((x.plain.dtype.name,), (*FLOATS, *WHOLE))))
    xs = [] if d.rarely() and d.flag() else [x, *others]
    return d.called(tuple(xs) if d.flag() else xs, Named({"dim": ABSENT if d.rarely() else dim}))


def stacked(d: Draw) -> Call:
    x = d.x()
    others = [d.x(d.shape() if d.rarely() else x.shape, (x.plain.dtype.name, *FLOATS)) for _ in range(d.int(0, 2))]
    xs = [] if d.rarely() and d.flag() else [x, *others]
    return d.called(tuple(xs) if d.flag() else xs, Named({"dim": d.maybe(lambda: d.dim(x.ndim + 1))}))


def divided(d: Draw) -> Call:
    x = d.x(low=d.of(1, 1, 1, 0))
    dim = d.maybe(lambda: d.dim(x))
    n = x.shape[dim if dim is not ABSENT and -x.ndim <= dim < x.ndim else 0] if x.ndim else 1
    first = d.int(0, n)
    parts = d.of(d.int(1, 4), [first, n - first], (n,), [n, 0], d.int(-1, 1), [n, 1], [-1, n + 1])
    return d.called(x, parts, Named({"dim": dim}))


def rolled(d: Draw) -> Call:
    x = d.x()
    dim = (lambda: d.dim(x)) if x.plain.size else lambda: 0  # of nothing, PyTorch takes any
    if d.flag():
        return d.called(x, Named({"shifts": d.of(d.int(-4, 4), (d.int(-2, 2),))}))
    if d.flag():
        return d.called(x, Named({"shifts": d.int(-4, 4), "dims": dim()}))
    dims = tuple(dim() for _ in range(d.int(0, 2)))
    return d.called(x, tuple(d.int(-4, 4) for _ in range(len(dims) + d.rarely())), dims)


def flipped(d: Draw) -> Call:
    x = d.x()
    dims = d.dims(x)
    return d.called(x, *(dims if isinstance(dims, tuple) and dims and d.flag() else (0 if dims is None else dims,)))


def sorted_out(d: Draw) -> Call:
    x = d.x()
    return d.called(x, Named({"dim": d.maybe(lambda: d.dims(x) or 0)}))


def moved(d: Draw) -> Call:
    x = d.x()
    if d.flag():
        return d.called(x, d.dim(x), d.dim(x))
    n = d.int(0, x.ndim)
    return d.called(
        x, tuple(d.permutation(x.ndim)[:n]), tuple(a - x.ndim for a in d.permutation(x.ndim)[: n + d.rarely()])
    )


def triangle(d: Draw, **how: Any) -> Call:
    return d.called(d.x(low=d.of(2, 2, 2, 0), **how), Named({"diagonal": d.maybe(lambda: d.int(-4, 4))}))


def narrowed(d: Draw) -> Call:
    x = d.x(low=d.of(1, 1, 1, 0))
    dim = d.dim(x)
    n = x.shape[dim] if -x.ndim <= dim < x.ndim else 1
    start = d.int(-n - 1, n + 1) if d.rarely() else d.int(-n, n)
    room = -start if start < 0 else n - start
    return d.called(
        x, Named({"dim": dim, "start": start, "length": d.int(-1, 4) if d.rarely() else d.int(0, max(room, 0))})
    )


def one_slice(d: Draw) -> Call:
    x = d.x(low=d.of(1, 1, 1, 0))
    dim = d.dim(x)
    n = x.shape[dim] if -x.ndim <= dim < x.ndim else 1
    return d.called(x, Named({"dim": dim, "index": d.of(n, -n - 1) if d.rarely() else d.int(-n, max(n - 1, 0))}))


def repeated_slices(d: Draw) -> Call:
    x = d.x()
    dim = d.maybe(lambda: d.of(None, d.dim(x), d.dim(x)))
    whole = dim in (ABSENT, None) or not -x.ndim <= dim < x.ndim
    n = x.plain.size if whole else x.shape[dim]
    repeats = d.int(0, 3) if d.flag() else d.indices((n + d.rarely(),), 3)
    return d.called(x, Named({"repeats": repeats, "dim": dim}))


SHAPES = {
    "narrow": narrowed,
    "select": one_slice,
    "repeat_interleave": repeated_slices,
    "reshape": lambda d: d.called(x := d.x(), *((d.new_shape(x),))),
    "Tensor.reshape": lambda d: d.called(x := d.x(), *d.sizes(d.new_shape(x))),
    "view": lambda d: d.called(x := d.x(), *d.sizes(d.new_shape(x))),
    "view_as": lambda d: d.called(x := d.x(plain=True), d.x(tuple(abs(n) for n in d.new_shape(x)))),
    "flatten": lambda d: d.called(x := d.x(), Named({n: d.maybe(lambda: d.dim(x)) for n in ("start_dim", "end_dim")})),
    "squeeze": sorted_out,
    "unsqueeze": lambda d: d.called(x := d.x(), Named({"dim": d.dim(x.ndim + 1)})),
    "torch.permute": lambda d: d.called(x := d.x(), tuple(reordered(d, x))),
    "Tensor.permute": lambda d: d.called(x := d.x(), *d.sizes(reordered(d, x))),
    "transpose": lambda d: d.called(x := d.x(), Named({"dim0": d.dim(x), "dim1": d.dim(x)})),
    "swapaxes": lambda d: d.called(x := d.x(), Named({"axis0": d.dim(x), "axis1": d.dim(x)})),
    "t": unary,
    "Tensor.T": lambda d: d.called(d.x((2, 3)) if d.flag() else d.x()),
    "Tensor.mT": lambda d: d.called(d.x(low=d.of(2, 2, 0))),
    "movedim": moved,
    "expand": expanded,
    "expand_as": lambda d: d.called(x := d.x(), d.fitting(x)),
    "repeat": repeated,
    "contiguous": unary,
    **dict.fromkeys(["cat"], joined),
    "stack": stacked,
    "split": divided,
    "chunk": lambda d: d.called(x := d.x(), d.int(-1, 4) or 4, Named({"dim": d.maybe(lambda: d.dim(x))})),
    "unbind": lambda d: d.called(x := d.x(), Named({"dim": d.maybe(lambda: d.dim(x))})),
    "roll": rolled,
    "flip": flipped,
    "torch.flip": lambda d: d.called(x := d.x(), (dims,) if isinstance(dims := d.dims(x), int) else dims or ()),
    **dict.fromkeys(["tril", "triu"], triangle),
}


# ------------------------------------------------------------------------------------------ new Tensors


def nested(d: Draw) -> Any:
    """What tensor() takes: numbers, nested lists, arrays, Tensors; rarely what it does not."""
    if d.rarely():
        return d.of("x", [1, "x"], [[1, 2], [3]])
    x = d.x()
    lists = [[[1, 2.5], [True, 0]], [], [[]], [True, 1], [1, 2.0], x.values.tolist()]
    return d.of(x.values, x, *lists, 3, -0.5, True, x.values[..., None])


def like(d: Draw) -> Call:
    return d.called(d.x(), **d.new())


def sized(d: Draw) -> Call:
    return d.called(*d.sizes(d.size()), **d.new())


def counted(d: Draw) -> Call:
    points = [d.of(0, 1, 5, -2, 2.5, 0.5) for _ in range(d.int(1, 3))]
    if len(points) == 3 and not d.rarely():
        points[2] = d.of(1, 2, 0.5, -1, 0.25) * (1 if points[1] >= points[0] else -1)
    return d.called(*points, **d.new())


def spaced(d: Draw) -> Call:
    steps = d.of(5, 1, 0, 2, 3, -1 if d.rarely() else 4)
    kinds = (*FLOATS, *(WHOLE if steps > 1 else INTS))  # one bool is taken there, two are not
    return d.called(d.of(0, -1.5, 2), d.of(1, 3.0, -2), steps, **d.new(kinds))


def drawn(d: Draw) -> Call:
    return d.called(*d.sizes(d.size()), **d.new(FLOATS))


def drawn_like(d: Draw) -> Call:
    return d.called(d.x((2, 3), WHOLE) if d.rarely() else d.x(dtypes=FLOATS), **d.new(FLOATS))


def drawn_integers(d: Draw) -> Call:
    bounds = d.of((5,), (-2, 3), (0, 1), (3, 3) if d.rarely() else (2, 7))
    return d.called(*bounds, d.size(), **d.new((*INTS, "float32", "bool")))


def drawn_order(d: Draw) -> Call:
    return d.called(d.int(-1, 5), **d.new((*INTS, "float32", "bool")))


def drawn_rows(d: Draw) -> Call:
    shape = d.of((), (2, 3, 2), (0,)) if d.rarely() else (*d.shape(0, 1), d.of(3, 4, 2))
    kinds = ("plain", "special") if d.rarely() else ("positive",)
    weights = d.x(shape, (*FLOATS, "int64") if d.rarely() else FLOATS, kinds=kinds, grad=False)
    return d.called(
        weights, Named({"num_samples": d.int(-1, 1) if d.rarely() else d.int(1, 4), "replacement": d.maybe(d.flag)})
    )


def older(d: Draw) -> Call:
    return d.called(*d.of(([1, 2],), ([[1.5, 0]],), ([],), ([True],), ()))


def drawn_normal(d: Draw) -> Call:
    size = tuple(d.of(2, 3, 1) for _ in range(d.int(1, 2)))
    return d.called(*d.of((0.0, 1.0, size), (-1, 2, size), (0.5, -1.0, size)), **d.new(FLOATS))


def drawn_events(d: Draw) -> Call:
    if d.rarely():
        return d.called(d.x((2, 3), *d.of((("int64",),), (FLOATS,)), kinds=("plain",), grad=False))
    return d.called(d.x(dtypes=FLOATS, kinds=("unit",)))


NEW = {
    **{f"torch.{n}Tensor": older for n in ("Float", "Double", "Half", "Byte", "Int", "Long", "Bool")},
    "new_full": lambda d: d.called(d.x(), d.size(), d.of(2, 1.5, True, -1), **d.new()),
    "new_empty": Row(lambda d: d.called(d.x(), *d.sizes(d.size()), **d.new()), random=True),
    "bernoulli": Row(drawn_events, random=True, between=lambda call: (0, 1)),
    "normal": Row(drawn_normal, random=True),
    "tensor": lambda d: d.called(nested(d), **d.new()),
    "as_tensor": lambda d: d.called(nested(d), **d.new(grad=False)),
    "from_numpy": lambda d: d.called(d.of((x := d.x()).values, x.values, [1], 2.0)),
    "full": lambda d: d.called(d.size(), d.of(2, 1.5, True, math.nan, -1), **d.new()),
    "full_like": lambda d: d.called(d.x(), d.of(2, 0.5, True, -1, math.nan), **d.new()),
    **dict.fromkeys(["zeros", "ones"], sized),
    "empty": Row(sized, random=True),
    **dict.fromkeys(["zeros_like", "ones_like"], like),
    "empty_like": Row(like, random=True),
    "eye": lambda d: d.called(d.int(-1, 4), *d.of((), (d.int(-1, 3),)), **d.new()),
    "arange": counted,
    "linspace": spaced,
    **dict.fromkeys(["new_zeros", "new_ones"], lambda d: d.called(d.x(), *d.sizes(d.size()), **d.new())),
    "rand": Row(drawn, random=True, between=lambda call: (0, 1)),
    "randn": Row(drawn, random=True),
    "rand_like": Row(drawn_like, random=True, between=lambda call: (0, 1)),
    "randn_like": Row(drawn_like, random=True),
    "randint": Row(drawn_integers, random=True, between=lambda call: ((0, *call.args)[-3], call.args[-2] - 1)),
    "randperm": Row(drawn_order, random=True, between=lambda call: (0, call.args[0] - 1)),
    "multinomial": Row(drawn_rows, random=True, between=lambda call: (0, call.args[0].shape[-1] - 1)),
}


# ------------------------------------------------------------------------------------------ in place


def update(d: Draw) -> Call:
    x = d.x(leaf=None, kinds=("plain", "ties"))
    return d.called(x, d.other(x))


def update_with_alpha(d: Draw) -> Call:
    x = d.x(leaf=None, kinds=("plain", "ties"))
    return d.called(x, d.other(x), alpha=d.maybe(lambda: d.of(2, 0.5, -1)))


def random_update(d: Draw) -> Call:
    x = d.x((2, 3), ("int64",)) if d.rarely() else d.x(dtypes=FLOATS, grad=False)
    return d.called(x, *d.of((), (0.5, 2.0), (1.0,)))


def random_rate(d: Draw) -> Call:
    x = d.x((2, 3), ("bool",)) if d.rarely() else d.x(dtypes=FLOATS, grad=False)
    return d.called(x, *d.of((), (0.5,), (2.0,)))


def uniform_range(call: Call) -> tuple[float, float]:
    low, high = (*call.args[1:], *(0.0, 1.0)[len(call.args) - 1 :])
    return low, high


def compared_in_place(d: Draw) -> Call:
    """The other operand is a constant: here it gets no gradient, and zeros there, even from an integer Tensor."""
    x = d.x(**WRITTEN)
    return d.called(x, d.other(x, grad=False))


WRITES = ["abs", "cos", "erf", "exp", "expm1", "log", "log1p", "neg", "reciprocal", "relu", "rsqrt", "sigmoid", "sign"]
WRITES += ["sin", "sqrt", "square", "tanh", "log2", "log10"]

IN_PLACE = {
    **{f"{name}_": lambda d: unary(d, **WRITTEN) for name in WRITES},
    **{f"{name}_": lambda d: unary(d, **WRITTEN, plain=True) for name in ("ceil", "floor", "trunc")},
    "addcmul_": lambda d: with_product(d, **WRITTEN),
    "addcdiv_": lambda d: with_quotient(d, **WRITTEN),
    # of expanded memory PyTorch writes triangles all the same, and of rounded bools it names another mistake first
    **{f"{name}_": lambda d: triangle(d, **WRITTEN, plain=True) for name in ("tril", "triu")},
    "round_": lambda d: rounded(d, **WRITTEN, plain=True),
    "lerp_": lambda d: between(d, **WRITTEN),
    "pow_": lambda d: d.called(x := d.x(**WRITTEN), d.exponent(x)),
    "scatter_": lambda d: placed(d, numbers=True, twice=False, **WRITTEN),
    "scatter_add_": lambda d: placed(d, numbers=False, twice=True, **WRITTEN),
    "index_add_": lambda d: with_source(d, **WRITTEN),
    "index_copy_": lambda d: with_source(d, twice=False, **WRITTEN),
    "index_fill_": lambda d: filled_slices(d, plain=True, **WRITTEN),  # PyTorch writes to expanded memory, and warns
    "Tensor.exponential_": Row(random_rate, random=True, between=lambda call: (0, math.inf)),
    **dict.fromkeys(["add_", "sub_"], update_with_alpha),
    **dict.fromkeys(["mul_", "div_"], update),
    **dict.fromkeys([f"Tensor.__i{n}__" for n in ("add", "sub", "mul", "truediv")], update),
    "clamp_": lambda d: limits(d, leaf=None, kinds=("plain", "ties")),
    "masked_fill_": lambda d: d.called(x := d.x(leaf=None, plain=True), d.mask(x), d.filling(x)),
    "zero_": lambda d: d.called(d.x(grad=False)),
    "fill_": lambda d: d.called(x := d.x(leaf=None, plain=True), d.filling(x)),
    "copy_": lambda d: d.called(x := d.x(leaf=None), d.fitting(x)),
    **dict.fromkeys([f"{n}_" for n in ("eq", "ne", "lt", "le", "gt", "ge")], compared_in_place),
    # of what requires grad PyTorch keeps the old history, as if the values were the old ones
    **dict.fromkeys([f"logical_{n}_" for n in ("and", "or", "xor")], lambda d: tensors(d, **WRITTEN, grad=False)),
    "logical_not_": lambda d: unary(d, **WRITTEN, grad=False),
    **dict.fromkeys([f"bitwise_{n}_" for n in ("and", "or", "xor")], lambda d: bitwise(d, kinds=("plain",))),
    **dict.fromkeys([f"bitwise_{n}_shift_" for n in ("left", "right")], lambda d: shifted(d, kinds=("plain",))),
    "bitwise_not_": lambda d: d.called(d.x(dtypes=(*WHOLE, *WHOLE, "float32"), grad=False)),
    **dict.fromkeys([f"Tensor.__i{n}__" for n in ("and", "or", "xor")], lambda d: bitwise(d, kinds=("plain",))),
    **dict.fromkeys([f"Tensor.__i{n}__" for n in ("lshift", "rshift")], lambda d: shifted(d, kinds=("plain",))),
    **dict.fromkeys(["floor_divide_", "remainder_"], lambda d: whole(d, kinds=("plain", "ties"))),
    **dict.fromkeys(["Tensor.__ifloordiv__", "Tensor.__imod__"], lambda d: whole(d, kinds=("plain", "ties"))),
    "Tensor.__ipow__": lambda d: d.called(x := d.x(**WRITTEN), d.exponent(x)),
    "cumsum_": lambda d: d.called(x := d.x(**WRITTEN), Named({"dim": d.dim(x)})),
    "addmm_": sum_with_product("mm", **WRITTEN),
    "baddbmm_": sum_with_product("bmm", plain=True, **WRITTEN),  # into expanded memory PyTorch adds up what is there
    "squeeze_": lambda d: d.called(x := d.x(leaf=None), *d.of((), (d.dim(x),))),
    "unsqueeze_": lambda d: d.called(x := d.x(leaf=None), Named({"dim": d.dim(x.ndim + 1)})),
    "swapaxes_": lambda d: d.called(x := d.x(leaf=None), Named({"axis0": d.dim(x), "axis1": d.dim(x)})),
    "transpose_": lambda d: d.called(x := d.x(leaf=None), Named({"dim0": d.dim(x), "dim1": d.dim(x)})),
    "t_": lambda d: unary(d, leaf=None),
    "detach_": lambda d: unary(d, leaf=None),
    "Tensor.bernoulli_": Row(
        lambda d: d.called(d.x(grad=False), *d.of((), (0.3,), (1.5,))), random=True, between=lambda call: (0, 1)
    ),
    "Tensor.normal_": Row(random_update, random=True),
    "Tensor.uniform_": Row(random_update, random=True, between=uniform_range),
}


# ------------------------------------------------------------------------------------------ what only a Tensor has


def cast(d: Draw) -> Call:
    target = d.of((d.type(),), ("cpu",), (d.x(),), ("cpu", d.type()), (), (None,), (d.type(), False, True))
    return d.called(d.x(), *target, dtype=d.type() if not target and d.flag() else ABSENT)


def one(d: Draw) -> Call:
    return d.called(d.x(d.of((), (1,), (1, 1), (2,), (0,))))


def leaf(d: Draw) -> Call:
    return d.called(d.x(leaf=None))


def printed(d: Draw) -> Call:
    if d.flag():
        return d.called(d.x(dtypes=("float32", "int64", "bool")))
    return d.called(
        d.x(d.of((), (2,), (0, 2)), grad=False)
    )  # "tinytensor.float64" is the longer name: lines break sooner


def seeded_backward(d: Draw) -> Call:
    """backward() of one element, backward(g) of any number; rarely with a g that does not fit."""
    x = d.x(d.of((), (2, 3), (1,), (4,)), FLOATS, leaf=None, grad=not d.rarely())
    if x.plain.size == 1 and d.flag():
        return d.called(x)
    return d.called(x, d.fitting(x, grad=False) if d.rarely() else d.x(x.shape, (x.plain.dtype.name,), grad=False))


def older_type(d: Draw) -> Call:
    names = ("torch.FloatTensor", "torch.LongTensor", "torch.BoolTensor", "torch.ByteTensor", "torch.HalfTensor")
    return d.called(d.x(), *d.of((), (d.type(),), (d.of(*names),), ("x",)))


TENSOR = {
    "byte": lambda d: d.called(d.x(kinds=("ties",))),  # a negative fraction as a byte is what the processor makes of it
    "Tensor.type": older_type,
    **dict.fromkeys(["numel", "nelement", "dim", "element_size", "is_floating_point", "is_contiguous"], unary),
    **dict.fromkeys(
        [
            f"Tensor.{n}"
            for n in ("shape", "dtype", "device", "ndim", "is_cuda", "is_leaf", "requires_grad", "retains_grad")
        ],
        leaf,
    ),
    **dict.fromkeys(["float", "double", "half", "int", "long", "bool"], Row(unary)),
    **dict.fromkeys(["clone", "detach", "cpu", "tolist", "numpy"], leaf),
    **dict.fromkeys(["Tensor.data", "Tensor.grad"], leaf),
    **dict.fromkeys([f"Tensor.__{n}__" for n in ("len", "iter", "array", "deepcopy", "dlpack_device")], leaf),
    "torch.from_dlpack": lambda d: d.called(
        d.x(leaf=None), **d.of({}, {"copy": True}, {"copy": False}, {"device": "cpu"})
    ),
    "Tensor.__repr__": printed,
    **dict.fromkeys(["item", *(f"Tensor.__{n}__" for n in ("bool", "float", "int"))], one),
    "retain_grad": lambda d: d.called(d.x(dtypes=FLOATS, leaf=None, grad=d.rarely() is False)),
    "Tensor.__index__": lambda d: d.called(d.x(d.of((), (1,), (1, 1), (), (2,)), (*WHOLE, *WHOLE, "float32"))),
    "size": lambda d: d.called(x := d.x(), *d.of((), (d.dim(x),), (d.dim(x),))),
    "Tensor.__contains__": lambda d: d.called(d.x(), d.of(d.number(), d.x(()))),
    "Tensor.__format__": lambda d: d.called(d.x(d.of((), (), (2,))), d.of("", ".2f", "5")),
    "Tensor.__init__": lambda d: d.called(d.of([1, 2], [[1.5]], d.x((2,), ("float32",), grad=False), (), [])),
    "Tensor.__init__ (sizes)": Row(lambda d: d.called(*d.size()), random=True),
    "to": cast,
    "type_as": lambda d: d.called(d.x(), d.x()),
    "requires_grad_": lambda d: d.called(d.x(leaf=None), *d.of((), (True,), (False,))),
    "backward": seeded_backward,
    "is_tensor": lambda d: d.called(d.of(d.x(), 1, [1.0], None)),
    "Size": lambda d: d.called(d.shape()),
}


# ------------------------------------------------------------------------------------------ networks


def affine(d: Draw) -> Call:
    dtype, i, o = d.dtype((*FLOATS, "float64", "int64")), d.of(3, 2, 1, 0), d.of(2, 3, 1)
    x, w = d.x(d.shape() if d.rarely() else (*d.shape(0, 2), i), (dtype,)), d.x((o, i), (dtype,) * 7 + ("float32",))
    b = d.of(ABSENT, None, d.x((o,), (dtype,)), d.x(d.of((o + 1,), (o,), (1,), ()), (dtype,)))
    return d.called(x, w, Named({"bias": b}))


def lookup(d: Draw) -> Call:
    w = d.x((d.of(3, 4, 1), *d.of((2,), (3,), (1,), (0,))), FLOATS)
    dtypes = ("int64", "int64", "int32", "float32" if d.rarely() else "int64")
    return d.called(d.indices(d.shape(), w.shape[0], dtypes), w)


FINITE = ("plain", "ties")


def normed(d: Draw) -> Call:
    """Finite weights: of a constant row, PyTorch leaves a rounding error that ∞ makes ∞, and 0 · ∞ is nan."""
    shape = d.of((3,), (2, 3), (1,), (4,))
    dtype = d.dtype((*FLOATS, "float64"))
    x = d.x((*d.shape(0, 2), *(d.shape(1, 2) if d.rarely() else shape)), (dtype,), kinds=("plain",))
    parts = [
        d.of(d.x(shape, (dtype,), kinds=FINITE), ABSENT, None, d.x(d.shape(1, 1), (dtype,)) if d.rarely() else None)
        for _ in range(2)
    ]
    named = Named({"weight": parts[0], "bias": parts[1], "eps": d.maybe(lambda: d.of(1e-5, 0.1))})
    return d.called(x, shape if d.flag() else list(shape), named)


def classified(d: Draw) -> Call:
    """Logits and classes: (N, C) and (N,), (C,) and (), (N, C, d…) and (N, d…); rarely such as do not fit."""
    classes, n, more = d.of(3, 2, 1, 4), d.of((2,), (1,), (), (3,), (0,)), d.of((), (2,), (2, 1), (0,))
    more = more if n else ()
    x = d.x((*n, classes, *more), (*FLOATS, "float64"), kinds=("plain", "ties"), plain=len(more) > 1)
    target = d.indices((*n, *more), classes)
    if d.rarely():
        target = d.indices(d.shape(1), classes, ("int64", "int32", "float32")) if n else d.indices((2,), classes)
    ignore = d.of(ABSENT, 0, 1, -1, -100)
    if ignore is not ABSENT and d.flag():
        target = Array(np.where(target.values % 2, ignore, target.values))
    reduction = d.maybe(lambda: d.of("mean", "sum", "none", "bad" if d.rarely() else "none"))
    return d.called(x, target, ignore_index=ignore, reduction=reduction)


def compared(d: Draw) -> Call:
    x = d.x(dtypes=(*FLOATS, "float64"), kinds=("plain", "ties"))
    y = d.x(x.shape, (x.plain.dtype.name, *FLOATS)) if d.flag() else d.fitting(x, FLOATS)
    return d.called(x, y, reduction=d.maybe(lambda: d.of("mean", "sum", "none", "bad" if d.rarely() else "none")))


def encoded(d: Draw) -> Call:
    x = d.indices(d.shape(), d.of(3, 1, 4), ("int64", "int64", "int64", "int32"))
    return d.called(x, Named({"num_classes": d.maybe(lambda: d.of(4, -1, 5, 2, 0))}))


def attended(d: Draw) -> Call:
    dtype, batch = d.dtype((*FLOATS, "float64")), d.shape(0, 2)
    t, s, k = d.of(2, 3, 1), d.of(3, 2, 1), d.of(2, 3, 1)
    batch = tuple(n or 3 for n in batch)
    batches = d.of([batch] * 3, [batch] * 3, [batch[1:], batch, batch], [batch, tuple(1 for _ in batch), batch])
    grouped = d.rarely()
    if grouped:  # heads of queries; of keys and of values, which need not divide them
        heads = d.of((4, 2, 2), (4, 1, 2), (2, 2, 2), (3, 2, 2), (2, 4, 4))
        batches, batch = [(2, n) for n in heads], (2, heads[0])
    shapes = [(*b, *last) for b, last in zip(batches, [(t, k), (s, k), (s, d.of(2, 3))])]
    if d.rarely():
        shapes[d.int(0, 2)] = d.of((5, 5), (4, 1, 2), (2, 2), (2, 1))
    qkv = [d.x(shape, (dtype,), kinds=("plain",)) for shape in shapes]
    if d.rarely():
        qkv[1] = d.x(shapes[1], FLOATS)
    if d.flag():
        named = {"is_causal": d.maybe(d.flag)}
    else:
        mask = d.of(
            (t, s), (t, 1), (*batch, t, s), (1, s), (2, 2)
        )  # a vector: PyTorch takes it from q of 3 dimensions only
        named = {"attn_mask": d.x(mask, ("bool", dtype, dtype, *FLOATS), kinds=("plain",)), "is_causal": d.rarely()}
    named |= {"enable_gqa": True} if grouped else {}
    return d.called(*qkv, **named, dropout_p=d.of(ABSENT, 0.0), scale=d.of(ABSENT, None, 0.5))


def dropped(d: Draw) -> Call:
    """p = 0 and p = 1 leave nothing to chance; the row beside this one has chance."""
    p = d.of(0.0, 1.0, 1.5, -0.1) if d.flag() else d.of(0.0, 1.0)
    return d.called(d.x(dtypes=FLOATS), Named({"p": p, "training": d.maybe(d.flag)}))


def leaky(d: Draw) -> Call:
    x = d.x(kinds=("plain", "ties", "special"))
    return d.called(x, Named({"negative_slope": d.maybe(lambda: d.of(0.1, 0.5, 0.0))}))


def exponential(d: Draw) -> Call:
    return d.called(d.x(dtypes=FLOATS, kinds=("plain", "ties")), Named({"alpha": d.maybe(lambda: d.of(2.0, 0.5))}))


def softened(d: Draw) -> Call:
    x = d.x((2, 3), ("int64",)) if d.rarely() else d.x(dtypes=FLOATS, kinds=("plain", "ties"))
    return d.called(x, Named({"beta": d.maybe(lambda: d.of(2.0, 0.5)), "threshold": d.maybe(lambda: d.of(1.0, 5))}))


def gated(d: Draw) -> Call:
    x = d.x(dtypes=FLOATS, low=1, kinds=("plain", "ties"))
    dim = d.dim(x)
    if -x.ndim <= dim < x.ndim and not d.rarely():
        shape = list(x.shape)
        shape[dim] = d.of(2, 4)
        x = d.x(tuple(shape), FLOATS, kinds=("plain", "ties"))
    return d.called(x, Named({"dim": dim}))


def reduced(d: Draw, *more: str) -> Any:
    return d.maybe(lambda: d.of("mean", "sum", "none", *more, "bad" if d.rarely() else "none"))


def compared_alike(d: Draw) -> Call:
    """Both of one dtype: of two, PyTorch's backward fails inside."""
    call = compared(d)
    x, y = call.args
    return Call((x, d.x(y.shape, (x.plain.dtype.name,), kinds=("plain", "ties"))), call.kwargs)


def with_threshold(name: str) -> Callable[[Draw], Call]:
    def draw(d: Draw) -> Call:
        call = compared_alike(d)
        return Call(call.args, {**call.kwargs, **d.of({}, {name: 0.5}, {name: 2.0})})

    return draw


def probabilities(d: Draw, **how: Any) -> Call:
    """What is to be, in [0, 1), beside a first argument drawn as told; rarely of another shape."""
    x = d.x(dtypes=(*FLOATS, "float64"), low=1, **how)
    y = d.x(d.shape() if d.rarely() else x.shape, (x.plain.dtype.name,), kinds=("unit",), grad=False)
    weight = d.of(ABSENT, ABSENT, None, d.x(x.shape[d.int(0, 1) :], (x.plain.dtype.name,), kinds=("unit",), grad=False))
    return d.called(x, y, weight=weight, reduction=reduced(d))


def from_logits(d: Draw) -> Call:
    call = probabilities(d, kinds=("plain", "ties"))
    x = call.args[0]
    positive = d.of(ABSENT, None, d.x(x.shape[-1:], (x.plain.dtype.name,), kinds=("positive",), grad=False))
    return Call(call.args, call.kwargs if positive is ABSENT else {**call.kwargs, "pos_weight": positive})


def divergence(d: Draw) -> Call:
    x = d.x(dtypes=(*FLOATS, "float64"), low=1, kinds=("plain", "ties"))
    y = d.fitting(x, (x.plain.dtype.name,), kinds=("unit", "unit", "ties"))
    return d.called(x, y, reduction=reduced(d, "batchmean"), log_target=d.maybe(d.flag))


def lengths(d: Draw) -> Call:
    x = d.x(dtypes=("float64", "float32"), low=d.of(2, 1), kinds=("plain", "ties"))  # float16 of no length: nan or ∞
    return d.called(x, p=d.maybe(lambda: d.of(2.0, 1, 3.0)), dim=d.maybe(lambda: d.dim(x)), eps=d.of(ABSENT, 0.5))


def directions(d: Draw) -> Call:
    """No vector near 0, whose length would magnify the rounding."""
    x = d.x(dtypes=(*FLOATS, "float64"), low=d.of(2, 1), kinds=("positive",))
    y = d.fitting(x, (x.plain.dtype.name,), kinds=("positive",))
    eps = d.maybe(lambda: d.of(1e-8, 1e-6))  # below eps, PyTorch's gradient is that of a length that is not clamped
    return d.called(x, y, Named({"dim": d.maybe(lambda: d.dim(x)), "eps": eps}))


def rooted(d: Draw) -> Call:
    shape = d.of((3,), (2, 3), (1,), (4,))
    dtype = d.dtype((*FLOATS, "float64"))
    x = d.x((*d.shape(0, 2), *(d.shape(1, 2) if d.rarely() else shape)), (dtype,), kinds=("plain",))
    weight = d.of(d.x(shape, (dtype,)), ABSENT, None, d.x(d.shape(1, 1), (dtype,)) if d.rarely() else None)
    return d.called(x, shape if d.flag() else list(shape), Named({"weight": weight, "eps": d.of(ABSENT, None, 0.1)}))


def per_channel(d: Draw) -> Call:
    """Batch norm: the statistics are written in training, so a call leaves them to be compared."""
    channels, dtype = d.of(3, 1, 2), d.dtype(("float64", "float32"))
    length = d.of((), (2,), (1,), (3,))  # not 0: of nothing, PyTorch checks nothing
    x = d.x((d.of(3, 2, 1), channels, *length), (dtype,), kinds=("plain",))
    running = [d.x((channels,), (dtype,), kinds=("positive",), grad=False, plain=True) for _ in range(2)]
    running = d.of(running, running, [None, None])
    # plain, for PyTorch's gradient of x is wrong where the weight is strided: it reads its neighbours in memory
    parts = [d.of(ABSENT, None, d.x((channels,), (dtype,), kinds=("plain",), plain=True)) for _ in range(2)]
    rest = {"training": d.maybe(d.flag), "momentum": d.of(ABSENT, 0.3), "eps": d.of(ABSENT, 0.1)}
    return d.called(x, *running, weight=parts[0], bias=parts[1], **rest)


def padded(d: Draw) -> Call:
    x = d.x(low=1)
    ends = [d.of(1, 0, 2, -1) for _ in range(2 * d.int(0, x.ndim) + (d.rarely() and d.flag()))]
    return d.called(x, tuple(ends) if d.flag() else ends, value=d.of(ABSENT, None, 1, 0.0))


NORMED = 32 * 316  # layer norm divides what rounding left of x − mean by √(variance + 1e-5), 1/316 in a constant row

FUNCTIONAL = {
    "leaky_relu": leaky,
    "elu": exponential,
    "F.elu_": lambda d: d.called(d.x(leaf=None, dtypes=FLOATS, kinds=("plain", "ties")), *d.of((), (0.5,))),
    "F.leaky_relu_": lambda d: d.called(d.x(leaf=None, dtypes=FLOATS, kinds=("plain", "ties")), *d.of((), (0.5,))),
    "softplus": softened,
    "logsigmoid": lambda d: d.called(d.x(kinds=("plain", "ties"))),
    "glu": gated,
    "l1_loss": compared,
    "smooth_l1_loss": with_threshold("beta"),
    "huber_loss": with_threshold("delta"),
    "binary_cross_entropy": lambda d: probabilities(d, kinds=("unit",) * 7 + ("plain",)),
    "binary_cross_entropy_with_logits": from_logits,
    "kl_div": divergence,
    "normalize": lengths,
    "cosine_similarity": directions,
    "rms_norm": Row(rooted, slack=NORMED),
    "batch_norm": Row(per_channel, slack=NORMED),
    "pad": padded,
    "linear": affine,
    "embedding": lookup,
    "layer_norm": Row(normed, slack=NORMED),
    **dict.fromkeys(["cross_entropy"], classified),
    "nll_loss": classified,
    "mse_loss": compared,
    "one_hot": encoded,
    "scaled_dot_product_attention": attended,
    "dropout": dropped,
    "dropout (random)": Row(lambda d: d.called(d.x(dtypes=FLOATS), 0.5), random=True),
}


def weight(d: Draw) -> Array:
    return d.x(low=d.of(2, 2, 2, 0), dtypes=("float64", *FLOATS), leaf=True, kinds=("plain",))


def fan(d: Draw) -> Call:
    mode = d.maybe(lambda: d.of("fan_in", "fan_out", "x" if d.rarely() else "fan_in"))
    nonlinearity = d.maybe(lambda: d.of("leaky_relu", "relu", "tanh", "linear", "x" if d.rarely() else "relu"))
    return d.called(
        weight(d), Named({"a": d.maybe(lambda: d.of(0, 1, 2.5)), "mode": mode, "nonlinearity": nonlinearity})
    )


def truncated(d: Draw) -> Call:
    return d.called(weight(d), *d.of((), (0.0, 0.5, -1.0, 1.0), (0.5,)))


def gain(d: Draw) -> Call:
    return d.called(weight(d), *d.of((), (0.5,)))


def gained(d: Draw) -> Call:
    name = d.of("linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu", "x")
    return d.called(name, Named({"param": d.of(ABSENT, 0.1, None, 1, True)}))


def with_gradients(d: Draw, *more: Any) -> Call:
    """Tensors that will get a gradient, see tests/pytorch/test_generated.py, and what to clip it to."""
    shapes = [(2, 3), (), (4,), (1,)]
    xs = [d.x(d.of(*shapes), ("float64", "float32"), kinds=("plain",), grad=True) for _ in range(d.int(1, 3))]
    return d.called(xs, *more)


INIT = {
    "init.constant_": lambda d: d.called(weight(d), d.of(2, 0.5, -1)),
    **dict.fromkeys(["init.zeros_", "init.ones_"], lambda d: d.called(weight(d))),
    "init.uniform_": Row(
        lambda d: d.called(weight(d), *d.of((), (-1, 2.0), (0.5,))), random=True, between=uniform_range
    ),
    "init.normal_": Row(lambda d: d.called(weight(d), *d.of((), (-1, 2.0), (0.5,))), random=True),
    "init.trunc_normal_": Row(truncated, random=True, between=lambda call: call.args[3:5] or (-2, 2)),
    **dict.fromkeys(["init.xavier_uniform_", "init.xavier_normal_"], Row(gain, random=True)),
    **dict.fromkeys(["init.kaiming_uniform_", "init.kaiming_normal_"], Row(fan, random=True)),
    "init.calculate_gain": gained,
    "utils.clip_grad_norm_": lambda d: with_gradients(d, d.of(1.0, 0.1, 100), d.of(2.0, 1, math.inf, 3)),
    "utils.clip_grad_value_": lambda d: with_gradients(d, d.of(1.0, 0.5, 100)),
}


def layer(setup: Callable[[Draw], Any], inputs: Callable[[Draw, Any], Call], slack: int = 32) -> Row:
    """A layer: arguments of its constructor, as a call, and then the inputs of its forward."""

    def draw(d: Draw) -> Call:
        made = setup(d)
        return Call(inputs(d, made).args, {}, (made.args, made.kwargs))

    return Row(draw, slack=slack)


def activation(d: Draw, made: Call) -> Call:
    return d.called(d.x(dtypes=FLOATS, kinds=("plain", "ties")))


def float64(d: Draw, shape: tuple[int, ...]) -> Call:
    return d.called(d.x(d.shape() if d.rarely() else shape, ("float64",), kinds=("plain",)))


def empty_call(d: Draw) -> Call:
    return d.called()


def loss(inputs: Callable[[Draw], Call], *options: dict[str, Any]) -> Row:
    """A loss: one of these options, and a reduction, for the constructor."""
    return layer(
        lambda d: d.called(reduction=d.of(ABSENT, "sum", "none"), **d.of({}, *options)), lambda d, made: inputs(d)
    )


def sequence(d: Draw, made: Call, states: int = 1) -> Call:
    """Inputs (T, B, I), (B, T, I) or (T, I) of a recurrent layer, and perhaps its state."""
    inputs, hidden = made.args
    steps, batch = d.of(2, 1, 3), d.of((2,), (1,), ())
    first = made.kwargs.get("batch_first", False)
    shape = (*batch, steps, inputs) if first else (steps, *batch, inputs)
    state = lambda: d.x((made.kwargs.get("num_layers", 1), *batch, hidden), ("float64",), kinds=("plain",))  # noqa: E731
    given = [] if d.flag() else [tuple(state() for _ in range(states)) if states > 1 else state()]
    return d.called(d.x(d.shape(2) if d.rarely() else shape, ("float64",), kinds=("plain",)), *given)


def one_step(d: Draw, made: Call, states: int = 1) -> Call:
    inputs, hidden = made.args
    batch = d.of((2,), (1,), ())
    state = lambda: d.x((*batch, hidden + d.rarely()), ("float64",), kinds=("plain",))  # noqa: E731
    given = [] if d.flag() else [tuple(state() for _ in range(states)) if states > 1 else state()]
    return d.called(d.x((*batch, inputs), ("float64",), kinds=("plain",)), *given)


def recurrent(states: int = 1, **options: Any) -> Row:
    return layer(
        lambda d: d.called(
            *d.of((3, 2), (1, 2), (2, 1)),
            num_layers=d.of(ABSENT, 2),
            bias=d.maybe(d.flag),
            batch_first=d.maybe(d.flag),
            **{name: d.of(ABSENT, *values) for name, values in options.items()},
        ),
        lambda d, made: sequence(d, made, states),
    )


def cell(states: int = 1, **options: Any) -> Row:
    return layer(
        lambda d: d.called(
            *d.of((3, 2), (1, 2), (2, 1)),
            bias=d.maybe(d.flag),
            **{name: d.of(ABSENT, *values) for name, values in options.items()},
        ),
        lambda d, made: one_step(d, made, states),
    )


def normalised_channels(d: Draw, made: Call) -> Call:
    """Rarely another shape, but not an empty one: of nothing, PyTorch has gradients of 0 where here are none."""
    shape = (d.of(3, 2), made.args[0], *d.of((), (2,), (1,)))
    other = tuple(d.of(2, 3, 1) for _ in range(d.int(2, 3)))
    return d.called(d.x(other if d.rarely() else shape, ("float64",), kinds=("plain",)))


LAYERS = {
    "nn.RMSNorm": layer(
        lambda d: d.called(d.of(3, (2, 3), [3]), eps=d.of(ABSENT, 0.1), elementwise_affine=d.maybe(d.flag)),
        lambda d, made: float64(d, d.shape(0, 2) + (tuple(made.args[0]) if made.args[0] != 3 else (3,))),
        NORMED,
    ),
    "nn.BatchNorm1d": layer(
        lambda d: d.called(d.of(3, 1), affine=d.maybe(d.flag), track_running_stats=d.maybe(d.flag)),
        normalised_channels,
        NORMED,
    ),
    "nn.RNN": recurrent(nonlinearity=("tanh", "relu")),
    "nn.LSTM": recurrent(2),
    "nn.GRU": recurrent(),
    "nn.RNNCell": cell(nonlinearity=("tanh", "relu")),
    "nn.LSTMCell": cell(2),
    "nn.GRUCell": cell(),
    "nn.ELU": layer(lambda d: d.called(d.of(1.0, 2.0)), activation),
    "nn.LeakyReLU": layer(lambda d: d.called(d.of(0.01, 0.3)), activation),
    "nn.Softplus": layer(lambda d: d.called(d.of(1.0, 2.0), d.of(20.0, 1.0)), activation),
    "nn.LogSoftmax": layer(lambda d: d.called(dim=d.int(-2, 1)), activation),
    "nn.NLLLoss": loss(classified, {"ignore_index": 0}),
    "nn.L1Loss": loss(compared),
    "nn.SmoothL1Loss": loss(compared_alike, {"beta": 0.5}),
    "nn.HuberLoss": loss(compared_alike, {"delta": 0.5}),
    "nn.BCELoss": loss(lambda d: probabilities(d, kinds=("unit",))),
    "nn.BCEWithLogitsLoss": loss(from_logits),
    "nn.KLDivLoss": loss(divergence, {"log_target": True}),
    "nn.Linear": layer(
        lambda d: d.called(d.of(3, 2, 1), d.of(2, 1, 3), bias=d.maybe(d.flag)),
        lambda d, made: float64(d, (*d.shape(0, 2), made.args[0])),
    ),
    "nn.Embedding": layer(
        lambda d: d.called(d.of(3, 4), d.of(2, 1)), lambda d, made: d.called(d.indices(d.shape(), made.args[0]))
    ),
    "nn.LayerNorm": layer(
        lambda d: d.called(d.of(3, (2, 3), [3]), elementwise_affine=d.maybe(d.flag), bias=d.maybe(d.flag)),
        lambda d, made: float64(d, d.shape(0, 2) + (tuple(made.args[0]) if made.args[0] != 3 else (3,))),
        NORMED,
    ),
    "nn.Dropout": layer(lambda d: d.called(d.of(0.0, 1.0, 1.5)), activation),
    **dict.fromkeys(["nn.ReLU", "nn.SiLU", "nn.Tanh", "nn.Sigmoid", "nn.Identity"], layer(empty_call, activation)),
    "nn.GELU": layer(lambda d: d.called(approximate=d.of(ABSENT, "tanh", "none")), activation),
    "nn.Softmax": layer(lambda d: d.called(dim=d.int(-2, 1)), activation),
    "nn.Flatten": layer(lambda d: d.called(*d.of((), (0,), (0, 1), (1, -2))), activation),
    "nn.CrossEntropyLoss": layer(
        lambda d: d.called(reduction=d.of(ABSENT, "sum", "none"), ignore_index=d.of(ABSENT, 0)),
        lambda d, made: classified(d),
    ),
    "nn.MSELoss": layer(lambda d: d.called(reduction=d.of(ABSENT, "sum", "none")), lambda d, made: compared(d)),
    "nn.Sequential": layer(empty_call, activation),
}

# second names: their rows are those of the first
SECOND_NAMES = {
    "sub": "subtract", "mul": "multiply", "div": "divide true_divide", "neg": "negative", "abs": "absolute",
    "trunc": "fix", "clamp": "clip", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater",
    "ge": "greater_equal", "outer": "ger", "cat": "concat concatenate", "transpose": "swapdims",
    "movedim": "moveaxis",
}  # fmt: skip


def with_second_names(table: dict[str, Any]) -> dict[str, Any]:
    """The table with a row for each second name, and for its in-place form."""
    for form in ("", "_"):
        for first, others in SECOND_NAMES.items():
            if first + form in table:
                table |= {other + form: table[first + form] for other in others.split()}
    return table


ROWS = rows(
    with_second_names({**POINTWISE, **REDUCTIONS, **POSITIONS, **MATRICES, **SHAPES, **NEW, **IN_PLACE, **TENSOR})
    | {**FUNCTIONAL, **INIT, **LAYERS}
)
