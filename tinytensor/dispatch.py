"""Functions of the GPU that plain code calls by name, and the modules that register them when CuPy is first used.

    @on_gpu("matmul")                    in tinytensor.cuda: register a function
    gpu("matmul")(a, b)                  anywhere: call it; the first call imports PLUGIN
    kernels_in("package.its_kernels")    beside primitives of one's own: the first call on a GPU imports that module,
                                         which registers pairs with `tinytensor.cuda.fused.replace`

So nothing outside of tinytensor.cuda imports it, and without a GPU none of it is imported.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, TypeVar

Registered = TypeVar("Registered", bound=Callable[..., Any])

PLUGIN = "tinytensor.cuda.plugin"  # imports every module of tinytensor.cuda that registers a function here
KERNELS: list[str] = []  # further modules with pairs for a GPU

registered: dict[str, Callable[..., Any]] = {}


def on_gpu(name: str) -> Callable[[Registered], Registered]:
    """Decorator: register a function of tinytensor.cuda under this name."""

    def register(function: Registered) -> Registered:
        registered[name] = function
        return function

    return register


def gpu(name: str) -> Callable[..., Any]:
    """The function that tinytensor.cuda registered under this name."""
    if name not in registered:
        importlib.import_module(PLUGIN)
    return registered[name]


def kernels_in(module: str) -> None:
    """Let the first call on a GPU import this module. Its primitives are in the table already."""
    KERNELS.append(module)
