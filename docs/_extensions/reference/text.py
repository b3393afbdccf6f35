"""How an entry is written: its signature, its docstring, its members, and the table of a page, in reStructuredText."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from docstrings import as_rst, first_sentence
from sphinx.util.inspect import stringify_signature

from reference.links import linker
from reference.public import Entry


def entry_text(entry: Entry) -> list[str]:
    """The directive of an entry with its text and its members."""
    own = [name for name in [*entry.names, *entry.in_place] if name.rpartition(".")[0] == entry.module]
    others = [name for name in entry.names if name not in own]
    form = signature(entry.object) if entry.kind != "data" else ""
    if entry.kind == "data":
        body = value_text(entry)
    else:
        body = as_rst(docstring(entry.object), parameters(entry.object), linker(entry.module))
    if entry.in_place:
        body += [f"{', '.join(f'``{last(name)}``' for name in entry.in_place)}: in place.", ""]
    if others:
        body += [f"Also as {', '.join(f'``{name}``' for name in others)}.", ""]
    for member in _in_order(entry):
        body += _member(entry, member)
    return [*head(f"py:{entry.kind}", [f"{name}{form}" for name in own]), *indented(body), ""]


def head(directive: str, signatures: list[str]) -> list[str]:
    """The first lines of a directive, a signature in each, and an empty one."""
    first = f".. {directive}:: "
    return [first + signatures[0], *(" " * len(first) + each for each in signatures[1:]), ""]


def indented(lines: list[str], by: int = 3) -> list[str]:
    return [" " * by + line if line else "" for line in lines]


def table(chosen: list[Entry]) -> list[str]:
    """A row for each entry: its name, and the first sentence about it."""
    lines = [".. list-table::", "   :class: names", "   :widths: 30 70", ""]
    for entry in chosen:
        if entry.kind == "data":
            short = value_text(entry)[0]
        else:
            short = first_sentence(docstring(entry.object), linker(entry.module))
        start = short if not short or re.match(r"[A-Za-z`:]", short) else f"\\ {short}"
        lines += [f"   * - :py:obj:`{last(entry.name)} <{entry.name}>`", f"     - {start}"]
    return [*lines, ""]


def last(name: str) -> str:
    return name.rpartition(".")[2]


# ------------------------------------------------------------------------------------------ of one object


def signature(value: Any, method: bool = False) -> str:
    """The parameters and the result of a function, as the source has them."""
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return "()"
    shown = [p for p in found.parameters.values() if not p.name.startswith("_")]
    if method and shown and shown[0].kind is not inspect.Parameter.VAR_POSITIONAL:
        shown = shown[1:]
    if inspect.isclass(value):
        found = found.replace(return_annotation=inspect.Signature.empty)
    try:
        text = stringify_signature(found.replace(parameters=shown), unqualified_typehints=True)
    except Exception:  # an annotation that is no type
        text = str(found.replace(parameters=shown))
    return text.replace("builtins.", "").replace("np.ndarray[Any, Any]", "np.ndarray")


def parameters(value: Any) -> frozenset[str]:
    try:
        return frozenset(inspect.signature(value).parameters)
    except (TypeError, ValueError):
        return frozenset()


def docstring(value: Any) -> str:
    """The object's own docstring, or that of the kind of a plain value."""
    if inspect.isclass(value):
        return inspect.cleandoc(vars(value).get("__doc__") or "")
    return inspect.getdoc(value) or ""


def value_text(entry: Entry) -> list[str]:
    """A plain value, if it is short; else what it is."""
    shown = repr(entry.object)
    if len(shown) < 60 and " at 0x" not in shown:
        return [f"``{shown}``", ""]
    return [f"A {type(entry.object).__name__}.", ""]


# ------------------------------------------------------------------------------------------ members of a class


def _in_order(entry: Entry) -> Iterator[str]:
    """The public members, in the order of the source as far as there is one."""
    if entry.kind in ("class", "exception"):
        order = {name: i for i, name in enumerate(vars(entry.object))}
        yield from sorted(entry.members, key=lambda name: order.get(name, -1))


def _member(entry: Entry, name: str) -> list[str]:
    value = inspect.getattr_static(entry.object, name, None)
    full = f"{entry.name}.{name}"
    called = getattr(entry.object, name, None)
    if callable(called) and not inspect.isclass(called):
        static = isinstance(value, (staticmethod, classmethod))
        lines = [f".. py:method:: {full}{signature(called, method=not static)}"]
        lines += [f"   :{'classmethod' if isinstance(value, classmethod) else 'staticmethod'}:"] if static else []
        text = docstring(called)
    else:
        lines = [f".. py:{'property' if isinstance(value, property) else 'attribute'}:: {full}"]
        text = docstring(value) if isinstance(value, property) else ""
    return [*lines, "", *indented(as_rst(text, parameters(called), linker(entry.name))), ""]
