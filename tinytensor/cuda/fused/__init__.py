"""Fused CuPy kernels: pairs that take the place of one of the table, by its name, where the data is on a GPU.

A pair here computes what the row of `PRIMITIVES` with its name does, and is compared with it by the same samples. It may
save other arrays: the tape records the pair that ran. One launch does what takes the plain pair several, each of which
costs microseconds of Python and one trip of all its data through the memory of the card.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

from tinytensor import ops
from tinytensor.dispatch import on_gpu
from tinytensor.primitive import KERNELS, PRIMITIVES, Function, Primitive

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
    """Enter a pair for the primitive of that name, to be taken for the calls of which `when(*arrays, **static)` holds."""
    plain = PRIMITIVES[name]
    _pairs[name] = Primitive(name, forward, backward, plain.formula, plain.fits, plain.composed), when


@on_gpu("kernel")
def replacement(primitive: Primitive, arrays: Any, static: dict[str, Any]) -> Primitive:
    """The pair that runs this call on a GPU: a fused one where there is one for it, else the primitive's own."""
    found = _load(len(KERNELS)).get(primitive.name)
    return found[0] if found is not None and found[1](*arrays, **static) else primitive


@functools.cache
def _load(_: int = 0) -> dict[str, tuple[Primitive, Callable[..., bool]]]:
    ops.load_all()  # a pair takes the place of one that is in the table
    for module in (*(f"{__name__}.{file}" for file in FILES), *KERNELS):
        importlib.import_module(module)
    return _pairs
