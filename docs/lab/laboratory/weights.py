"""Weights as a safetensors file: the length of the header in 8 bytes, the header in JSON, the numbers one after the other."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .errors import Wrong

DTYPE, MAGIC = "F32", "tinytensor laboratory"
MOST_STEPS = 1_000_000


@dataclass(frozen=True)
class About:
    """What the file says of its weights besides their numbers."""

    step: int
    characters: str
    made: str = MAGIC


def written(model: Any, about: About) -> bytes:
    """The bytes of a file with the model's parameters."""
    header: dict[str, Any] = {"__metadata__": {"laboratory": json.dumps(asdict(about))}}
    content = b""
    for name, parameter in model.named_parameters():
        array = np.ascontiguousarray(parameter.numpy(force=True), "<f4")
        offsets = [len(content), len(content) + array.nbytes]
        header[name] = {"dtype": DTYPE, "shape": list(array.shape), "data_offsets": offsets}
        content += array.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content


def parsed(content: bytes) -> tuple[dict[str, Any], About]:
    """The arrays of a file that `written` made, and what it says of them. Wrong for any other."""
    try:
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        about = About(**json.loads(header.pop("__metadata__")["laboratory"]))
        numbers = content[8 + length :]
        arrays = {name: _array(each, numbers) for name, each in header.items()}
        if _is_ours(about):
            return arrays, about
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        pass  # it is no such file
    raise Wrong("this file has no weights of the laboratory: choose one that “Save the weights” wrote")


def _array(described: dict[str, Any], numbers: bytes) -> Any:
    if described["dtype"] != DTYPE:
        raise ValueError(described["dtype"])
    start, end = described["data_offsets"]
    return np.frombuffer(numbers[start:end], "<f4").reshape(described["shape"])


def _is_ours(about: About) -> bool:
    characters = about.characters
    is_text = isinstance(characters, str) and "".join(sorted({*characters})) == characters != ""
    return about.made == MAGIC and is_text and type(about.step) is int and 0 <= about.step <= MOST_STEPS


def take(model: Any, arrays: dict[str, Any]) -> None:
    """Write the arrays into the parameters of the model. Wrong if the names or shapes are others."""
    parameters = dict(model.named_parameters())
    wanted = {name: tuple(p.shape) for name, p in parameters.items()}
    found = {name: array.shape for name, array in arrays.items()}
    if wanted != found:
        name = next(iter(sorted({*wanted, *found}, key=lambda each: (wanted.get(each) == found.get(each), each))))
        raise Wrong(
            f"these weights fit another model: {name} is {found.get(name, 'missing')}, the model has "
            f"{wanted.get(name, 'none of it')}"
        )
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise Wrong("these weights have numbers that are not finite")
    from tinytensor import from_numpy, no_grad

    with no_grad():
        for name, p in parameters.items():
            p.copy_(from_numpy(arrays[name].copy()))
