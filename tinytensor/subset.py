"""The edge of the subset: a module's `__getattr__` for the names that it has not."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn


def outside(module: str) -> Callable[[str], NoReturn]:
    """A module-level `__getattr__` whose AttributeError says that PyTorch may have the name and tinytensor has not."""

    def __getattr__(name: str) -> NoReturn:
        raise AttributeError(
            f"module {module!r} has no attribute {name!r}: outside tinytensor's subset of PyTorch, or no such name"
        )

    return __getattr__
