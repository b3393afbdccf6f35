"""Fused CuPy kernels: pairs that replace a pair of the table, by its name, if the data is on a GPU.

A fused pair computes the same function as the row of `PRIMITIVES` with its name; the same samples test both. It may
save other arrays: the tape records the pair that ran. It needs one launch where the plain pair needs several, and each
launch costs microseconds of Python, reads all its data and writes all its results.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

from tinytensor import ops
from tinytensor.dispatch import KERNELS, on_gpu
from tinytensor.primitive import PRIMITIVES, Function, Primitive

FILES = (
    "attention",
    "cross_entropy",
    "dropout",
    "embedding",
    "gelu",
    "layer_norm",
    "linear",
    "softmax",
    "split",
)  # of this folder, named like those of ops/

_pairs: dict[str, tuple[Primitive, Callable[..., bool]]] = {}


def replace(
    name: str, forward: Function, backward: Function, when: Callable[..., bool] = lambda *_, **__: True
) -> None:
    """Register a pair that replaces the primitive of that name in calls where `when(*arrays, **static)` is True."""
    plain = PRIMITIVES[name]
    _pairs[name] = Primitive(name, forward, backward, plain.formula, plain.fits, plain.composed), when


@on_gpu("replacement")
def replacement(primitive: Primitive, arrays: Any, static: dict[str, Any]) -> Primitive:
    """The pair for this call on a GPU: the fused pair if it takes the call, else the primitive itself."""
    found = _load(len(KERNELS)).get(primitive.name)
    return found[0] if found is not None and found[1](*arrays, **static) else primitive


@functools.cache
def _load(_: int = 0) -> dict[str, tuple[Primitive, Callable[..., bool]]]:
    ops.load_all()  # `replace` looks its row up in the table
    for module in (*(f"{__name__}.{file}" for file in FILES), *KERNELS):
        importlib.import_module(module)
    return _pairs
