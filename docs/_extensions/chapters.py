"""Chapters: their reading times, their links to the laboratory and to a notebook, and both of these files.

A chapter is docs/chapters/NN-name.md. Its cells go to the laboratory, without those tagged no-lab. As a notebook it has
the same cells; the engine's lines that the page includes stand in it as text, and its first cell says how to install.
"""

from __future__ import annotations

import ast
import html
import importlib.util
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jupytext
import nbformat
from docutils import nodes
from repository import ROOT, SITE
from sphinx.application import Sphinx
from sphinx.directives.code import LiteralIncludeReader
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from gpt import learn
from gpt.museum import BUGS

LOGGER = logging.getLogger(__name__)
FOLDER = ROOT / "docs" / "chapters"
NOTEBOOKS = "notebooks"  # the folder of the site with the chapters as notebooks
LABORATORY = "lab"
# Minutes: for so many words, lines of code, formulas in lines of their own, questions, and exercises of gpt.learn
WORDS, LINES, FORMULAS, QUESTIONS, EXERCISES = 1 / 110, 1 / 8, 1 / 2, 3, 7
DIRECTIVE = re.compile(
    r"^(`{3,}|:{3,})\{(?P<name>[\w-]+)\}[ ]?(?P<argument>.*)\n(?P<body>(?:.*\n)*?)\1[ ]*$", re.MULTILINE
)


@dataclass(frozen=True)
class Chapter:
    """A chapter, and how long it takes."""

    name: str  # 06-layer-norm
    title: str
    cells: tuple[tuple[str, tuple[str, ...]], ...]  # code and tags
    words: int
    lines: int
    formulas: int
    questions: int
    exercises: int

    @property
    def reading(self) -> float:
        return self.words * WORDS + self.lines * LINES + self.formulas * FORMULAS

    @property
    def solving(self) -> float:
        return self.questions * QUESTIONS + self.exercises * EXERCISES


def chapters() -> list[Chapter]:
    return [chapter(path) for path in sorted(FOLDER.glob("[0-9][0-9]-*.md"))]


def chapter(path: Path) -> Chapter:
    return _read(path, path.read_text("utf-8"))


@cache
def _read(path: Path, text: str) -> Chapter:
    """Count what a reader has to read and to do."""
    notebook = jupytext.reads(text, fmt="md:myst")
    prose = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    cells = tuple(
        (cell.source, tuple(cell.metadata.get("tags", ()))) for cell in notebook.cells if cell.cell_type == "code"
    )
    seen = [code for code, tags in cells if not {"remove-input", "remove-cell"} & set(tags)]
    lines = sum(len(code.splitlines()) for code in seen)
    for match in DIRECTIVE.finditer(prose):
        if match["name"] == "literalinclude":
            lines += len(included(path, match["argument"], match["body"]).splitlines())
    title = re.search(r"^# (.+)$", prose, re.MULTILINE)
    return Chapter(
        path.stem,
        title[1] if title else path.stem,
        cells,
        len(re.findall(r"[\w'’-]+", re.sub(r"\$\$.*?\$\$|```.*?```", "", prose, flags=re.DOTALL))),
        lines,
        prose.count("$$") // 2,
        len(re.findall(r"\{admonition\} Answer", prose)),
        len({*re.findall(r"gpt\.learn start ([\w-]+)", prose)}),
    )


def included(path: Path, argument: str, body: str) -> str:
    """The lines that a literalinclude shows, as Sphinx reads its options."""
    options: dict[str, Any] = {
        name: value.strip() for name, value in re.findall(r"^:([\w-]+):(.*)$", body, re.MULTILINE)
    }
    if "dedent" in options:
        options["dedent"] = int(options["dedent"]) if options["dedent"] else None
    config: Any = SimpleNamespace(source_encoding="utf-8-sig")
    return LiteralIncludeReader(str((path.parent / argument.strip()).resolve()), options, config).read()[0].rstrip("\n")


def minutes(time: float) -> str:
    """A time to the nearest five minutes."""
    return f"{max(5, 5 * round(time / 5))} min"


# ------------------------------------------------------------------------------------------ on pages


class Links(SphinxTransform):
    """Below the title of a chapter: how long it takes, the laboratory, the notebook."""

    default_priority = 400

    def apply(self, **kwargs: Any) -> None:
        name = self.env.docname.removeprefix("chapters/")
        title = next(self.document.findall(nodes.title), None)
        path = FOLDER / f"{name}.md"
        if name == self.env.docname or title is None or not path.exists():
            return
        it = chapter(path)
        times = f"reading {minutes(it.reading)}" + (f", exercises {minutes(it.solving)}" if it.solving else "")
        links = [("Open in the laboratory", f"{SITE}{LABORATORY}/index.html?chapter={name}", "lab")]
        links += [("Download as a notebook", f"{SITE}{NOTEBOOKS}/{name}.ipynb", "notebook")]
        if self.config.colab_url:
            links += [("Open in Colab", self.config.colab_url.format(name=name), "colab")]
        paragraph = nodes.paragraph("", "", nodes.inline("", times, classes=["times"]), classes=["chapter-links"])
        for text, uri, kind in links:
            paragraph += nodes.Text(" ")
            paragraph += nodes.reference("", text, refuri=uri, classes=["button", kind])
        title.parent.insert(title.parent.index(title) + 1, paragraph)


class IntoTheLaboratory(SphinxTransform):
    """Exercises lead into the laboratory, bugs of a chapter to their section of the museum, and those sections there too."""

    default_priority = 400

    def apply(self, **kwargs: Any) -> None:
        page, exercises = self.env.docname, {each.name for each in learn.exercises()}
        if page == "museum":
            for section in self.document.findall(nodes.section):
                if (name := section[0].astext()) in BUGS and BUGS[name].file in build_lab().sources():
                    here = link("Switch it on in the laboratory", f"{SITE}{LABORATORY}/index.html?bug={name}")
                    section.insert(1, nodes.paragraph("", "", here))
        for literal in list(self.document.findall(nodes.literal)):
            words = literal.astext().removeprefix("python -m ").split()
            if page.startswith("chapters/") and words[-1:] and words[-1] in BUGS and words[:-1] in ([], ["gpt.museum"]):
                literal.replace_self(link(literal.deepcopy(), f"{SITE}museum.html#{words[-1]}"))
            elif page == "exercises" and isinstance(literal.parent.parent, nodes.entry) and words[0] in exercises:
                literal.replace_self(link(literal.deepcopy(), f"{SITE}{LABORATORY}/index.html?exercise={words[0]}"))
            elif page.startswith("chapters/") and words[:2] == ["gpt.learn", "start"] and words[-1] in exercises:
                here = link("in the laboratory", f"{SITE}{LABORATORY}/index.html?exercise={words[-1]}")
                at = literal.parent.index(literal) + 1
                literal.parent.insert(at, [nodes.Text(" ("), here, nodes.Text(")")])


def link(what: str | nodes.Node, address: str) -> nodes.reference:
    """A link to a page of the site that is no document."""
    made = nodes.reference("", "", refuri=address, internal=True)
    made += nodes.Text(what) if isinstance(what, str) else what
    return made


class SiteMap(SphinxDirective):
    """The chapters in order, each with its time and the number of its exercises."""

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()
        items = nodes.enumerated_list("", classes=["site-map"])
        for it in chapters():
            link = nodes.reference("", "", refuri=f"{SITE}chapters/{it.name}.html", internal=True)
            link += nodes.inline("", str(int(it.name[:2])), classes=["site-map-number"])
            link += nodes.inline("", it.title, classes=["site-map-title"])
            todo = it.questions + it.exercises
            times = minutes(it.reading + it.solving) + (f" · {todo} exercises" if todo else "")
            link += nodes.inline("", times, classes=["site-map-times"])
            items += nodes.list_item("", nodes.paragraph("", "", link))
        total = sum(it.reading + it.solving for it in chapters()) / 60
        text = f"{len(chapters())} chapters, about {total:.0f} hours with all exercises. "
        text += "The times are counted from words, lines of code and exercises."
        return [items, nodes.paragraph("", text, classes=["site-map-total"])] if chapters() else []


class Trimmed(SphinxTransform):
    """Code ends with its last line, without the empty one that doctest wants; the engine's own lines are Python."""

    default_priority = 800

    def apply(self, **kwargs: Any) -> None:
        for node in self.document.findall(nodes.literal_block):
            if node.get("source", "").endswith(".py"):
                node.attributes.setdefault("language", "python")
            if len(node) == 1 and isinstance(node[0], nodes.Text) and node.astext().endswith("\n"):
                node[0] = nodes.Text(node.astext().rstrip("\n"))
                node.rawsource = node.rawsource.rstrip("\n")


class Details(SphinxTransform):
    """An admonition of the class dropdown opens when one asks it to."""

    default_priority = 800

    def apply(self, **kwargs: Any) -> None:
        for node in list(self.document.findall(nodes.admonition)):
            if "dropdown" in node["classes"]:
                title = next(iter(node.findall(nodes.title)), None)
                text = title.astext() if title is not None else "Answer"
                if title is not None:
                    node.remove(title)
                head = f'<details class="admonition dropdown"><summary class="admonition-title">{html.escape(text)}</summary>'
                ends = [nodes.raw("", head, format="html"), *node.children, nodes.raw("", "</details>", format="html")]
                place = node.parent.index(node)
                node.parent[place : place + 1] = ends


# ------------------------------------------------------------------------------------------ notebooks


def notebook(path: Path, baseurl: str = "", wheel: str = "") -> nbformat.NotebookNode:
    """The chapter as a notebook that opens anywhere."""
    made = jupytext.reads(path.read_text("utf-8"), fmt="md:myst")
    for cell in made.cells:
        if cell.cell_type == "markdown":
            cell.source = for_jupyter(path, cell.source, baseurl)
    made.cells.insert(0, nbformat.v4.new_code_cell(install(baseurl, wheel), metadata={"tags": ["install"]}))
    made.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    for i, cell in enumerate(made.cells):
        cell["id"] = f"cell-{i}"  # the same in each build
    made.nbformat, made.nbformat_minor = 4, 5
    nbformat.validate(made)
    return made


def install(baseurl: str, wheel: str) -> str:
    """The first cell: it installs the wheel beside the site where the package is missing, or says how."""
    if not (baseurl and wheel):
        return (
            "# If this fails: run `pip install .` in the folder of tinytensor, in the environment of this notebook.\n"
            "import tinytensor"
        )
    return (
        "import importlib.util\n\n# In Colab, and wherever tinytensor is not installed\n"
        f"if importlib.util.find_spec('tinytensor') is None:\n    %pip install --quiet {baseurl.rstrip('/')}/{LABORATORY}/{wheel}"
    )


def for_jupyter(path: Path, text: str, baseurl: str) -> str:
    """MyST's directives, roles and links in the Markdown that Jupyter shows."""
    while match := DIRECTIVE.search(text):
        text = text[: match.start()] + _plain(path, match) + text[match.end() :]
    text = re.sub(r"^\$\$(.*?)\$\$ \(([\w-]+)\)$", r"$$\1\\tag{\2}$$", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"\{(eq|ref|numref)\}`([^`]+)`", r"(\2)", text)
    text = re.sub(r"\{[\w:]+\}`([^`<]+?)(?: <[^`]*>)?`", r"`\1`", text)
    return re.sub(
        r"\]\((?!\w+:|#)([^)\s#]+)(#[^)\s]*)?\)", lambda m: f"]({_address(path, m[1], baseurl)}{m[2] or ''})", text
    )


def _plain(path: Path, match: re.Match[str]) -> str:
    name, argument, body = match["name"], match["argument"].strip(), match["body"]
    if name == "literalinclude":
        shown = included(path, argument, body)
        return f"`{argument.removeprefix('../../')}`\n\n```python\n{shown}\n```"
    content = "\n".join(line for line in body.splitlines() if not re.match(r":[\w-]+:", line)).strip()
    if "dropdown" in body:
        return f"<details><summary>{argument}</summary>\n\n{content}\n\n</details>"
    if name in ("admonition", "note", "tip", "warning", "important", "seealso"):
        head = argument if name == "admonition" else name.capitalize()
        return "\n".join(f"> {line}".rstrip() for line in [f"**{head}**", "", *content.splitlines()])
    if name == "math":
        return f"$$\n{content}\n$$"
    if name in ("figure", "image"):
        return f"![{content}]({argument})"
    return f"```{argument if name == 'code-block' else 'text'}\n{content}\n```"


def _address(path: Path, target: str, baseurl: str) -> str:
    """A relative link of a chapter, from the notebook's place in the site, or absolute if the site has an address."""
    inside = (path.parent / target).resolve()
    docs = ROOT / "docs"
    if inside.is_relative_to(docs) and target.endswith((".md", ".rst")):
        page = inside.relative_to(docs).with_suffix(".html").as_posix()
    elif inside.is_relative_to(ROOT):
        page = f"source/{inside.relative_to(ROOT).as_posix()}" + ("/index.html" if inside.is_dir() else ".html")
    else:
        return target
    return f"{baseurl.rstrip('/')}/{page}" if baseurl else f"../{page}"


# ------------------------------------------------------------------------------------------ files beside the pages


def subject(path: Path) -> str | None:
    """Of the files that the laboratory's editor has, the one of which the chapter shows the most lines."""
    offered, lines = build_lab().sources(), Counter[str]()
    for match in DIRECTIVE.finditer(path.read_text("utf-8")):
        if match["name"] == "literalinclude":
            name = (path.parent / match["argument"].strip()).resolve().relative_to(ROOT).as_posix()
            lines[name] += len(included(path, match["argument"], match["body"]).splitlines())
    return next((name for name, _ in lines.most_common() if name in offered), None)


def snippets() -> list[dict[str, Any]]:
    """The cells of each chapter that run in a browser."""
    return [
        {
            "name": it.name,
            "title": it.title,
            "file": subject(FOLDER / f"{it.name}.md"),
            "cells": [
                forgiving(code) if {"remove-input", "remove-cell"} & set(tags) else code
                for code, tags in it.cells
                if "no-lab" not in tags
            ],
        }
        for it in chapters()
    ]


DIFFER = "The numbers are others than those of the chapter, since a cell above was changed."


def forgiving(code: str) -> str:
    """A cell that a reader does not see, whose checks of the chapter's numbers say that they differ, and do not stop it."""
    lines = code.splitlines()
    for node in reversed(ast.parse(code).body):
        if isinstance(node, ast.Assert) and node.col_offset == 0:
            checked = [f"    {line}" for line in lines[node.lineno - 1 : node.end_lineno]]
            lines[node.lineno - 1 : node.end_lineno] = [
                "try:",
                *checked,
                "except AssertionError:",
                f"    print({DIFFER!r})",
            ]
    return "\n".join(lines)


@cache
def build_lab() -> Any:
    """docs/build_lab.py, which builds the laboratory."""
    spec = importlib.util.spec_from_file_location("build_lab", ROOT / "docs" / "build_lab.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def finish(app: Sphinx, error: Exception | None) -> None:
    """The laboratory, then the notebooks, of which the first cell installs the laboratory's wheel."""
    if error is not None or app.builder.format != "html":
        return
    out = Path(app.outdir)
    module = build_lab()
    try:
        for line in module.build(out / LABORATORY, snippets()) or ():
            LOGGER.warning("%s", line, type="lab", subtype="editor")
    except module.Missing as missing:
        LOGGER.warning("the laboratory: %s", missing, type="lab", subtype="wheel")
    wheel = next((path.name for path in (out / LABORATORY).glob("*.whl")), "")
    (out / NOTEBOOKS).mkdir(exist_ok=True)
    for path in sorted(FOLDER.glob("[0-9][0-9]-*.md")):
        made = notebook(path, app.config.html_baseurl, wheel)
        (out / NOTEBOOKS / f"{path.stem}.ipynb").write_text(nbformat.writes(made), "utf-8")
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        (out / NOTEBOOKS / path.name).write_bytes(path.read_bytes())


def outdated(app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]) -> list[str]:
    """The page of the map is old when a chapter is new or another one."""
    other = any(name.startswith("chapters/") for name in added | changed | removed)
    return ["index"] if other and "index" in env.found_docs else []


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_config_value("colab_url", "", "env", str)
    app.add_directive("site-map", SiteMap)
    app.add_transform(Links)
    app.add_transform(IntoTheLaboratory)
    app.add_transform(Details)
    app.add_transform(Trimmed)
    app.connect("env-get-outdated", outdated)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
