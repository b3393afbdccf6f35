"""The directives for functions, classes and modules: those that some files define, or that are named."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

from docstrings import as_rst
from docutils import nodes

from reference.links import linker
from reference.public import Entry, entries, kind_of, place
from reference.text import docstring, entry_text, indented, table
from reference.written import Places, Written, places_of


class Public(Written):
    """Entries of the public objects that are defined in some files, or that are named, after a table of them."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        chosen: list[Entry] = []
        for selector in self.arguments[0].split():
            hits = [entry for entry in entries() if _selected(entry, selector) and entry.kind != "module"]
            if not hits:
                raise self.error(f"no public name is defined in {selector}")
            hits.sort(key=lambda entry: (entry.file, entry.line, entry.name))
            chosen += [entry for entry in hits if entry not in chosen]
        lines = table(chosen) if len(chosen) > 3 else []
        lines += [line for entry in chosen for line in entry_text(entry)]
        self.depend({entry.file for entry in chosen} | {"tests/pytorch/public_names.txt"})
        self._note_aliases(chosen)
        return self.parsed(lines, {name: at for entry in chosen for name, at in places_of(entry)})

    def _note_aliases(self, chosen: list[Entry]) -> None:
        """Other paths of an object are names that one can search for and link to."""
        domain = self.env.domains.python_domain
        for entry in chosen:
            for name in [*entry.names[1:], *entry.in_place]:
                if name.rpartition(".")[0] != entry.module:
                    domain.note_object(name, entry.kind, entry.name, aliased=True)


def _selected(entry: Entry, selector: str) -> bool:
    if "/" in selector:
        return entry.file == selector or (selector.endswith("/") and entry.file.startswith(selector))
    return selector in entry.names


class Classes(Written):
    """The classes of some files that public functions return, with those members that have a docstring."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        lines: list[str] = []
        places: Places = {}
        for path in self.arguments[0].split():
            for entry in _classes_of(path):
                lines += entry_text(entry)
                places.update(places_of(entry))
            self.depend({path})
        return self.parsed(lines, places)


def _classes_of(path: str) -> Iterator[Entry]:
    """The classes of a file that have no entry."""
    listed = {id(entry.object) for entry in entries()}
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    for value in [v for v in vars(module).values() if inspect.isclass(v) and v.__module__ == module.__name__]:
        if value.__name__[0] != "_" and id(value) not in listed:
            members = [name for name, member in vars(value).items() if name[0] != "_" and _documented(member)]
            name = f"{module.__name__}.{value.__name__}"
            yield Entry([name], value, kind_of(value), *place(value), members=members)


def _documented(value: Any) -> bool:
    value = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
    return inspect.isfunction(value) and bool(value.__doc__)


class Modules(Written):
    """The public modules whose names begin so, each with its docstring."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        lines: list[str] = []
        for entry in entries():
            if entry.kind == "module" and re.fullmatch(self.arguments[0], entry.name):
                lines += [f".. py:module:: {name}" for name in entry.names]
                text = as_rst(docstring(entry.object), link=linker())
                lines += ["", f"``{entry.name}``", "", *indented(text), ""]
        return self.parsed(lines, {})
