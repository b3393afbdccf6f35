"""Put tinytensor in PyTorch's place: in this process, `import torch` then returns tinytensor.

    python -m tinytensor script.py --its --arguments

runs a script written for PyTorch, unchanged. What is outside the subset raises an error that says so.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import pkgutil
import sys
from types import ModuleType
from typing import Any

import tinytensor
from tinytensor.compat import HOMES
from tinytensor.subset import Edge

OPTIONAL = ("tinytensor.utils.tensorboard",)  # imported when a script imports it: it needs another package
OURS = (
    "tinytensor.compat",
    "tinytensor.gradcheck",
    "tinytensor.terminal",
    "tinytensor.ctrl_c",
)  # PyTorch has no such packages


def install() -> None:
    """Let `torch` and its submodules be the modules of tinytensor. RuntimeError if PyTorch is loaded."""
    present = sys.modules.get("torch")
    if present is not None and present is not tinytensor:
        raise RuntimeError("PyTorch is imported already: call tinytensor.as_torch.install() before anything imports it")
    names = [m.name for m in pkgutil.walk_packages(tinytensor.__path__, "tinytensor.")]
    for name in ("tinytensor", *names, *HOMES):
        if name not in OPTIONAL and not name.startswith(OURS) and not name.endswith("__main__"):
            sys.modules[name.replace("tinytensor", "torch", 1)] = importlib.import_module(name)
    sys.meta_path.insert(0, _Rest())


class _Rest(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the rest of torch.*: the optional modules. Every other one raises an error that says why."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if not fullname.startswith("torch."):
            return None
        if fullname.replace("torch", "tinytensor", 1) not in OPTIONAL:
            Edge("torch").find_spec(fullname)  # raises
        return importlib.machinery.ModuleSpec(fullname, self)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return importlib.import_module(spec.name.replace("torch", "tinytensor", 1))

    def exec_module(self, module: ModuleType) -> None:
        pass  # it ran when it was imported under its own name
