"""Modules that only scripts written for PyTorch need: nothing else in the package imports them.

Each module has PyTorch's path as well: `import tinytensor.backends` and `from tinytensor import backends` return
`tinytensor.compat.backends`. It is one module under two names, and runs once.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# PyTorch's path → the module
HOMES = {f"tinytensor.{n}": f"{__name__}.{n}" for n in ("accelerator", "as_torch", "backends", "settings")}
HOMES["tinytensor.utils.tensorboard"] = f"{__name__}.tensorboard"


class PublicPaths:
    """A finder and loader for `sys.meta_path`: it finds the paths in HOMES, which have no file."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, PublicPaths) if name in HOMES else None  # type: ignore[arg-type]  # it loads as well

    @staticmethod
    def create_module(spec: ModuleSpec) -> ModuleType:
        module = import_module(HOMES[spec.name])
        spec.loader_state = module.__spec__  # the import system overwrites it with `spec`
        return module

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state  # it ran under its own name, which it keeps


sys.meta_path.insert(0, PublicPaths)  # first, so that no other copy of the package is searched
