"""What the GPU's room (tinytensor.cuda) does in place of plain code. It registers itself when CuPy is first used.

Code below it asks by name, `gpu("matmul")(a, b)`, and imports nothing of CUDA: where there is no GPU, none of it is read.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

PLUGIN = "tinytensor.cuda.plugin"  # imports everything that registers itself here

registered: dict[str, Callable[..., Any]] = {}


def on_gpu(name: str) -> Callable[[F], F]:
    """Decorator: register a function of tinytensor.cuda under this name."""

    def register(function: F) -> F:
        registered[name] = function
        return function

    return register


def gpu(name: str) -> Callable[..., Any]:
    """The function that tinytensor.cuda registered under this name."""
    if name not in registered:
        importlib.import_module(PLUGIN)
    return registered[name]
