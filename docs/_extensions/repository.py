"""Files of the repository on the site: links to them work as they do on GitHub, and lead to pages with their lines.

A document links to `../tinytensor/tape.py` or `../tinytensor/ops/`. On the site this is a page with the highlighted
file, or a list of the folder; with `repository_url` in conf.py, it is the file's address there. Documents that lie
outside of docs/ (README.md, CONTRIBUTING.md) are pages too: `documents_outside` says which, and their own relative
links are read from where they lie.
"""

from __future__ import annotations

import ast
import html
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from checkout import ROOT, files, folders
from docutils import nodes
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import TextLexer, get_lexer_for_filename
from pygments.util import ClassNotFound
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform

SCHEME = "repository:"  # of a link to a file of the repository, until the page that it stands on is written
SITE = "site:"  # of a link to a file of the site that is no document
BUILT = {
    "lab/index.html": "lab/index.html",
    "lab": "lab/index.html",
}  # what is not the page of a file, but a page itself
PAGES = "source/"  # the folder of the site that has the pages of files
BINARY = {".png", ".ipynb", ".ico", ".npz", ".woff2", ".gz", ".jpg"}


def of_repository(path: str) -> str | None:
    """The path in the repository of a file or folder; None if there is no such thing."""
    inside = os.path.relpath(path, ROOT).replace(os.sep, "/")
    inside = "" if inside == "." else inside
    return inside if inside in files() or inside in folders() else None


# ------------------------------------------------------------------------------------------ links


class RepositoryLinks(SphinxTransform):
    """Relative links of a Markdown document: to a document of the site, or to a file or folder of the repository."""

    default_priority = 5

    def apply(self, **kwargs: Any) -> None:
        outside: dict[str, str] = self.config.documents_outside
        home = {docname: path for path, docname in outside.items()}.get(self.env.docname)
        here = (ROOT / home).parent if home else Path(self.env.doc2path(self.env.docname)).parent
        for node in list(self.document.findall(addnodes.pending_xref)):
            if node.get("reftype") == "myst" and node.get("refdomain") is None:
                self._link(node, here, node["reftarget"])
            elif node.get("reftype") == "myst" and node["refdomain"] == "doc" and os.path.isabs(node["reftarget"]):
                suffix = next((end for end in (".md", ".ipynb") if of_repository(node["reftarget"] + end)), "")
                self._link(node, here, f"{node['reftarget']}{suffix}#{node['reftargetid'] or ''}")
        for node in list(self.document.findall(addnodes.download_reference)):
            if node.get("reftype") == "myst":
                self._link(node, here, node["reftarget"])
        if home:
            for image in self.document.findall(nodes.image):
                if "://" not in image["uri"] and (here / image["uri"]).is_file():
                    page = Path(self.env.doc2path(self.env.docname))
                    image["uri"] = os.path.relpath(here / image["uri"], page.parent)

    def _link(self, node: nodes.Element, here: Path, target: str) -> None:
        """Turn the link into one to a document or to a file; leave it, and so its warning, if there is neither."""
        path, _, anchor = target.partition("#")
        built = os.path.relpath(os.path.normpath(here / path.partition("?")[0]), ROOT / "docs").replace(os.sep, "/")
        if built in BUILT:
            uri = SITE + target.replace(path.partition("?")[0], BUILT[built])
            return self._replace(node, nodes.reference(refuri=uri, internal=True))
        inside = of_repository(os.path.normpath(here / path)) if path else None
        if inside is None:
            return
        docname = self.config.documents_outside.get(inside)
        if docname is None and inside.startswith("docs/"):
            docname = self.env.path2doc(str(ROOT / inside))
            docname = docname if docname in self.env.found_docs else None
        if docname is not None:
            new: nodes.Element = addnodes.pending_xref(
                refdomain="doc", reftype="myst", reftarget=docname, reftargetid=anchor or None,
                refdoc=self.env.docname, refexplicit=True,
            )  # fmt: skip
        else:
            uri = f"{SCHEME}{inside}" + (f"#{anchor}" if anchor else "")
            new = nodes.reference(refuri=uri, internal=True, classes=["repository-link"])
        self._replace(node, new)

    def _replace(self, node: nodes.Element, new: nodes.Element) -> None:
        new.source, new.line = node.source, node.line
        new.extend(child.deepcopy() for child in node.children)
        node.replace_self(new)


class RepositoryAddresses(SphinxPostTransform):
    """The address of each link to a file, as seen from the page that the link stands on."""

    default_priority = 5
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        for node in self.document.findall(nodes.reference):
            if node.get("refuri", "").startswith(SCHEME):
                path, _, anchor = node["refuri"].removeprefix(SCHEME).partition("#")
                node["refuri"] = address(self.app, self.env.docname, path) + (f"#{anchor}" if anchor else "")
            elif node.get("refuri", "").startswith(SITE):
                node["refuri"] = "../" * self.env.docname.count("/") + node["refuri"].removeprefix(SITE)


def address(app: Sphinx, docname: str, path: str) -> str:
    """The address of a file or folder, seen from a document."""
    if app.config.repository_url:
        kind = "blob" if path in files() else "tree"
        return f"{app.config.repository_url}/{kind}/{app.config.repository_branch}/{path}".rstrip("/")
    return app.builder.get_relative_uri(docname, PAGES + (path if path in files() else f"{path}/index".lstrip("/")))


# ------------------------------------------------------------------------------------------ pages


def pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """A page for each file and each folder, unless the repository has an address."""
    if app.config.repository_url:
        return
    for path in sorted(folders()):
        name = PAGES + f"{path}/index".lstrip("/")
        yield name, {"title": path or "The files", "body": _folder(app, name, path)}, "source.html"
    for path in sorted(files()):
        yield PAGES + path, {"title": path, "body": _file(app, PAGES + path, path)}, "source.html"


def _crumbs(app: Sphinx, page: str, path: str) -> str:
    """The path, each folder of which is a link."""
    parts = PurePosixPath(path).parts
    above = [("tinytensor", PAGES + "index")] if parts else []
    above += [(part, f"{PAGES}{'/'.join(parts[: i + 1])}/index") for i, part in enumerate(parts[:-1])]
    links = [f'<a href="{app.builder.get_relative_uri(page, to)}">{html.escape(name)}</a>' for name, to in above]
    return " / ".join([*links, f"<span>{html.escape(parts[-1] if parts else 'tinytensor')}</span>"])


def _file(app: Sphinx, page: str, path: str) -> str:
    """The lines of a file, highlighted; #L12 is line 12."""
    head = f'<h1 class="source-path">{_crumbs(app, page, path)}</h1>'
    if PurePosixPath(path).suffix in BINARY:
        size = (ROOT / path).stat().st_size
        return f"{head}<p>A file of {size:,} bytes that is not shown here.</p>"
    text = (ROOT / path).read_text("utf-8", errors="replace")
    return f'{head}<div class="highlight source-code"><pre>{_lines(path, text)}</pre></div>'


@cache
def _lines(path: str, text: str) -> str:
    """The highlighted lines; a style sheet numbers them, each an element of its own to link to."""
    try:
        lexer = get_lexer_for_filename(path, stripnl=False)
    except ClassNotFound:
        lexer = TextLexer(stripnl=False)
    lines = highlight(text, lexer, HtmlFormatter(nowrap=True)).splitlines()
    return "\n".join(f'<i id="L{i}"></i>{line}' for i, line in enumerate(lines, 1))


def _folder(app: Sphinx, page: str, path: str) -> str:
    """The folders and files of a folder, each with the first line of its docstring."""
    below = f"{path}/" if path else ""
    depth = below.count("/")
    names = {
        name.split("/")[depth] + ("/" if name.count("/") > depth else "") for name in files() if name.startswith(below)
    }
    rows = []
    for name in sorted(names, key=lambda name: (not name.endswith("/"), name)):
        inside = below + name
        target = PAGES + (f"{inside}index" if name.endswith("/") else inside)
        first = purpose(inside + "__init__.py" if name.endswith("/") else inside)
        link = f'<a href="{app.builder.get_relative_uri(page, target)}"><code>{html.escape(name)}</code></a>'
        text = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(first))
        rows.append(f"<tr><td>{link}</td><td>{text}</td></tr>")
    table = f'<div class="table-wrapper docutils container"><table class="docutils"><tbody>{"".join(rows)}</tbody></table></div>'
    return f'<h1 class="source-path">{_crumbs(app, page, path)}</h1>{table}'


def beside(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """The sidebar of a file's page: the files beside it, in place of the tree of documents."""
    if pagename.startswith(PAGES):
        here = str(PurePosixPath(pagename.removeprefix(PAGES)).parent)
        below = "" if here == "." else f"{here}/"
        names = sorted(name for name in files() if name.startswith(below) and "/" not in name[len(below) :])
        items = [
            f'<li class="toctree-l1{" current current-page" if PAGES + name == pagename else ""}">'
            f'<a class="reference internal" href="{app.builder.get_relative_uri(pagename, PAGES + name)}">'
            f"{html.escape(name[len(below) :])}</a></li>"
            for name in names
        ]
        tree = f'<p class="caption" role="heading"><span class="caption-text">{below or "/"}</span></p><ul>{"".join(items)}</ul>'
        context["toctree"] = lambda **options: tree


def purpose(path: str) -> str:
    """The first line of the docstring of a Python file, or nothing."""
    if not path.endswith(".py") or path not in files():
        return ""
    return (ast.get_docstring(ast.parse((ROOT / path).read_text("utf-8"))) or "").split("\n", 1)[0]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_config_value("repository_url", "", "env", str)
    app.add_config_value("repository_branch", "main", "html", str)
    app.add_config_value("documents_outside", {}, "env", dict)
    app.add_transform(RepositoryLinks)
    app.add_post_transform(RepositoryAddresses)
    app.connect("html-collect-pages", pages)
    app.connect("html-page-context", beside, priority=400)  # before the theme makes its tree
    return {"parallel_read_safe": True, "parallel_write_safe": True}
