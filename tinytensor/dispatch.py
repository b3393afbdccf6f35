"""What CuPy's room (tinytensor.cuda) offers in place of plain code. It registers itself when CuPy is first used."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

PLUGIN = "tinytensor.cuda.plugin"  # a name, not an import: the engine does not depend on CuPy
GPU: dict[str, Callable[..., Any]] = {}


def on_gpu(name: str) -> Callable[[F], F]:
    """A decorator that enters a function into GPU under that name and returns it."""

    def enter(function: F) -> F:
        GPU[name] = function
        return function

    return enter


def gpu(name: str) -> Callable[..., Any]:
    """The function of that name for arrays on a GPU. The first call imports the plug-in, which enters all of them."""
    if name not in GPU:
        importlib.import_module(PLUGIN)
    return GPU[name]
