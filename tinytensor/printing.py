"""How a Tensor prints: PyTorch's layout, with four decimals, whole numbers as `2.`, long ones shortened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.dtypes import bool as bool_dtype
from tinytensor.dtypes import float32, int64

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor


options: dict[str, Any] = {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80, "sci_mode": None}


def show(x: Tensor) -> str:
    """tensor([[1., 2.]], dtype=…, device=…, requires_grad=… or grad_fn=…), without the defaults."""
    array = x.detach().cpu().array
    notes = []
    if x.device.type != "cpu":
        notes.append(f"device='{x.device}'")
    if array.size == 0 and array.ndim != 1:
        notes.append(f"size={tuple(array.shape)}")
    if x.dtype not in (float32, int64, bool_dtype) or (array.size == 0 and x.dtype is not float32):
        notes.append(f"dtype={x.dtype}")
    if x.grad_fn is not None:
        notes.append(f"grad_fn=<{x.grad_fn.name()}>")
    elif x.requires_grad:
        notes.append("requires_grad=True")
    text = "tensor(" + ("[]" if array.size == 0 else numbers(array))
    for note in notes:
        room = 80 - len(text.rpartition("\n")[2]) - len(note) - len(", ") - len(")")
        text += (", " if room > 0 else ",\n       ") + note
    return text + ")"


def numbers(array: np.ndarray[Any, Any]) -> str:
    """The numbers in nested brackets."""
    kind = array.dtype.kind
    one = _float_format(array) if kind == "f" else str
    longest = (
        array[np.isfinite(array) & (array != 0)] if kind == "f" else array
    )  # as PyTorch: no extra width for −0 and −∞
    width = max(len(one(v)) for v in (longest.min(), longest.max())) if longest.size else 0
    return np.array2string(
        array, separator=", ", prefix="tensor(", threshold=options["threshold"], edgeitems=options["edgeitems"],
        max_line_width=options["linewidth"],
        formatter={"all": lambda v: one(v).rjust(width if array.ndim else 0)},
    ).replace(" ..., ", "  ..., ")  # fmt: skip


def _float_format(array: np.ndarray[Any, Any]) -> Any:
    """`2.` if all are whole, else four decimals; scientific if the largest is over 1000 times the smallest."""
    decimals, scientific = options["precision"], options["sci_mode"]
    finite = np.abs(array[np.isfinite(array)].astype(np.float64))
    nonzero = finite[finite > 0]
    if nonzero.size == 0:
        spec = ".0f"
    elif (finite == np.floor(finite)).all():
        wide = nonzero.max() > 1e8 or nonzero.max() / nonzero.min() > 1000
        spec = f".{decimals}e" if (wide if scientific is None else scientific) else ".0f"
    else:
        top, low = nonzero.max(), nonzero.min()
        wide = top / low > 1000 or top > 1e8 or low < 1e-4
        spec = f".{decimals}{'e' if (wide if scientific is None else scientific) else 'f'}"

    def one(v: float) -> str:
        text = format(v, spec)
        return text + "." if spec == ".0f" and np.isfinite(v) else text

    return one
