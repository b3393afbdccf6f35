"""How a Tensor prints, in PyTorch's layout: one format for all numbers that are shown, and `...` for those left out."""

from __future__ import annotations

import math
from collections.abc import Callable
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
    if (array.size == 0 and array.ndim != 1) or (array.size and not options["edgeitems"]):
        notes.append(f"size={tuple(array.shape)}")
    if x.dtype not in (float32, int64, bool_dtype) or (array.size == 0 and x.dtype is not float32):
        notes.append(f"dtype={x.dtype}")
    if x.grad_fn is not None:
        notes.append(f"grad_fn=<{x.grad_fn.name()}>")
    elif x.requires_grad:
        notes.append("requires_grad=True")
    name = "tensor" if type(x).__name__ in ("Tensor", "Parameter") else type(x).__name__
    indent = len(name) + 1
    text = f"{name}({numbers(array, indent) if array.size else '[]'}"
    column = len(text) - text.rfind("\n") + 1
    for note in notes:
        width = len(note.replace("tinytensor.", "torch."))  # so that lines break where PyTorch's do
        fits = column + width + 2 <= options["linewidth"]
        text += (", " if fits else ",\n" + " " * indent) + note
        column = column + width + 2 if fits else indent + width
    return text + ")"


def numbers(array: np.ndarray[Any, Any], indent: int) -> str:
    """The numbers in nested brackets, of which the first stands in column `indent`."""
    edge = options["edgeitems"] if array.size > options["threshold"] else None
    shown = array
    for axis, n in enumerate(array.shape):
        if edge is not None and n > 2 * edge:
            shown = np.take(shown, [*range(edge), *range(n - edge, n)], axis)
    return _nested(array, indent, edge, *_format(shown))


def _format(shown: np.ndarray[Any, Any]) -> tuple[Callable[[Any], str], int]:
    """How to write one of these numbers, and the width of the longest; for floats ±0, nan and ±∞ do not count.

    Floats: `2.` if all are whole, else four decimals. As powers of ten if the largest is over 1000 times the smallest,
    or one is over 1e8 or under 1e-4.
    """
    if shown.dtype.kind != "f":
        return str, max((len(str(v)) for v in shown.reshape(-1).tolist()), default=1)
    counted = shown[np.isfinite(shown) & (shown != 0)].astype(np.float64)
    if not counted.size:
        return _whole, 1
    low, top = float(np.abs(counted).min()), float(np.abs(counted).max())
    scientific = options["sci_mode"]
    if scientific is None:
        scientific = top / low > 1000 or top > 1e8 or low < 1e-4
    spec = f".{options['precision']}{'e' if scientific else 'f'}"
    whole = not scientific and (counted == np.ceil(counted)).all()
    one: Callable[[Any], str] = _whole if whole else spec.join(("{:", "}")).format
    return one, max(map(len, map(one, counted.tolist())))


def _whole(v: float) -> str:
    return f"{v:.0f}." if math.isfinite(v) else f"{v:.0f}"


def _nested(x: np.ndarray[Any, Any], indent: int, edge: int | None, one: Callable[[Any], str], width: int) -> str:
    """x in brackets, which stand in column `indent`. Rows break at linewidth; edge: how many to show at each end."""
    if x.ndim == 0:
        return one(x.item()).rjust(width)
    cut = edge is not None and len(x) > 2 * edge
    parts = [x[:edge], x[len(x) - (edge or 0) :]] if cut else [x]
    if x.ndim > 1:
        texts = [[_nested(row, indent + 1, edge, one, width) for row in part] for part in parts]
        rows = texts[0] if not cut else [*texts[0], "...", *texts[1]]
        return "[" + ("," + "\n" * (x.ndim - 1) + " " * (indent + 1)).join(rows) + "]"
    texts = [[one(v).rjust(width) for v in part.tolist()] for part in parts]
    row = texts[0] if not cut else [*texts[0], " ..." if edge else "...", *texts[1]]
    n = max(1, (options["linewidth"] - indent) // (width + 2))  # two for the comma and the space
    lines = [", ".join(row[i : i + n]) for i in range(0, len(row), n)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
