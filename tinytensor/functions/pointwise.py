"""Elementwise functions: arithmetic, powers and exponentials, comparisons, choices.

All broadcast (sizes, from the right, are equal or 1) and settle the dtype as `tinytensor.dtypes.result_type` says.
All raise RuntimeError for shapes that do not fit, and TypeError for what is neither a Tensor nor a number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tinytensor.backend import Array, array_module, is_array
from tinytensor.base import TensorBase, is_tensor, wrap
from tinytensor.dtypes import bool as bool_dtype
from tinytensor.dtypes import float32, number_dtype, result_type
from tinytensor.modes import is_grad_enabled
from tinytensor.ops import arithmetic, choice, copies, more_arithmetic, powers, scalars, unary
from tinytensor.ops.erf import ERF
from tinytensor.primitive import Primitive
from tinytensor.tape import apply

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor

Number: TypeAlias = float  # also int and bool, as in the numeric tower
Comparison: TypeAlias = "Callable[[Tensor, Any], Tensor]"


# --------------------------------------------------------------------------------- settling the dtypes


def cast(x: Tensor, dtype: np.dtype[Any]) -> Tensor:
    """x in a NumPy dtype; x itself if it has it. The gradient is cast back; none passes through integers and bools."""
    if x.array.dtype == dtype:
        return x
    return apply(copies.CAST, x if dtype.kind == "f" else x.detach(), to=dtype)


def floating(x: Tensor) -> Tensor:
    """x, integers turned into float32: what division, exp and their like compute in."""
    return x if x.array.dtype.kind == "f" else cast(x, float32.numpy)


def as_tensor_like(value: Any, like: Tensor) -> Tensor:
    """A number as a 0-d Tensor beside `like`; a Tensor as it is."""
    if is_tensor(value):
        return value
    dtype = result_type(like.array, value)
    return wrap(array_module(like.array).asarray(value, dtype))


def implemented(name: str, kinds: str, *xs: Tensor | Number) -> None:
    """NotImplementedError unless each is of one of these kinds: letters of f(loat), i(nteger) and b(ool)."""
    for x in xs:
        d = x.array.dtype if isinstance(x, TensorBase) else number_dtype(x)
        if d.kind not in kinds:
            raise NotImplementedError(f"{name}: not implemented for {d}; cast with .to() first")


def plain(value: Any) -> Number:
    """A Python number: NumPy's own scalars would promote float32 arrays to float64. TypeError for others."""
    if type(value) not in (float, int, bool):
        number_dtype(value)
        value = value.item()
    number: Number = value
    return number


def _pair(primitive: Primitive, a: Tensor, b: Tensor) -> Tensor:
    if not (isinstance(a, TensorBase) and isinstance(b, TensorBase)):
        only_tensors(primitive.name, a, b)
    if a.array.dtype is not b.array.dtype:
        dtype = result_type(a.array, b.array)
        a, b = cast(a, dtype), cast(b, dtype)
    return apply(primitive, a, b)


def only_tensors(name: str, *xs: Any) -> None:
    """TypeError unless all are Tensors."""
    for x in xs:
        if not isinstance(x, TensorBase):
            raise TypeError(f"{name}(): argument must be Tensor, not {type(x).__name__}; see tensor() and from_numpy()")


def _with_number(primitive: Primitive, x: Tensor, c: Any) -> Tensor:
    c = plain(c)
    return apply(primitive, cast(x, result_type(x.array, c)), c=c)


def _is_number(x: Any) -> bool:
    return isinstance(x, (int, float, np.number, np.bool_))


# ------------------------------------------------------------------------------------------ arithmetic


def add(input: Tensor, other: Tensor | Number, *, alpha: Number = 1) -> Tensor:
    """input + alpha·other."""
    other = scaled(input, other, alpha)
    if isinstance(other, TensorBase):
        return _pair(arithmetic.ADD, input, other)
    return _with_number(scalars.ADD_SCALAR, input, other)


def scaled(input: Tensor, other: Tensor | Number, alpha: Number) -> Tensor | Number:
    """alpha·other, where alpha has no say in the dtype: RuntimeError for a fraction among integers."""
    if alpha == 1:
        return other
    dtype = result_type(input.array, other.array if isinstance(other, TensorBase) else other)
    if dtype.kind in "ib" and isinstance(alpha, float):
        raise RuntimeError(f"alpha must not be a floating point number among integers, but is {alpha}")
    if isinstance(other, TensorBase):
        return cast(cast(other, dtype) * alpha, dtype)
    return bool(other * alpha) if dtype.kind == "b" else other * alpha


def sub(input: Tensor, other: Tensor | Number, *, alpha: Number = 1) -> Tensor:
    """input − alpha·other."""
    no_bools(input, other)
    other = scaled(input, other, alpha)
    if isinstance(other, TensorBase):
        return _pair(more_arithmetic.SUB, input, other)
    return _with_number(scalars.ADD_SCALAR, input, -plain(other))


def no_bools(*xs: Tensor | Number) -> None:
    """RuntimeError if one of the two sides of a subtraction is bool."""
    if any(isinstance(x, bool) or getattr(x, "dtype", None) is bool_dtype for x in xs):
        raise RuntimeError("subtraction of or from bools is not supported: use ^, or .int() first")


def rsub(input: Tensor, other: Number) -> Tensor:
    """other − input, for a number."""
    no_bools(input, other)
    x = cast(
        input, result_type(input.array, plain(other))
    )  # before the sign changes: −x has no room in integers for −2⁶³
    return _with_number(scalars.ADD_SCALAR, neg(x), other)


def mul(input: Tensor, other: Tensor | Number) -> Tensor:
    """input · other."""
    if isinstance(other, TensorBase):
        return _pair(arithmetic.MUL, input, other)
    return _with_number(arithmetic.MUL_SCALAR, input, other)


def div(input: Tensor, other: Tensor | Number) -> Tensor:
    """input / other, in floating point also for integers."""
    if isinstance(other, TensorBase):
        if result_type(input.array, other.array).kind != "f":
            input, other = floating(input), floating(other)
        return _pair(more_arithmetic.DIV, input, other)
    return _with_number(scalars.DIV_SCALAR, floating(input), other)


def rdiv(input: Tensor, other: Number) -> Tensor:
    """other / input, for a number."""
    x = floating(input)
    return _pair(more_arithmetic.DIV, as_tensor_like(other, x), x)


def neg(input: Tensor) -> Tensor:
    """−input; RuntimeError for bools."""
    if input.array.dtype == bool:
        raise RuntimeError("negation of a bool tensor is not supported: use ~ or logical_not")
    return apply(more_arithmetic.NEG, input)


def pow(input: Tensor | Number, exponent: Tensor | Number) -> Tensor:
    """input ** exponent; either may be a number."""
    if isinstance(exponent, TensorBase):
        base = input if isinstance(input, TensorBase) else as_tensor_like(input, exponent)
        _check_integer_power(result_type(base.array, exponent.array), exponent.array)
        return _pair(powers.POW, base, exponent)
    assert isinstance(input, TensorBase)
    _check_integer_power(result_type(input.array, exponent), np.asarray(exponent))
    return _with_number(powers.POW_SCALAR, input, exponent)


def _check_integer_power(dtype: np.dtype[Any], exponent: Array) -> None:
    if dtype.kind == "b":
        raise NotImplementedError("pow: not implemented for bools; call .int() first")
    if dtype.kind == "i" and (exponent < 0).any():
        raise RuntimeError("Integers to negative integer powers are not allowed; call .float() first")


def rpow(input: Tensor, base: Number) -> Tensor:
    """base ** input, for a number."""
    return pow(base, input)


def floor_divide(input: Tensor, other: Tensor | Number) -> Tensor:
    """⌊input / other⌋, no gradient."""
    return _no_gradient(np.floor_divide, input, other)


def remainder(input: Tensor, other: Tensor | Number) -> Tensor:
    """input − other·⌊input / other⌋: the sign of other. No gradient."""
    return _no_gradient(np.remainder, input, other)


def _no_gradient(ufunc: np.ufunc, a: Tensor, b: Tensor | Number) -> Tensor:
    b = as_tensor_like(b, a)
    if is_grad_enabled() and (a.requires_grad or b.requires_grad):
        raise NotImplementedError(
            f"the gradient of {ufunc.__name__} is outside tinytensor's subset: .detach() the operands"
        )
    dtype = result_type(a.array, b.array)
    if dtype.kind == "b":
        raise NotImplementedError(f"{ufunc.__name__}: not implemented for bools; call .int() first")
    if dtype.kind != "f" and a.array.size and not b.array.all():
        raise RuntimeError(f"ZeroDivisionError: {ufunc.__name__} of integers by zero")
    try:
        with np.errstate(all="ignore"):
            return wrap(ufunc(a.array.astype(dtype), b.array.astype(dtype)))
    except ValueError as error:
        raise RuntimeError(f"{ufunc.__name__}: {error}; what fits: {arithmetic.BROADCAST}") from None


# -------------------------------------------------------------------------------- functions of one input


def exp(input: Tensor) -> Tensor:
    """eˣ."""
    return apply(unary.EXP, floating(input))


def log(input: Tensor) -> Tensor:
    """ln x; −∞ at 0, nan below."""
    return apply(unary.LOG, floating(input))


def log2(input: Tensor) -> Tensor:
    """ln x / ln 2."""
    return log(input) / math.log(2)


def log10(input: Tensor) -> Tensor:
    """ln x / ln 10."""
    return log(input) / math.log(10)


def sqrt(input: Tensor) -> Tensor:
    """√x; nan below 0."""
    return apply(unary.SQRT, floating(input))


def rsqrt(input: Tensor) -> Tensor:
    """1 / √x; ∞ at 0."""
    return pow(floating(input), -0.5)


def square(input: Tensor) -> Tensor:
    """x²."""
    return pow(input, 2)


def abs(input: Tensor) -> Tensor:
    """|x|; the derivative at 0 is 0. NotImplementedError for bools."""
    implemented("abs", "fi", input)
    return apply(unary.ABS, input)


def sin(input: Tensor) -> Tensor:
    """sin x, x in radians."""
    return apply(unary.SIN, floating(input))


def cos(input: Tensor) -> Tensor:
    """cos x, x in radians."""
    return apply(unary.COS, floating(input))


def tanh(input: Tensor) -> Tensor:
    """tanh x = (eˣ − e⁻ˣ) / (eˣ + e⁻ˣ)."""
    return apply(unary.TANH, floating(input))


def sigmoid(input: Tensor) -> Tensor:
    """σ(x) = 1 / (1 + e⁻ˣ)."""
    return apply(unary.SIGMOID, floating(input))


def relu(input: Tensor) -> Tensor:
    """max(x, 0); the derivative at 0 is 0. RuntimeError for bools."""
    if input.array.dtype == bool:
        raise RuntimeError("relu: bool tensors are not supported; call .int() first")
    return apply(unary.RELU, input)


def log1p(input: Tensor) -> Tensor:
    """ln(1 + x), exact for small x."""
    return apply(unary.LOG1P, floating(input))


def expm1(input: Tensor) -> Tensor:
    """eˣ − 1, exact for small x."""
    return apply(unary.EXPM1, floating(input))


def erf(input: Tensor) -> Tensor:
    """The error function 2/√π ∫₀ˣ e⁻ᵗ² dt."""
    return apply(ERF, floating(input))


def reciprocal(input: Tensor) -> Tensor:
    """1 / x."""
    return rdiv(input, 1)


def sign(input: Tensor) -> Tensor:
    """−1, 0 or 1, as x is below, at or above 0 (nan counts as 0), in the dtype of x; the derivative is 0."""
    return input.clone() if input.array.dtype == bool else apply(unary.STEPS, input, ufunc=_sign)


def _sign(x: Array) -> Array:
    return (x > 0).astype(x.dtype) - (x < 0).astype(x.dtype)


def _steps(ufunc: np.ufunc, symbol: str) -> Callable[[Tensor], Tensor]:
    def step(input: Tensor) -> Tensor:
        implemented(ufunc.__name__, "fiu", input)
        return apply(unary.STEPS, input, ufunc=ufunc)

    step.__name__ = step.__qualname__ = ufunc.__name__
    step.__doc__ = f"{symbol}, in the dtype of x; the derivative is 0."
    return step


floor: Callable[[Tensor], Tensor] = _steps(np.floor, "⌊x⌋")
ceil: Callable[[Tensor], Tensor] = _steps(np.ceil, "⌈x⌉")
trunc: Callable[[Tensor], Tensor] = _steps(np.trunc, "x without its decimals")


def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """x to so many decimals, halves to the even neighbour; the derivative is 0."""
    implemented("round", "f" if decimals else "fiu", input)
    if input.array.dtype.kind != "f":
        return input.clone()
    scale = 10.0**decimals
    return (
        apply(unary.STEPS, input * scale, ufunc=np.rint) / scale
        if decimals
        else apply(unary.STEPS, input, ufunc=np.rint)
    )


def lerp(input: Tensor, end: Tensor, weight: Tensor | Number) -> Tensor:
    """input + weight·(end − input), of floats; RuntimeError for Tensors of different dtypes."""
    implemented("lerp", "f", input)
    for x in (end, weight):
        if isinstance(x, TensorBase) and x.dtype is not input.dtype:
            raise RuntimeError(f"lerp: expected all to have the same dtype, but got {input.dtype} and {x.dtype}")
    return input + weight * (end - input)


def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1) -> Tensor:
    """input + value·tensor1·tensor2."""
    input, a, b = _in_one_dtype(input, tensor1, tensor2)
    implemented("addcmul", "fiu", input)
    return add(input, a * b, alpha=value)


def _in_one_dtype(*xs: Tensor) -> list[Tensor]:
    dtype = result_type(*(x.array for x in xs))
    return [cast(x, dtype) for x in xs]


def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1) -> Tensor:
    """input + value·tensor1 / tensor2; RuntimeError for a quotient of integers."""
    if not (tensor1.is_floating_point() or tensor2.is_floating_point()):
        raise RuntimeError("addcdiv: integer division is not supported; call .float() first")
    input, a, b = _in_one_dtype(input, tensor1, tensor2)
    return add(input, a / b, alpha=value)


# ------------------------------------------------------------------------------------------- choices


def maximum(input: Tensor, other: Tensor) -> Tensor:
    """The larger of two Tensors, element by element; ties share the gradient."""
    return _pair(choice.MAXIMUM, input, other)


def minimum(input: Tensor, other: Tensor) -> Tensor:
    """The smaller of two Tensors, element by element; ties share the gradient."""
    return _pair(choice.MINIMUM, input, other)


def clamp(input: Tensor, min: Tensor | Number | None = None, max: Tensor | Number | None = None) -> Tensor:
    """min(max(x, low), high); the gradient passes where low ≤ x ≤ high. RuntimeError without any limit."""
    if min is None and max is None:
        raise RuntimeError("clamp: at least one of 'min' or 'max' must not be None")
    if isinstance(min, TensorBase) or isinstance(max, TensorBase):
        x = input  # at a tie the gradient is x's, as in PyTorch
        if min is not None:
            floor = as_tensor_like(min, x)
            x = where(logical_or(x >= floor, isnan(x)), x, floor)
        if max is not None:
            ceiling = as_tensor_like(max, x)
            x = where(logical_or(x <= ceiling, isnan(x)), x, ceiling)
        return x
    low, high = (None if limit is None else plain(limit) for limit in (min, max))
    dtype = result_type(input.array, *(limit for limit in (low, high) if limit is not None))
    return apply(choice.CLAMP, cast(input, dtype), low=low, high=high)


clip: Callable[..., Tensor] = clamp


def where(condition: Tensor, input: Tensor | Number, other: Tensor | Number) -> Tensor:
    """input where condition holds, else other. condition: a bool Tensor."""
    if condition.array.dtype != bool:
        raise RuntimeError(
            f"where expected condition to be a boolean tensor, but got a tensor with dtype {condition.dtype}"
        )
    xp = array_module(condition.array)
    a, b = (x if isinstance(x, TensorBase) else wrap(xp.asarray(x, number_dtype(x))) for x in (input, other))
    if isinstance(input, TensorBase) and isinstance(other, TensorBase):
        dtype = result_type(a.array, b.array)
    else:  # a number gives way to a Tensor of its kind
        dtype = result_type(*(x.array if isinstance(x, TensorBase) else x for x in (input, other)))
    return apply(choice.WHERE, cast(a, dtype), cast(b, dtype), condition=condition.array)


def where_method(input: Tensor, condition: Tensor, other: Tensor | Number) -> Tensor:
    """input where condition holds, else other."""
    return where(condition, input, other)


def masked_fill(input: Tensor, mask: Tensor, value: Tensor | Number) -> Tensor:
    """value where the bool mask holds, else input, in input's dtype."""
    if mask.array.dtype != bool:
        raise RuntimeError(f"masked_fill only supports boolean masks, but got mask with dtype {mask.dtype}")
    value = filling("masked_fill", value, input)
    return apply(choice.WHERE, cast(value, input.array.dtype), input, condition=mask.array)


def filling(name: str, value: Tensor | Number, like: Tensor) -> Tensor:
    """The one value to fill `like` with, as a 0-d Tensor; RuntimeError for more, and for nan or ∞ among integers."""
    value = as_tensor_like(value, like)
    if value.ndim:
        raise RuntimeError(f"{name} takes a number or a 0-dimensional tensor as value, not {value.ndim} dimension(s)")
    if like.array.dtype.kind == "i" and not np.isfinite(value.array):
        raise RuntimeError(f"{name}: {value.item()} cannot be converted to {like.dtype}")
    return value


# ------------------------------------------------------------------------------- comparisons and logic


def _comparison(ufunc: np.ufunc, symbol: str) -> Comparison:
    def compare(input: Tensor, other: Tensor | Number) -> Tensor:
        if isinstance(other, TensorBase):
            b: Array = other.array
        elif _is_number(other):
            b = plain(other)
        elif is_array(other):
            b = other
        else:
            return NotImplemented  # type: ignore[no-any-return]
        if symbol in "&|^":
            implemented(ufunc.__name__, "ib", input, other)
        a: Array = input.array
        if isinstance(other, TensorBase) and a.dtype != b.dtype:  # NumPy would compare int32 and float32 as float64
            dtype = result_type(a, b)
            with np.errstate(all="ignore"):
                a, b = a.astype(dtype), b.astype(dtype)
        try:
            return wrap(ufunc(a, b))
        except ValueError as error:
            raise RuntimeError(f"{ufunc.__name__}: {error}; what fits: {arithmetic.BROADCAST}") from None

    compare.__name__ = compare.__qualname__ = ufunc.__name__
    compare.__doc__ = f"input {symbol} other, as a bool Tensor; no gradient."
    return compare


eq: Comparison = _comparison(np.equal, "=")
ne: Comparison = _comparison(np.not_equal, "≠")
lt: Comparison = _comparison(np.less, "<")
le: Comparison = _comparison(np.less_equal, "≤")
gt: Comparison = _comparison(np.greater, ">")
ge: Comparison = _comparison(np.greater_equal, "≥")
logical_and: Comparison = _comparison(np.logical_and, "and")
logical_or: Comparison = _comparison(np.logical_or, "or")
bitwise_and: Comparison = _comparison(np.bitwise_and, "&")
bitwise_or: Comparison = _comparison(np.bitwise_or, "|")
bitwise_xor: Comparison = _comparison(np.bitwise_xor, "^")


def logical_not(input: Tensor) -> Tensor:
    """not input, as a bool Tensor."""
    return wrap(np.logical_not(input.array))


def bitwise_not(input: Tensor) -> Tensor:
    """~input, of a bool or integer Tensor."""
    if input.array.dtype.kind == "f":
        raise TypeError(f"~ (bitwise_not) takes bool and integer tensors, not {input.dtype}")
    return wrap(np.invert(input.array))


def isfinite(input: Tensor) -> Tensor:
    """Neither infinite nor nan, as a bool Tensor."""
    return wrap(np.isfinite(input.array))


def isinf(input: Tensor) -> Tensor:
    """Infinite, as a bool Tensor."""
    return wrap(np.isinf(input.array))


def isnan(input: Tensor) -> Tensor:
    """Not a number, as a bool Tensor."""
    return wrap(np.isnan(input.array))
