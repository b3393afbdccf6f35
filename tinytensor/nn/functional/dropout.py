"""dropout: in training, elements are set to 0 at random."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.backend import Array
from tinytensor.dispatch import gpu
from tinytensor.layout import elementwise
from tinytensor.nn.functional.activations import activate
from tinytensor.ops.dropout import DROPOUT
from tinytensor.random import kept
from tinytensor.tape import apply
from tinytensor.tensor import Tensor


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, set each element of x to 0 with probability p and divide the others by 1 − p; otherwise return x.

    ValueError for p outside [0, 1]. Source: Srivastava et al., "Dropout", JMLR 15, 2014, sections 4 and 10.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0:
        return input
    if input.array.dtype.kind != "f" and p < 1:
        raise RuntimeError(f"dropout: result type float32 can't be cast to {input.dtype}; call .float() first")
    mask = draw_mask(input.array, p, input.array.shape)
    return activate("dropout", lambda x: _dropped(x, mask), input, inplace)


def _dropped(x: Tensor, mask: Any) -> Tensor:
    y = apply(DROPOUT, x, mask=mask)
    if not x.array.flags.c_contiguous:  # the mask is drawn in row-major memory
        y.array = elementwise(y.array, x.array)
    return y


def draw_mask(like: Array, p: float, shape: tuple[int, ...]) -> Any:
    """An array that holds 0 with probability p and 1/(1 − p) otherwise, drawn from the generator of this thread.

    On a GPU it is an object from which the kernel draws the same mask in the forward and in the backward.
    """
    if not isinstance(like, np.ndarray):
        return gpu("dropout_mask")(p, shape, like.device.id)
    mask = kept(shape, p).astype(like.dtype)
    if p < 1:  # else there is nothing but zeros
        mask *= 1 / (1 - p)
    return mask
