"""What is public: an entry for each object, with all its names and the place of its definition."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from checkout import ROOT

NAMES = ROOT / "tests" / "pytorch" / "public_names.txt"
Kind = str  # function, class, exception, data, module


@dataclass
class Entry:
    """One public object: all its names, the shortest first, and where it is defined."""

    names: list[str]
    object: Any
    kind: Kind
    file: str
    line: int
    in_place: list[str] = field(default_factory=list)
    members: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.names[0]

    @property
    def module(self) -> str:
        """What stands before the last dot of its name."""
        return self.name.rpartition(".")[0]


@cache
def known() -> frozenset[str]:
    """All public names, members of classes included."""
    return frozenset(NAMES.read_text("utf-8").split())


@cache
def entries() -> list[Entry]:
    """All entries. The names of members are with their class."""
    found: dict[Any, Entry] = {}
    for name in sorted(known(), key=lambda name: (name.count("."), name)):
        above = found.get(_key(resolve(name.rpartition(".")[0]))) if "." in name else None
        if above is not None and above.kind in ("class", "exception"):
            above.members.append(name.rpartition(".")[2])
            continue
        value = resolve(name)
        key = _key(value, name)
        if key in found:
            found[key].names.append(name)
        else:
            found[key] = Entry([name], value, kind_of(value), *place(value))
    return _with_in_place_forms(list(found.values()))


def resolve(name: str) -> Any:
    """The object of a dotted name. An attribute comes before a module of the same name."""
    parts = name.split(".")
    found: Any = importlib.import_module(parts[0])
    for i, part in enumerate(parts[1:], 2):
        if not hasattr(found, part):
            importlib.import_module(".".join(parts[:i]))
        found = getattr(found, part)
    return found


def kind_of(value: Any) -> Kind:
    if isinstance(value, ModuleType):
        return "module"
    if inspect.isclass(value):
        return "exception" if issubclass(value, BaseException) else "class"
    return "function" if callable(value) and hasattr(value, "__name__") else "data"


def _key(value: Any, name: str = "") -> Any:
    """Two names with equal keys are names of one object; numbers have no identity."""
    if name and isinstance(value, (int, float, str)):
        return name
    return id(_unwrapped(value))


def _unwrapped(value: Any) -> Any:
    return inspect.unwrap(value) if callable(value) else value


# ------------------------------------------------------------------------------------------ where it is defined


def place(value: Any) -> tuple[str, int]:
    """The file and the line that define an object; of a plain value, those of its kind."""
    if isinstance(value, ModuleType):
        return _relative(value.__file__), 1
    value = _unwrapped(value)
    code = getattr(value, "__code__", None)
    if code is not None:
        return _relative(code.co_filename), code.co_firstlineno
    kind = value if inspect.isclass(value) else type(value)
    module = sys.modules[kind.__module__]
    if not getattr(module, "__file__", None) or kind.__module__.split(".")[0] not in ("tinytensor", "gpt"):
        return "", 0
    text = Path(str(module.__file__)).read_text("utf-8")
    match = re.search(rf"^ *class {kind.__name__}\b", text, re.MULTILINE)
    return _relative(module.__file__), text[: match.start()].count("\n") + 1 if match else 1


def _relative(path: str | None) -> str:
    try:
        return Path(str(path)).resolve().relative_to(ROOT).as_posix()
    except ValueError:
        return ""


# ------------------------------------------------------------------------------------------ names of one object


def _with_in_place_forms(found: list[Entry]) -> list[Entry]:
    """exp_ joins the entry of exp."""
    by_name = {name: entry for entry in found for name in entry.names}
    kept = []
    for entry in found:
        base = by_name.get(entry.name.rstrip("_"))
        if entry.kind == "function" and entry.name.endswith("_") and base is not None and base is not entry:
            base.in_place += entry.names
        else:
            kept.append(entry)
    for entry in kept:
        written = [name for name in entry.names if name.endswith("_") and name[:-1] in entry.names]
        entry.in_place += written
        entry.names = sorted((name for name in entry.names if name not in written), key=lambda name: _rank(entry, name))
    return kept


def _rank(entry: Entry, name: str) -> tuple[bool, int, bool, str]:
    """The first name of an object is the one that its definition has."""
    value = _unwrapped(entry.object)
    module, _, last = name.rpartition(".")
    home = getattr(value, "__module__", "") if entry.kind != "data" else "tinytensor"
    return last != getattr(value, "__name__", last), name.count("."), not f"{home}.".startswith(f"{module}."), name
