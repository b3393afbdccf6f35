"""The directives for Tensor, whose methods stand in the sections of its page, by the files of their functions."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from docstrings import as_rst
from docutils import nodes

import tinytensor
from reference.links import linker
from reference.public import Entry, entries, place
from reference.text import docstring, entry_text, head, indented, parameters, signature
from reference.written import Written

NAME = "tinytensor.Tensor"


@dataclass
class Row:
    """Methods of Tensor that are names of one function: abs, absolute, abs_, absolute_."""

    forms: list[tuple[str, Any]]
    function: Entry | None


class TensorClass(Written):
    """The class itself; its members are in the sections of its page."""

    def run(self) -> list[nodes.Node]:
        entry = _tensor()
        alone = Entry(entry.names, entry.object, entry.kind, entry.file, entry.line)
        return self.parsed(entry_text(alone), {NAME: (entry.file, entry.line)})


class TensorMethods(Written):
    """The methods of Tensor: those that are functions as well refer to them; the others have their text here."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        wanted = self.arguments[0].split()
        rows = [row for row in tensor_methods() if ("own" if row.function is None else row.function.file) in wanted]
        lines = [line for row in rows for line in _row(row)]
        if "own" in wanted:
            lines += [line for name, value in tensor_attributes() for line in _attribute(name, value)]
        self.depend({"tinytensor/methods.py", "tinytensor/tensor.py"})
        return self.parsed(lines, {f"{NAME}.{name}": place(value) for row in rows for name, value in row.forms})


def _row(row: Row) -> list[str]:
    if row.function is not None:
        text = [f":py:obj:`{row.function.name}` of this Tensor.", ""]
    else:
        value = row.forms[0][1]
        text = [*as_rst(docstring(value), parameters(value), linker(NAME)), ""]
    signatures = [f"{NAME}.{name}{signature(value, method=True)}" for name, value in row.forms]
    return [*head("py:method", signatures), *indented(text)]


def _attribute(name: str, value: Any) -> list[str]:
    text = docstring(value) if isinstance(value, property) else ""
    return [*head("py:attribute", [f"{NAME}.{name}"]), *indented(as_rst(text, link=linker())), ""]


# ------------------------------------------------------------------------------------------ what Tensor has


def _tensor() -> Entry:
    return next(entry for entry in entries() if entry.name == NAME)


@cache
def tensor_methods() -> list[Row]:
    """The rows, in the order of their first names."""
    rows: dict[Any, Row] = {}
    for name in sorted(_tensor().members, key=lambda name: (name.endswith("_"), name)):
        value = _defined(name)
        if callable(value):
            function = _function(name)
            key = function.name if function else (name.rstrip("_") if name.rstrip("_") in rows else name)
            rows.setdefault(key, Row([], function)).forms.append((name, value))
    return sorted(rows.values(), key=lambda row: row.forms[0][0])


def tensor_attributes() -> Iterator[tuple[str, Any]]:
    for name in _tensor().members:
        value = inspect.getattr_static(tinytensor.Tensor, name, None)
        if not callable(_defined(name)):
            yield name, value


def _defined(name: str) -> Any:
    """What the class has under this name; of a class method, its function."""
    value = inspect.getattr_static(tinytensor.Tensor, name, None)
    return getattr(value, "__func__", value)


def _function(method: str) -> Entry | None:
    """The public function that a method, or its form in place, is a name of."""
    found = _by_name().get(f"tinytensor.{method}") or _by_name().get(f"tinytensor.{method.rstrip('_')}")
    if found is None or found.kind != "function" or found.file.startswith("tinytensor/inside"):
        return None
    return found


@cache
def _by_name() -> dict[str, Entry]:
    return {name: entry for entry in entries() for name in [*entry.names, *entry.in_place]}
