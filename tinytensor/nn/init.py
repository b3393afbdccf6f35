"""Initial values, written in place. The random ones keep the variance of activations from layer to layer.

fan_in and fan_out are the numbers of inputs and outputs of a weight (fan_out, fan_in, …).
Sources: Glorot and Bengio 2010 (xavier), He et al. 2015 (kaiming).
"""

from __future__ import annotations

import math

from tinytensor.modes import no_grad
from tinytensor.nn.undrawn import draws
from tinytensor.random import Generator
from tinytensor.subset import outside
from tinytensor.tensor import Tensor


def constant_(tensor: Tensor, val: float) -> Tensor:
    """tensor = val."""
    with no_grad():
        return tensor.fill_(val)


def zeros_(tensor: Tensor) -> Tensor:
    """tensor = 0."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """tensor = 1."""
    return constant_(tensor, 1.0)


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """tensor ~ U(a, b)."""
    with no_grad():
        return tensor.uniform_(a, b, generator=generator) if draws() else tensor


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """tensor ~ N(mean, std²)."""
    with no_grad():
        return tensor.normal_(mean, std, generator=generator) if draws() else tensor


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """tensor ~ N(mean, std²). Values outside [a, b] (absolute bounds) are drawn again.

    ValueError if less than a thousandth of the draws would be inside, because redrawing would hardly end.
    """
    below = [0.5 * math.erf((x - mean) / (std * math.sqrt(2))) for x in (a, b)]
    if below[1] - below[0] < 1e-3:
        raise ValueError(f"[{a}, {b}] lies too far in the tail of N({mean}, {std}²) to draw from")
    normal_(tensor, mean, std, generator)
    values = tensor.array
    while n := int((outside := (values < a) | (values > b)).sum()):
        values[outside] = normal_(tensor.new_zeros(n), mean, std, generator).array
    return tensor


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """tensor ~ U(−b, b), b = gain · √(6 / (fan_in + fan_out))."""
    bound = gain * math.sqrt(6 / sum(_fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """tensor ~ N(0, s²), s = gain · √(2 / (fan_in + fan_out))."""
    return normal_(tensor, 0.0, gain * math.sqrt(2 / sum(_fans(tensor))), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """tensor ~ U(−b, b), b = gain · √(3 / fan); a is the slope of a leaky ReLU below zero."""
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """tensor ~ N(0, s²), s = gain / √fan; a is the slope of a leaky ReLU below zero."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor of the weights that makes up for the variance that a nonlinearity removes.

    linear, sigmoid 1; tanh 5/3; relu √2; leaky_relu √(2 / (1 + param²)), where param is 0.01 by default;
    selu 3/4. ValueError for another name.
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"negative_slope {slope} not a valid number")
        return math.sqrt(2 / (1 + slope**2))
    gains = {"linear": 1, "sigmoid": 1, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}
    if nonlinearity not in gains:
        raise ValueError(f"Unsupported nonlinearity {nonlinearity}")
    return gains[nonlinearity]


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if tensor.numel() == 0:
        return 0.0  # nothing to draw
    modes = ["fan_in", "fan_out"]
    if mode not in modes:
        raise ValueError(f"Mode {mode} not supported, please use one of {modes}")
    fan = _fans(tensor)[modes.index(mode)]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def _fans(tensor: Tensor) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight (out, in, …); the sizes of the further dimensions multiply both."""
    if tensor.dim() < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    fan_out, fan_in, *field = tensor.shape
    return fan_in * math.prod(field), fan_out * math.prod(field)


__getattr__ = outside("tinytensor.nn.init")
