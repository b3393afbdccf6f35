"""Rotary positions: turn each pair of numbers of a query or key by an angle that grows with the position.

    pair j:   z[t, j] = x[t, 2j] + i·x[t, 2j+1],   y = z · e^(i θ[t, j]),   θ[t, j] = t · 10000^(−2j / D),   i = √−1

The product of a query turned by t and a key turned by s depends on t − s alone, so attention sees distances.
Source: Su et al., "RoFormer", 2021, section 3.2.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from tinytensor import Tensor, stack, tensor
from tinytensor.backend import Array, array_module
from tinytensor.dispatch import kernels_in
from tinytensor.primitive import Gradients, Output, primitive
from tinytensor.tape import apply


def rotary_forward(x: Array, *, start: int = 0) -> Output:
    turn = turns(x, start)  # (T, D/2)
    return turned(x, turn), (turn,)  # y = z e^(iθ); the backward needs no x


def rotary_backward(dy: Array, turn: Array) -> Gradients:
    return (turned(dy, turn.conj()),)  # y = R z with a rotation R, so dz = Rᵀ dy: Rᵀ turns back, by e^(−iθ)


def rotary_composed(x: Any, *, start: int = 0) -> Any:  # in real numbers: (a + ib)(cos θ + i sin θ)
    turn = turns(x.array, start)
    cos, sin = tensor(turn.real, dtype=x.dtype), tensor(turn.imag, dtype=x.dtype)  # (T, D/2) each
    a, b = x[..., 0::2], x[..., 1::2]  # (…, T, D/2) each
    return stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)  # (…, T, D/2, 2) -> (…, T, D)


FORMULA = "y = x·e^(iθ), pairs as complex numbers"
ROTARY = primitive("rotary", rotary_forward, rotary_backward, composed=rotary_composed, formula=FORMULA)
kernels_in("gpt.fast.rotary_kernel")  # on a GPU the pair in that module takes its place


def rotary(x: Tensor, start: int = 0) -> Tensor:
    """Return x (…, T, D), D even, turned by the angles of the positions start … start + T − 1."""
    return apply(ROTARY, x, start=start)


def turns(x: Array, start: int) -> Array:
    """Return e^(iθ) for the positions and pairs of x (…, T, D): (T, D/2) complex numbers of its precision."""
    kind, end = np.result_type(x.dtype, np.complex64), start + x.shape[-2]
    return table(1 << (end - 1).bit_length(), x.shape[-1], kind, array_module(x))[start:end]


@cache  # kept for ever: a recorded CUDA graph reads it. Lengths are powers of two, so few tables are made
def table(length: int, width: int, dtype: Any, xp: Any) -> Array:
    angles = np.arange(length)[:, None] * 10_000.0 ** (-np.arange(0, width, 2) / width)  # (T, 1) · (D/2,) -> (T, D/2)
    return xp.asarray(np.exp(1j * angles).astype(dtype))


def turned(x: Array, turn: Array) -> Array:  # the pairs of x as complex numbers, times turn
    dtype, wide = x.dtype, np.result_type(x.dtype, np.float32)  # float16 has no complex type: computed in float32
    if x.strides[-1] != x.itemsize or dtype != wide:  # a view needs the numbers of a pair side by side
        x = x.astype(wide, order="C")
    y = x.view(turn.dtype) * turn  # (…, T, D) -> (…, T, D/2)
    return y.view(wide).astype(dtype, copy=False)  # (…, T, D/2) -> (…, T, D)
