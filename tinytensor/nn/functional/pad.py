"""pad: values around a Tensor."""

from __future__ import annotations

from collections.abc import Sequence

from tinytensor.functions.dims import whole
from tinytensor.tensor import Tensor


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Add `value` (0 if None) around x: pad = (left, right, top, bottom, …), last dimension first; negative sizes crop.

    NotImplementedError for a mode other than "constant", RuntimeError for sizes that do not fit.
    """
    if mode != "constant":
        raise NotImplementedError(f"pad: mode {mode!r} is outside tinytensor's subset: use 'constant'")
    pad = [whole(n) for n in pad]
    if len(pad) % 2 or len(pad) > 2 * input.ndim:
        raise RuntimeError(f"pad: {tuple(pad)} needs two numbers for each of up to {input.ndim} dimensions")
    ends = [(0, 0)] * (input.ndim - len(pad) // 2) + list(zip(pad[::2], pad[1::2], strict=True))[::-1]
    pairs = list(zip(ends, input.shape, strict=True))
    if any(n + min(a, 0) + min(b, 0) < 0 for (a, b), n in pairs):
        raise RuntimeError(f"pad: {tuple(pad)} leaves a negative size of {tuple(input.shape)}")
    # what is left of x after cropping …
    x = input[tuple(slice(max(0, -a), n - max(0, -b)) for (a, b), n in pairs)]
    if max(pad, default=0) <= 0:
        return x.clone()
    # … is copied into a tensor filled with the value
    y = input.new_full([n + a + b for (a, b), n in pairs], 0 if value is None else value)
    y[tuple(slice(max(0, a), n + a + b - max(0, b)) for (a, b), n in pairs)] = x
    return y
