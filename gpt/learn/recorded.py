"""PyTorch's numbers for some calls of each exercise, as tests/learn/record.py wrote them into recorded.json."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np

from gpt.learn.exercise import Array

FILE = Path(__file__).parent / "recorded.json"


@functools.cache
def packed_rows() -> dict[str, list[dict[str, Any]]]:
    """What the file holds."""
    found: dict[str, list[dict[str, Any]]] = json.loads(FILE.read_text("utf-8"))
    return found


def rows(name: str) -> list[dict[str, Any]]:
    """The recorded calls of an exercise, each in four parts. The arrays are new, since a reader's file may change them."""
    found = packed_rows()[name]
    return [{key: {k: unpacked(v) for k, v in part.items()} for key, part in row.items()} for row in found]


def unpacked(value: Any) -> Any:
    """An array for its JSON form, anything else as it is."""
    if isinstance(value, dict):
        return np.array(value["data"], value["dtype"]).reshape(value["shape"])
    return tuple(value) if isinstance(value, list) else value


def packed(value: Any) -> Any:
    """The JSON form of an array: `float` writes all digits that a float64 has."""
    if isinstance(value, np.ndarray):
        array: Array = value
        return {"dtype": str(array.dtype), "shape": list(array.shape), "data": array.reshape(-1).tolist()}
    return value
