"""What a reader's file may import: stand-ins of NumPy and of some of Python's modules, with the names that exercises use.

Not the modules themselves, since these lead on: to modules that they import (`typing.sys`), to functions that execute text
(`numpy.testing.runstring`, `typing.get_type_hints`), that read attributes by name (`functools.update_wrapper`), or that
read and write files (`numpy.save`).
"""

from __future__ import annotations
import __future__

import collections
import collections.abc
import functools
import importlib
import itertools
import math
import typing
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing

# They read or write files, as functions of NumPy or as methods of an array.
FILES = {
    "DataSource", "dump", "fromfile", "fromregex", "genfromtxt", "load", "loadtxt", "memmap", "open_memmap", "save",
    "savetxt", "savez", "savez_compressed", "tofile",
}  # fmt: skip
# They execute text, look names up in the caller's frame, find modules by name, or change NumPy for all.
TEXT = {"bmat", "get_include", "info", "sctypeDict", "seterrcall", "show_config", "show_runtime", "test"}
TYPES = {"ForwardRef", "clear_overloads"}  # of typing, besides what begins with get_ or evaluate


def wraps(wrapped: Callable[..., Any]) -> Callable[..., Any]:
    """functools.wraps without the arguments that name attributes."""
    return functools.wraps(wrapped)


def stand_in(name: str, offered: dict[str, Any]) -> ModuleType:
    """A module of that name with these values; of other names it says that they are withheld, or are none."""
    module = ModuleType(name)

    def missing(wanted: str) -> Any:
        if not wanted.startswith("__") and hasattr(importlib.import_module(name), wanted):
            raise AttributeError(f"{name}.{wanted} is withheld: an exercise has to work without it")
        raise AttributeError(f"module {name!r} has no attribute {wanted!r}")

    vars(module).update(offered, __getattr__=missing)
    return module


def asserts() -> ModuleType:
    """The stand-in of numpy.testing, with what asserts alone. NumPy's own imports subprocess, so it waits until it is used."""

    def found(wanted: str) -> Any:
        testing = importlib.import_module("numpy.testing")
        names = [name for name in testing.__all__ if name.startswith("assert_")]
        if wanted == "__all__":
            return names
        if wanted in names:
            return getattr(testing, wanted)
        raise AttributeError(
            f"numpy.testing.{wanted} is withheld, or is none: an exercise has what begins with assert_"
        )

    module = ModuleType("numpy.testing")
    vars(module)["__getattr__"] = found
    return module


def some(module: ModuleType, names: Iterable[str]) -> ModuleType:
    """The stand-in of a module with these of its names, but no module that it has imported."""
    found = {each: getattr(module, each) for each in names if not each.startswith("_")}
    return stand_in(module.__name__, {key: x for key, x in found.items() if not isinstance(x, ModuleType)})


def made() -> dict[str, ModuleType]:
    """All stand-ins by name; those of a package are also attributes of its own."""
    types = [name for name in typing.__all__ if not name.startswith(("get_", "evaluate")) and name not in TYPES]
    few = ("cache", "cached_property", "cmp_to_key", "lru_cache", "partial", "reduce", "total_ordering")
    modules = [
        some(__future__, __future__.all_feature_names),
        some(collections, collections.__all__),
        some(collections.abc, collections.abc.__all__),
        stand_in("functools", {**{name: getattr(functools, name) for name in few}, "wraps": wraps}),
        some(itertools, dir(itertools)),
        some(math, dir(math)),
        some(np, (set(np.__all__) & set(vars(np))) - FILES - TEXT),
        some(np.linalg, np.linalg.__all__),
        some(np.random, np.random.__all__),
        asserts(),
        some(np.typing, np.typing.__all__),
        some(typing, types),
    ]
    found = {module.__name__: module for module in modules}
    for name, module in found.items():
        package, _, last = name.rpartition(".")
        if package:
            setattr(found[package], last, module)
    return found


OFFERED = made()


def imported(name: str, _globals: Any = None, _locals: Any = None, names: Any = (), level: int = 0) -> ModuleType:
    """What Python calls for an import, in the place of the built-in `__import__`: the stand-in of that name.

    NumPy's C code also imports by it, what it needs while a file runs. It takes that from sys.modules, and not from here.
    """
    if level:
        raise ImportError(f"{'.' * level}{name} is withheld: an exercise has to work without it")
    if name not in OFFERED:
        importlib.import_module(name)
        return ModuleType(name)
    return OFFERED[name if names else name.partition(".")[0]]
