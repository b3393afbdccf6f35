"""Rotary positions: pairs of a query's or key's numbers are turned by an angle that grows with the position.

    y[t, i] = x[t, i] · e^(i θ[t, i]),     θ[t, i] = t · 10000^(−2i / D),     x[t, i] = x[t, 2i] + i x[t, 2i+1]

The product of a query turned by t and a key turned by s depends on t − s alone, so attention sees distances.
A turn is undone by turning back: the gradient is dy · e^(−i θ). It is a primitive of its own, because written out in
sines and cosines it would cost a fifth of the training step.
Source: Su et al., "RoFormer", 2021, arXiv:2104.09864, section 3.2.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from tinytensor import Tensor, stack, tensor
from tinytensor.backend import Array, array_module
from tinytensor.primitive import KERNELS, primitive
from tinytensor.tape import apply


def rotary_forward(x: Array, *, start: int = 0) -> Any:
    turn = turns(start, x.shape[-2], x.shape[-1], complex_of(x.dtype), array_module(x))
    return as_real(as_complex(x) * turn, x.dtype), (turn,)


def rotary_backward(dy: Array, turn: Array) -> Any:
    return (as_real(as_complex(dy) * turn.conj(), dy.dtype),)


def as_complex(x: Array) -> Array:
    """Neighbours in the last dimension as real and imaginary part: (…, D) floats → (…, D/2) complex numbers."""
    kind = complex_of(x.dtype)
    if x.strides[-1] != x.itemsize or kind.itemsize != 2 * x.itemsize:
        x = x.astype(kind.type(0).real.dtype, order="C")
    return x.view(kind)


def as_real(z: Array, dtype: Any) -> Array:
    """(…, D/2) complex numbers as (…, D) floats of that dtype."""
    return z.view(dtype) if z.itemsize == 2 * dtype.itemsize else z.view(np.float32).astype(dtype)


def complex_of(dtype: Any) -> Any:
    """The complex type made of two of these; float16 has none, and is computed in float32."""
    return np.result_type(dtype, np.complex64)


def turns(start: int, length: int, width: int, dtype: Any, xp: Any) -> Array:
    """e^(i θ) for `length` positions from `start` on and every pair, (T, D/2)."""
    end = start + length
    return table(1 << (end - 1).bit_length(), width, dtype, xp)[start:end]  # a power of two: a few tables serve all


@cache  # for good: a recorded CUDA graph goes on reading it
def table(length: int, width: int, dtype: Any, xp: Any) -> Array:
    """e^(i θ) for positions 0 … length − 1."""
    angles = np.arange(length)[:, None] * 10_000.0 ** (-np.arange(0, width, 2) / width)
    return xp.asarray(np.exp(1j * angles).astype(dtype))


def rotary_composed(x: Any, *, start: int = 0) -> Any:
    """The same in real numbers: (a + ib)(cos θ + i sin θ), written out."""
    turn = turns(start, x.shape[-2], x.shape[-1], complex_of(x.array.dtype), array_module(x.array))
    cos, sin = tensor(turn.real, dtype=x.dtype), tensor(turn.imag, dtype=x.dtype)  # (T, D/2)
    a, b = x[..., 0::2], x[..., 1::2]  # (…, T, D/2)
    return stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)  # (…, T, D)


ROTARY = primitive(
    "rotary", rotary_forward, rotary_backward, composed=rotary_composed,
    formula="y = x·e^(iθ), pairs as complex numbers",
)  # fmt: skip
KERNELS.append("gpt.rotary_kernel")


def rotary(x: Tensor, start: int = 0) -> Tensor:
    """x (…, T, D), D even, with the pairs of positions start … start + T − 1 turned by their angles."""
    return apply(ROTARY, x, start=start)
