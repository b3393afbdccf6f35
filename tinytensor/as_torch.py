"""Put tinytensor in PyTorch's place: `import torch` then gives tinytensor, in this process.

    python -m tinytensor script.py --its --arguments

runs a script written for PyTorch, unchanged. What is outside the subset raises an error that says so.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys

import tinytensor

OPTIONAL = ("tinytensor.utils.tensorboard",)  # imported when a script asks for it: it needs a package of its own


def install() -> None:
    """Make `torch` and all its submodules that tinytensor has mean tinytensor. RuntimeError if the real one is loaded."""
    present = sys.modules.get("torch")
    if present is not None and present is not tinytensor:
        raise RuntimeError("PyTorch is imported already: call tinytensor.as_torch.install() before anything imports it")
    names = [m.name for m in pkgutil.walk_packages(tinytensor.__path__, "tinytensor.")]
    for name in ("tinytensor", *names):
        if name not in OPTIONAL and not name.endswith("__main__"):
            sys.modules[name.replace("tinytensor", "torch", 1)] = importlib.import_module(name)
