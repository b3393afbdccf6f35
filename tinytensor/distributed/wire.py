"""Wire: the values of a Tensor as ranks exchange them, in flat, contiguous memory and a dtype that MPI can add up.

    bool       bytes of 0 and 1: their sum is the largest (or), their product the smallest (and)
    float16    MPI has no such type: float32, rounded at the end
    uint8      uint32, of which the lowest byte counts: sums of bytes stop at 255 in some Open MPIs

What is only moved is bytes. All other dtypes stay as they are, and a contiguous Tensor is exchanged in its own memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.backend import Array, array_module
from tinytensor.writes import note_write

WIDER = {"float16": np.float32, "uint8": np.uint32}


class Wire:
    """One Tensor to send, to receive, or both."""

    def __init__(self, tensor: Any, *, host: bool = False, moved: bool = False) -> None:
        """host: exchange it in memory of the host; moved: only bytes are moved, nothing is added up."""
        self.tensor, x = tensor, tensor.array
        if host and not isinstance(x, np.ndarray):
            x = x.get()
        if not moved and isinstance(x, np.ndarray) and x.dtype.name in WIDER:  # NCCL needs no more than its class does
            x = x.astype(WIDER[x.dtype.name])
        elif not (x.flags.c_contiguous and getattr(x.flags, "writeable", True)):
            x = x.copy(order="C")
        self.own = x is not tensor.array  # a copy: the Tensor has to be written at the end
        x = x.reshape(-1)
        self.array: Array = x.view(np.uint8) if moved or x.dtype == np.bool_ else x

    def put(self) -> Any:
        """Write what has arrived into the Tensor, and return it."""
        target = self.tensor.array
        if self.own:
            write(target, self.array)
        note_write(target)
        return self.tensor


def write(target: Array, x: Array) -> None:
    """target ← the values on the wire."""
    if x.dtype == np.uint8 and x.dtype != target.dtype:
        x = x.view(target.dtype)  # bytes that were moved, or bools
    with np.errstate(over="ignore"):  # float16 rounds to infinity
        target[...] = (x if isinstance(target, np.ndarray) else array_module(target).asarray(x)).reshape(target.shape)


def apart(part: Array, whole: Array) -> Array:
    """The part in memory of its own, if it lies in the whole: MPI wants them apart."""
    if isinstance(part, np.ndarray):
        return part.copy() if np.may_share_memory(part, whole) else part
    return part  # NCCL takes a part in its own place
