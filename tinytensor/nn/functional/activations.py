"""Activations: one function of each element, except glu, which halves a dimension."""

from __future__ import annotations

from collections.abc import Callable

from tinytensor import functions
from tinytensor.functions import expm1, where
from tinytensor.functions.inplace import write
from tinytensor.functions.operands import implemented, in_float32, in_its_order
from tinytensor.layout import elementwise
from tinytensor.ops.gelu import GELU_TANH
from tinytensor.ops.gelu_exact import GELU
from tinytensor.ops.unary import SILU, SOFTPLUS
from tinytensor.tape import apply
from tinytensor.tensor import Tensor


def activate(name: str, function: Callable[..., Tensor], input: Tensor, inplace: bool, *args: float) -> Tensor:
    """function(input), or the same written into input if inplace; `name` is for the error messages."""
    return write(input, f"{name}_", function, *args) if inplace else function(input, *args)


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0); the derivative at 0 is 0."""
    return activate("relu", functions.relu, input, inplace)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where x > 0, negative_slope·x elsewhere. Source: Maas, Hannun and Ng, 2013."""
    implemented("leaky_relu", "f", input)
    return activate("leaky_relu", lambda x: where(x > 0, x, x * negative_slope), input, inplace)


def relu_(input: Tensor) -> Tensor:
    """relu, in place."""
    return relu(input, inplace=True)


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """leaky_relu, in place."""
    return leaky_relu(input, negative_slope, inplace=True)


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """elu, in place."""
    return elu(input, alpha, inplace=True)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, alpha·(eˣ − 1) elsewhere. Source: Clevert, Unterthiner and Hochreiter, 2016."""
    implemented("elu", "f", input)
    return activate("elu", _elu, input, inplace, alpha)


@in_float32
def _elu(x: Tensor, alpha: float) -> Tensor:
    low = x <= 0
    return where(low, alpha * expm1(where(low, x, 0.0)), x)  # expm1 of 0 elsewhere, whose derivative is no nan


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """ln(1 + e^(beta·x)) / beta, or x itself where beta·x > threshold."""
    implemented("softplus", "f", input)
    return where(input * beta > threshold, input, apply(SOFTPLUS, input * beta) / beta)


def logsigmoid(input: Tensor) -> Tensor:
    """ln σ(x) = −ln(1 + e⁻ˣ), in row-major memory, as in PyTorch."""
    implemented("log_sigmoid", "f", input)
    return 0 - apply(SOFTPLUS, -functions.contiguous(input))  # 0 − y, because −y would turn 0 into −0


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a σ(b), where a and b are the two halves of x along dim. RuntimeError if dim has an odd size.

    Source: Dauphin et al., 2017.
    """
    if not input.ndim:
        raise RuntimeError("glu: a 0-dimensional Tensor has no halves")
    implemented("glu", "f", input)
    if input.shape[dim] % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim} is size {input.shape[dim]}")
    a, b = input.chunk(2, dim)
    return a * b.sigmoid()


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x Φ(x), where Φ is the normal distribution function; approximate="tanh" selects the form of GPT-2.

    RuntimeError for another name. Source: Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016, section 2.
    """
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f"gelu: approximate argument must be either none or tanh, not {approximate!r}")
    implemented("gelu", "f", input)
    y = apply(GELU_TANH if approximate == "tanh" else GELU, input)
    if not input.array.flags.c_contiguous:  # its kernels work in row-major memory
        y.array = elementwise(y.array, input.array)
    return y


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x σ(x). Source: Elfwing, Uchibe and Doya, "Sigmoid-weighted linear units", 2018, equation 1."""
    implemented("silu", "f", input)
    return activate("silu", lambda x: apply(SILU, in_its_order(x)), input, inplace)
