"""Safetensors files of a run, read without trust: nothing is allocated before its header fits what the run needs.

A safetensors file is 8 bytes for the length of its header, the header in JSON, which says the dtype, shape and place of
each array, and the numbers.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from gpt.errors import UserError, shown
from gpt.run import files
from gpt.run.files import File

Arrays = dict[str, NDArray[Any]]
SIZES = {
    "float16": ("F16", 2),
    "float32": ("F32", 4),
    "float64": ("F64", 8),
    "int32": ("I32", 4),
}  # its name, bytes of a number
LENGTH = 8  # bytes of the header's length
LONGEST_ENTRY = 512  # bytes of the header for one array
ADVICE = "restore it from a copy, or train again"


class Spec(NamedTuple):
    """What an array must be."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * SIZES[self.dtype][1]


def read(file: File, specs: dict[str, Spec], expected: str, may_be_empty: bool = False, advice: str = ADVICE) -> Arrays:
    """Return the arrays of the file. Raises UserError unless they are those of `specs`, and the checksum is `expected`.

    `may_be_empty` allows a file without any array as well.
    """
    header, length = read_header(file, len(specs), advice)
    found = {name: described(entry) for name, entry in header.items()}
    wanted = {name: (SIZES[spec.dtype][0], spec.shape) for name, spec in specs.items()}
    if found != wanted and (found or not may_be_empty):
        raise damaged(file.path, difference(found, wanted), advice)
    size = length + sum(spec.nbytes for name, spec in specs.items() if name in found)
    if file.size != size:
        raise damaged(file.path, f"{file.size:,} bytes, and its header promises {size:,}", advice)
    digest = file.sha256()  # in pieces: if it is wrong, nothing was allocated
    if digest != expected:
        raise damaged(file.path, f"sha256 {digest[:12]}, written with {expected[:12]}", advice)
    from safetensors import SafetensorError, numpy  # here, so that what reads no checkpoint runs without it

    try:
        return {name: array.copy() for name, array in numpy.load(file.read(size)).items()}
    except SafetensorError as error:
        raise damaged(file.path, shown(error), advice) from None


def formatted(arrays: Arrays) -> bytes:
    """Return the content of a safetensors file with these arrays."""
    from safetensors import numpy

    content: bytes = numpy.save(arrays)
    return content


def present(file: File, specs: dict[str, Spec]) -> dict[str, Spec]:
    """Return those of the specs that the file has arrays for."""
    header, _ = read_header(file, len(specs))
    return {name: spec for name, spec in specs.items() if name in header}


def read_header(file: File, count: int, advice: str = ADVICE) -> tuple[dict[str, Any], int]:
    """Return the header of a file with so many arrays, and where it ends. Leaves the file at its beginning."""
    if file.size < LENGTH:
        raise damaged(file.path, f"{file.size} bytes are no safetensors file", advice)
    length = int.from_bytes(file.read(LENGTH), "little")
    most = min(file.size - LENGTH, (count + 1) * LONGEST_ENTRY)
    if length > most:
        raise damaged(file.path, f"its header would have {length:,} bytes, and {most:,} are possible", advice)
    header = files.parse(file.read(length), file.path)
    file.rewind()
    if not isinstance(header, dict):
        raise damaged(file.path, "its header is no JSON object", advice)
    return header, LENGTH + length


def described(entry: Any) -> tuple[str, tuple[int, ...]]:
    """Return dtype and shape of an entry of the header; ("", ()) if it does not say them."""
    dtype, shape = (entry.get("dtype"), entry.get("shape")) if isinstance(entry, dict) else (None, None)
    right = isinstance(dtype, str) and isinstance(shape, list) and all(type(n) is int for n in shape)
    return (str(dtype), tuple(shape or ())) if right else ("", ())


def difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Name the first array that is missing, unexpected or another one."""
    for name, (dtype, shape) in wanted.items():
        if name not in found:
            return f"{name} is missing"
        if found[name] != (dtype, shape):
            return f"{name} is {found[name][0]} {shown(found[name][1])}, and its run needs {dtype} {shown(shape)}"
    return f"unexpected {shown(next(name for name in found if name not in wanted))}"


def damaged(path: Path, how: str, advice: str = ADVICE) -> UserError:
    return UserError(f"{path} is cut off or altered: {how}; {advice}")


def checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
