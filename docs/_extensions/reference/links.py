"""What a text links to: public names, files of the repository; and which types of a signature link nowhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from checkout import files, folders
from docutils import nodes
from repository import SCHEME
from sphinx import addnodes
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxRole

from reference.public import known


def linker(module: str = "tinytensor") -> Callable[[str], str | None]:
    """A function that knows public names and paths of the repository."""

    def link(text: str) -> str | None:
        if "/" in text and text.rstrip("/") in files() | folders():
            return f":repository:`{text}`"
        name = text.removesuffix("()")
        if not re.fullmatch(r"[A-Za-z_][\w.]*", name):
            return None
        name = re.sub(r"^F\.", "nn.functional.", name)
        tries = [name, f"{module}.{name}"] + ([f"tinytensor.{name}", f"tinytensor.nn.{name}"] if "." in name else [])
        target = next((full for full in tries if full in known() and "." in full), None)
        return f":py:obj:`{text} <{target}>`" if target else None

    return link


class RepositoryRole(SphinxRole):
    """A link to a file or folder of the repository."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        uri = f"{SCHEME}{self.text.rstrip('/')}"
        return [nodes.reference(self.rawtext, self.text, refuri=uri, internal=True, classes=["repository-link"])], []


class OwnTypes(SphinxTransform):
    """`int`, `float` and `bool` in a signature are Python's, not the dtypes of those names. They link nowhere."""

    default_priority = 700

    def apply(self, **kwargs: Any) -> None:
        for signature in self.document.findall(addnodes.desc_signature):
            for link in list(signature.findall(addnodes.pending_xref)):
                if link.get("reftarget") in ("int", "float", "bool", "complex"):
                    link.replace_self(link.children)
