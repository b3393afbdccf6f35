"""PyTorch's own databases of operations, modules and optimizers, with samples for each.

Their import loads a profile of PyTorch's for hypothesis, with few examples, into the whole process: `database` undoes it.
"""

from __future__ import annotations

import importlib
from typing import Any

from hypothesis import settings

MODULES = {"op_db": "common_methods_invocations", "module_db": "common_modules", "optim_db": "common_optimizers"}


def database(name: str) -> Any:
    """One of MODULES: a list of descriptions. ModuleNotFoundError without expecttest, which PyTorch's modules import."""
    profile = settings.get_current_profile_name()
    try:
        return getattr(importlib.import_module(f"torch.testing._internal.{MODULES[name]}"), name)
    finally:
        settings.load_profile(profile)
