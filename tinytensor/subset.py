"""The edge of the subset: an error for the names that tinytensor lacks; modules that are imported on first use."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def outside(module: str, later: Mapping[str, str] | None = None) -> Callable[[str], Any]:
    """A module-level `__getattr__` (PEP 562).

    later: name → the module that has it; the first use of the name imports that module. Every other name raises an
    AttributeError, which says that it is outside the subset.
    """

    def __getattr__(name: str) -> Any:
        home = (later or {}).get(name)
        if home is None:
            raise AttributeError(
                f"module {module!r} has no attribute {name!r}: outside tinytensor's subset of PyTorch, or no such name"
            )
        found = import_module(home)
        value = found if home == f"{module}.{name}" else getattr(found, name)
        setattr(sys.modules[module], name, value)  # the next use finds it there
        return value

    return __getattr__
