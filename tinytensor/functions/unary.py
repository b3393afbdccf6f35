"""Functions of one input, element by element: sign and rounding, sine and cosine, activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tinytensor.functions.dims import Omitted
from tinytensor.functions.operands import floating, implemented, in_float32, in_its_order
from tinytensor.ops.erf import ERF
from tinytensor.ops.unary import ABS, COS, RELU, SIGMOID, SIN, STEPS, TANH
from tinytensor.ops.unary import sign as sign_of
from tinytensor.tape import apply

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor


def sin(input: Tensor) -> Tensor:
    """sin x, x in radians."""
    return apply(SIN, floating(input))


def cos(input: Tensor) -> Tensor:
    """cos x, x in radians."""
    return apply(COS, floating(input))


def tanh(input: Tensor) -> Tensor:
    """tanh x = (eˣ − e⁻ˣ) / (eˣ + e⁻ˣ)."""
    return apply(TANH, floating(input))


def sigmoid(input: Tensor) -> Tensor:
    """σ(x) = 1 / (1 + e⁻ˣ)."""
    return apply(SIGMOID, floating(input))


def relu(input: Tensor) -> Tensor:
    """max(x, 0); the derivative at 0 is 0. RuntimeError for bools."""
    if input.array.dtype == bool:
        raise RuntimeError("relu: bool tensors are not supported; call .int() first")
    return apply(RELU, in_its_order(input))


def erf(input: Tensor) -> Tensor:
    """The error function 2/√π ∫₀ˣ e⁻ᵗ² dt."""
    return apply(ERF, floating(input))


def abs(input: Tensor) -> Tensor:
    """|x|; the derivative at 0 is 0. NotImplementedError for bools."""
    implemented("abs", "fiu", input)
    return apply(ABS, in_its_order(input))


def sign(input: Tensor) -> Tensor:
    """−1, 0 or 1, as x is below, at or above 0 (nan counts as 0), in the dtype of x; the derivative is 0."""
    return input.clone() if input.array.dtype == bool else apply(STEPS, in_its_order(input), ufunc=sign_of)


def _rounding(ufunc: np.ufunc, symbol: str) -> Callable[[Tensor], Tensor]:
    def rounded(input: Tensor) -> Tensor:
        implemented(ufunc.__name__, "fiu", input)
        return apply(STEPS, in_its_order(input), ufunc=ufunc)

    rounded.__name__ = rounded.__qualname__ = ufunc.__name__
    rounded.__doc__ = f"{symbol}, in the dtype of x; the derivative is 0."
    return rounded


floor: Callable[[Tensor], Tensor] = _rounding(np.floor, "⌊x⌋")
ceil: Callable[[Tensor], Tensor] = _rounding(np.ceil, "⌈x⌉")
trunc: Callable[[Tensor], Tensor] = _rounding(np.trunc, "x without its decimals")


@in_float32
def round(input: Tensor, *, decimals: int | Omitted = None) -> Tensor:
    """x rounded to `decimals` places (floats only), halves to the even neighbour; the derivative is 0."""
    implemented("round", "fiu" if decimals is None else "f", input)
    if input.array.dtype.kind != "f":
        return input.clone()
    scale = 10.0 ** (decimals or 0)
    return (
        apply(STEPS, input * scale, ufunc=np.rint) / scale
        if decimals
        else apply(STEPS, in_its_order(input), ufunc=np.rint)
    )
