"""The edge of the subset: what a module says of the names that PyTorch has and tinytensor has not."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def outside(module: str, later: Mapping[str, str] | None = None) -> Callable[[str], Any]:
    """A module-level `__getattr__` (PEP 562).

    later: name → the module that has it, which is imported when the name is first asked for. For every other name
    an AttributeError says that PyTorch may have it and tinytensor has not.
    """

    def __getattr__(name: str) -> Any:
        home = (later or {}).get(name)
        if home is None:
            raise AttributeError(
                f"module {module!r} has no attribute {name!r}: outside tinytensor's subset of PyTorch, or no such name"
            )
        found = import_module(home)
        value = found if home == f"{module}.{name}" else getattr(found, name)
        setattr(sys.modules[module], name, value)  # from now on it is found without asking here
        return value

    return __getattr__
