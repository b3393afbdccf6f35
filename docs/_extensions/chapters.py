"""Chapters: their times, their links to the laboratory and to a notebook, and the laboratory.

A chapter is docs/chapters/NN-name.md. Its cells go to the laboratory, without those tagged no-lab. jupyter.py makes its
notebook.
"""

from __future__ import annotations

import ast
import html
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jupytext
from checkout import ROOT, load_build_lab
from docutils import nodes
from repository import SITE
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

    @property
    def times(self) -> str:
        """What the chapter and the map of all chapters say: minutes to the nearest five, whose parts add up."""
        whole, reading = (max(5, 5 * round(time / 5)) for time in (self.reading + self.solving, self.reading))
        todo = self.questions + self.exercises
        return f"{whole} min: reading {reading}, {todo} exercises {whole - reading}" if todo else f"{whole} min"


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
        links = [("Open in the laboratory", f"{SITE}{LABORATORY}/index.html?chapter={name}", "lab")]
        links += [("Download as a notebook", f"{SITE}{NOTEBOOKS}/{name}.ipynb", "notebook")]
        if self.config.colab_url:
            links += [("Open in Colab", self.config.colab_url.format(name=name), "colab")]
        paragraph = nodes.paragraph("", "", nodes.inline("", it.times, classes=["times"]), classes=["chapter-links"])
        for text, uri, kind in links:
            paragraph += nodes.Text(" ")
            paragraph += nodes.reference("", text, refuri=uri, classes=["button", kind])
        title.parent.insert(title.parent.index(title) + 1, paragraph)


class IntoTheLaboratory(SphinxTransform):
    """Exercises and bugs lead into the laboratory; a chapter leads to their pages, whose entries lead to the chapter."""

    default_priority = 400

    def apply(self, **kwargs: Any) -> None:
        page = self.env.docname
        if page == "museum":
            self._museum()
        for literal in list(self.document.findall(nodes.literal)):
            words = literal.astext().removeprefix("python -m ").split() or [""]
            if page == "exercises" and isinstance(literal.parent.parent, nodes.entry) and words[0] in exercises():
                literal.parent.parent["ids"].append(f"exercise-{words[0]}")
                literal.replace_self(link(literal.deepcopy(), f"{SITE}{LABORATORY}/index.html?exercise={words[0]}"))
            elif page.startswith("chapters/") and words[:2] == ["gpt.learn", "start"] and words[-1] in exercises():
                here = link("in the laboratory", f"{SITE}{LABORATORY}/index.html?exercise={words[-1]}")
                at = literal.parent.index(literal) + 1
                literal.parent.insert(at, [nodes.Text(" ("), here, nodes.Text(")")])
                literal.replace_self(link(literal.deepcopy(), f"{SITE}exercises.html#exercise-{words[-1]}"))
            elif page.startswith("chapters/") and words[-1] in BUGS and words[:-1] in ([], ["gpt.museum"]):
                literal.replace_self(link(literal.deepcopy(), f"{SITE}museum.html#{words[-1]}"))

    def _museum(self) -> None:
        for section in self.document.findall(nodes.section):
            if (name := section[0].astext()) in BUGS and BUGS[name].file in build_lab().sources():
                here = link("Switch it on in the laboratory", f"{SITE}{LABORATORY}/index.html?bug={name}")
                section.insert(1, nodes.paragraph("", "", here))


@cache
def exercises() -> frozenset[str]:
    return frozenset(each.name for each in learn.exercises())


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
            link += [nodes.Text(" "), nodes.inline("", it.title, classes=["site-map-title"]), nodes.Text(" ")]
            link += nodes.inline("", it.times, classes=["site-map-times"])
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
    """The cells of each chapter that run in a browser, and which of them its page does not show at all."""
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
            "hidden": ["remove-cell" in tags for _, tags in it.cells if "no-lab" not in tags],
        }
        for it in chapters()
    ]


DIFFER = "The numbers are others than those of the chapter, since a cell above or the engine was changed."


def forgiving(code: str) -> str:
    """A cell that a reader does not see, whose checks of the chapter's numbers say that they differ, and do not stop it."""
    lines = code.splitlines()
    checks = [list(some) for is_check, some in groupby(ast.parse(code).body, _is_check) if is_check]
    for some in reversed(checks):
        begin, end = some[0].lineno - 1, some[-1].end_lineno
        checked = [f"    {line}" for line in lines[begin:end]]
        lines[begin:end] = ["try:", *checked, "except AssertionError:", f"    print({DIFFER!r})"]
    return "\n".join(lines)


def _is_check(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assert) and node.col_offset == 0


@cache
def build_lab() -> Any:
    return load_build_lab()


def finish(app: Sphinx, error: Exception | None) -> None:
    """The laboratory, with the cells of the chapters."""
    if error is not None or app.builder.format != "html":
        return
    module = build_lab()
    try:
        for line in module.build(Path(app.outdir) / LABORATORY, snippets()) or ():
            LOGGER.warning("%s", line, type="lab", subtype="editor")
    except module.Missing as missing:
        LOGGER.warning("the laboratory: %s", missing, type="lab", subtype="wheel")


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
