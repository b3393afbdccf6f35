"""Arrays as text: bytes that are shuffled so that they compress, compressed, and written in base 85.

All first bytes of an array's numbers stand together, then all second bytes: those with sign and exponent are alike. The
arrays follow one another, as little-endian numbers in C order. Base 85 writes four bytes as five characters, base 64 three as
four: a page is 6 % smaller. A page reads it with DecompressionStream("deflate-raw") and puts the bytes back.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

DTYPES: dict[str, np.dtype[Any]] = {
    "f4": np.dtype("<f4"),
    "f2": np.dtype("<f2"),
    "i4": np.dtype("<i4"),
    "u1": np.dtype("u1"),
}
SAFE = bytes.maketrans(b"<>&", b",.:")  # base 85 has three characters that mean something in HTML
Array = NDArray[Any]


class Packer:
    """Arrays are added by name; `index` says of each where it is, `text` has the bytes of all.

    scales: what the numbers of an array of float16 have to be multiplied by. A half has 11 bits and a small range, so
    each array is divided by its largest magnitude first.
    """

    def __init__(self) -> None:
        self.index: dict[str, dict[str, Any]] = {}
        self.scales: dict[str, float] = {}
        self.size = 0
        self._parts: list[bytes] = []

    def add(self, name: str, array: Array, dtype: str) -> None:
        """Add an array as numbers of this dtype, one of DTYPES. ValueError for a name that is taken."""
        if name in self.index:
            raise ValueError(f"an array named {name!r} is there already")
        content = shuffled(np.asarray(array).astype(DTYPES[dtype]))
        self.index[name] = {"shape": list(array.shape), "dtype": dtype, "offset": self.size}
        self._parts.append(content)
        self.size += len(content)

    def add_scaled(self, name: str, array: Array) -> None:
        """Add an array as float16 times a scale, its largest magnitude: what is lost is 2⁻¹¹ of a number, or 2⁻²⁵ of that."""
        halves, self.scales[name] = scaled(array)
        self.add(name, halves, "f2")

    def add_view(self, name: str, of: str, view: View, shape: tuple[int, ...], scale: float) -> None:
        """Add a name for numbers of an array that is there."""
        self.index[name] = {"shape": list(shape), "view": of} | dataclasses.asdict(view)
        self.scales[name] = scale

    def add_json(self, value: Any) -> None:
        """Add the bytes of a JSON text as an array, "json"."""
        text = json.dumps(value, allow_nan=False, separators=(",", ":"))
        self.add("json", np.frombuffer(text.encode("ascii"), np.uint8), "u1")

    def text(self) -> str:
        """The bytes of all arrays."""
        squeeze = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
        content = b"".join([*map(squeeze.compress, self._parts), squeeze.flush()])
        return base64.b85encode(content).translate(SAFE).decode("ascii")


@dataclass(frozen=True)
class View:
    """Where the numbers of an array are among those of another: strides and start count elements."""

    dims: tuple[int, ...]  # their product is that of the shape
    strides: tuple[int, ...]
    start: int


def scaled(array: Array) -> tuple[Array, float]:
    """The array divided by its largest magnitude, as float16, and that magnitude; 0 has no sign."""
    largest = float(np.abs(array).max(initial=0.0))
    scale = largest if 0 < largest < np.inf else 1.0
    halves: Array = (np.asarray(array, np.float64) / scale).astype(DTYPES["f2"]) + np.float16(0)
    return halves, scale


def shuffled(array: Array) -> bytes:
    """The bytes of a C-ordered array: the first of every number, then the second of every number, …"""
    content = np.ascontiguousarray(array)
    return content.view(np.uint8).reshape(-1, content.itemsize).T.tobytes() if content.size else b""


def unpacked(text: str, index: dict[str, dict[str, Any]], scales: dict[str, float]) -> dict[str, Array]:
    """The arrays of a text that a Packer made, as the page reads them; scaled ones in float64."""
    back = bytes.maketrans(b",.:", b"<>&")
    content = zlib.decompress(base64.b85decode(text.encode("ascii").translate(back)), -15)
    arrays = {name: _plain(content, each) for name, each in index.items() if "view" not in each}
    for name, each in index.items():
        if "view" in each:
            base = arrays[each["view"]].ravel()[each["start"] :]
            strides = [base.itemsize * step for step in each["strides"]]
            arrays[name] = np.lib.stride_tricks.as_strided(base, each["dims"], strides).reshape(each["shape"])
    return {name: x.astype(np.float64) * scales[name] if name in scales else x for name, x in arrays.items()}


def _plain(content: bytes, each: dict[str, Any]) -> Array:
    dtype, count = DTYPES[each["dtype"]], int(np.prod(each["shape"], dtype=np.int64))
    part = np.frombuffer(content, np.uint8, count * dtype.itemsize, each["offset"])
    array: Array = part.reshape(dtype.itemsize, count).T.copy().view(dtype).reshape(each["shape"])
    return array
