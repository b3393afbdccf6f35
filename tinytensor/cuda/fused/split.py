"""Split, whose backward copies nothing if the gradients lie side by side, as those of fused attention do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinytensor.backend import Array, array_module
from tinytensor.cuda.fused import replace
from tinytensor.ops.shape import split_backward, split_forward
from tinytensor.primitive import Gradients


def backward(dys: list[Array | None], *saved: Any) -> Gradients:
    whole = joined(dys, saved[-1])
    return split_backward(dys, *saved) if whole is None else (whole,)


def joined(parts: Sequence[Array | None], axis: int) -> Array | None:
    """The one array that has these parts side by side along axis, in the same memory; None if there is none."""
    first, end, size = parts[0], None, 0
    for x in parts:
        if x is None or first is None or (x.dtype, x.strides) != (first.dtype, first.strides):
            return None
        if x.data.mem is not first.data.mem or end not in (None, x.data.ptr):  # one array may come twice
            return None
        if x.shape[:axis] != first.shape[:axis] or x.shape[axis + 1 :] != first.shape[axis + 1 :]:
            return None
        end = x.data.ptr + x.shape[axis] * x.strides[axis]
        size += x.shape[axis]
    assert first is not None
    shape = (*first.shape[:axis], size, *first.shape[axis + 1 :])
    return array_module(first).ndarray(shape, first.dtype, first.data, first.strides)


replace("split", split_forward, backward)
