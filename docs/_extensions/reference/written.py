"""What all directives of the reference do: reStructuredText becomes nodes, with a link to its source at each object."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator

from checkout import ROOT
from docutils import nodes
from docutils.statemachine import StringList
from repository import SCHEME
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective

from reference.public import Entry, place

Places = dict[str, tuple[str, int]]  # of each name: the file and the line that define it


class Written(SphinxDirective):
    """A directive that writes reStructuredText."""

    def parsed(self, lines: list[str], places: Places) -> list[nodes.Node]:
        """The nodes of these lines, with a link to its source at each object that has a place."""
        content = StringList(lines, source=f"{self.env.docname} (docstrings)")
        found = self.parse_text_to_nodes(content, allow_section_headings=True)
        for node in found:
            for signature in node.findall(addnodes.desc_signature):
                name = ".".join(filter(None, [signature.get("module"), signature.get("fullname")]))
                path, line = places.get(name, ("", 0))
                if path:
                    uri = f"{SCHEME}{path}#L{line}"
                    signature += nodes.reference("", "source", refuri=uri, internal=True, classes=["source-link"])
        return found

    def depend(self, paths: Iterable[str]) -> None:
        """The page is old when one of these files changes."""
        for path in filter(None, paths):
            self.env.note_dependency(str(ROOT / path))


def places_of(entry: Entry) -> Iterator[tuple[str, tuple[str, int]]]:
    """The places of an entry's names and of its members."""
    for name in [*entry.names, *entry.in_place]:
        yield name, (entry.file, entry.line)
    for member in entry.members:
        value = inspect.getattr_static(entry.object, member, None)
        value = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if callable(value):
            yield f"{entry.name}.{member}", place(value)
