"""Every public name that a script may use, as public_names.txt lists them: none disappears, and what moves keeps its path.

    python tests/pytorch/test_public_names.py    # adds the names that are new; it removes none

A name is public if its module lists it in `__all__` or defines it itself, without a leading underscore. Of classes, the
list has the members that PyTorch's class has too.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import tinytensor

FILE = Path(__file__).with_name("public_names.txt")
NAMES = FILE.read_text("utf-8").split() if FILE.exists() else []

MODULES = (
    "tinytensor", "tinytensor.accelerator", "tinytensor.amp", "tinytensor.as_torch", "tinytensor.autograd",
    "tinytensor.backends", "tinytensor.cuda", "tinytensor.cuda.amp", "tinytensor.cuda.graphs",
    "tinytensor.cuda.memory", "tinytensor.cuda.random", "tinytensor.distributed",
    "tinytensor.functions", "tinytensor.gradcheck", "tinytensor.gradcheck.table", "tinytensor.nn", "tinytensor.nn.functional",
    "tinytensor.nn.init", "tinytensor.nn.parallel", "tinytensor.nn.parameter", "tinytensor.nn.utils", "tinytensor.optim",
    "tinytensor.optim.lr_scheduler", "tinytensor.profiler", "tinytensor.random", "tinytensor.serialization",
    "tinytensor.settings", "tinytensor.utils", "tinytensor.utils.data", "tinytensor.utils.data.dataloader",
    "tinytensor.utils.data.dataset", "tinytensor.utils.data.sampler", "tinytensor.utils.dlpack",
    "tinytensor.utils.tensorboard", "gpt", "gpt.generate", "gpt.evaluate", "gpt.export", "gpt.inspect", "gpt.train",
)  # fmt: skip
# Of these modules only the path is public, or these names: the rest serves the engine itself.
ONLY = {
    "tinytensor.cuda.graphs": {"CUDAGraph", "graph"},
    "tinytensor.cuda.memory": {"memory_allocated", "max_memory_allocated", "empty_cache"},
    "tinytensor.cuda.random": set(),
    "tinytensor.functions": set(),
    "tinytensor.gradcheck.table": {"Sample", "LIMITS"},
    "gpt.generate": {"main"},
    "gpt.evaluate": {"main"},
    "gpt.export": {"main"},
    "gpt.inspect": {"main"},
    "gpt.train": {"main"},
}
OF_THE_ENGINE = ("tinytensor.primitive.Primitive", "tinytensor.primitive.PRIMITIVES", "tinytensor.primitive.primitive",
                 "tinytensor.tape.apply", "tinytensor.ops.load_all")  # fmt: skip  # what a primitive of one's own needs


# ------------------------------------------------------------------------------------------ the tests


def resolve(name: str) -> Any:
    """The object behind a dotted name: modules are imported as far as they go, the rest are attributes."""
    parts = name.split(".")
    found, depth = importlib.import_module(parts[0]), 0
    for depth in range(1, len(parts)):
        try:
            found = importlib.import_module(".".join(parts[: depth + 1]))
        except ModuleNotFoundError as error:
            if error.name is None or not name.startswith(error.name):
                raise
            break
    else:
        return found
    for part in parts[depth:]:
        found = getattr(found, part)
    return found


def missing(names: list[str]) -> list[str]:
    """Those of the names that lead nowhere, each with the reason."""
    found = []
    for name in names:
        try:
            resolve(name)
        except (AttributeError, ImportError) as error:
            found.append(f"{name}: {error}")
    return found


def test_every_public_name_is_where_it_was() -> None:
    optional = () if importlib.util.find_spec("tensorboardX") else ("tinytensor.utils.tensorboard",)
    assert len(NAMES) > 700
    assert not missing([name for name in NAMES if not name.startswith(optional or "-")])


def test_a_name_that_is_gone_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = ["tinytensor.no_such", "tinytensor.nn.Linear.no_such", "tinytensor.no.such.module", "gpt.no_such"]
    assert len(missing(gone)) == len(gone)
    home = next(base for base in tinytensor.Tensor.__mro__ if "topk" in vars(base))
    monkeypatch.delattr(home, "topk")
    assert len(missing(NAMES)) == 1


def test_the_list_is_complete() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("tensorboardX")
    new = sorted(set(public()) - set(NAMES))
    assert not new, f"run python {Path('tests', 'pytorch', Path(__file__).name)}: it adds {', '.join(new)}"


# ------------------------------------------------------------------------------------------- the list


def public() -> Iterator[str]:
    """All public names. The members of a class follow the first of its names."""
    seen = set()
    yield from OF_THE_ENGINE
    for path in MODULES:
        module = importlib.import_module(path)
        yield path
        for name in sorted(exported(module)):
            yield f"{path}.{name}"
            kind = getattr(module, name)
            if inspect.isclass(kind) and kind.__module__.split(".")[0] == "tinytensor" and kind not in seen:
                seen.add(kind)
                yield from members(f"{path}.{name}", kind)


def exported(module: ModuleType) -> set[str]:
    """What a script may take from a module."""
    if module.__name__ in ONLY:
        return ONLY[module.__name__]
    if hasattr(module, "__all__"):
        return set(module.__all__)
    names = {name for name in dir(module) if name[0] != "_" and name not in ("annotations", "TYPE_CHECKING", "T_co")}
    if module is tinytensor:  # all but the modules that no user asks for
        return {n for n in names if not inspect.ismodule(v := getattr(module, n)) or v.__name__ in MODULES}
    return {n for n in names if getattr(getattr(module, n), "__module__", None) == module.__name__}


def members(path: str, kind: type) -> Iterator[str]:
    """The attributes that a class adds to its base, if PyTorch's class has them as well."""
    theirs: Any = importlib.import_module("torch")
    for part in path.split(".")[1:]:
        theirs = getattr(theirs, part, None)
    inherited = () if kind is tinytensor.Tensor else dir(kind.__base__)
    for name in sorted(set(dir(kind)) - set(inherited)):
        if name[0] != "_" and (hasattr(theirs, name) or (name == "array")):
            yield f"{path}.{name}"


if __name__ == "__main__":
    FILE.write_text("\n".join(sorted({*NAMES, *public()})) + "\n", "utf-8")
