"""Tables of the exercises of gpt.learn and of the bugs of gpt.museum, each under its chapter."""

from __future__ import annotations

import importlib
from itertools import groupby
from typing import Any

from chapters import FOLDER, chapter
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def package(name: str) -> Any:
    """A package of gpt, or None where this checkout has none."""
    try:
        return importlib.import_module(f"gpt.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"gpt.{name}":
            raise
        return None


class Written(SphinxDirective):
    """A directive that writes Markdown."""

    def written(self, lines: list[str]) -> list[nodes.Node]:
        return self.parse_text_to_nodes(StringList(lines, source=self.env.docname), allow_section_headings=True)


class Exercises(Written):
    """A table of the exercises: chapter, name, what to do."""

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()
        learn = package("learn")
        if learn is None:
            return self.written(["This checkout has no package gpt.learn."])
        lines = ["| exercise | of | what to write |", "|---|---|---|"]
        for each in learn.exercises():
            lines.append(f"| `{each.name}` | {_chapter(each.chapter)} | {each.title} |")
        return self.written(lines)


class Bugs(Written):
    """Each bug: the line, what it does, how to notice it."""

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()
        museum = package("museum")
        if museum is None:
            return self.written(["This checkout has no package gpt.museum."])
        lines: list[str] = []
        for name, bugs in groupby(
            sorted(museum.BUGS.values(), key=lambda bug: bug.chapter), key=lambda bug: bug.chapter
        ):
            lines += [f"## {_chapter(name)}", ""]
            for bug in bugs:
                lines += [f"### {bug.name}: {bug.title}", "", f"In [`{bug.file}`](../{bug.file}):", ""]
                lines += [
                    "```diff",
                    *(f"-{line}" for line in bug.right.splitlines()),
                    *(f"+{line}" for line in bug.wrong.splitlines()),
                    "```",
                ]
                lines += [
                    "",
                    bug.why,
                    "",
                    f"*How to notice it.* {bug.notice}",
                    "",
                    f"`python -m gpt.museum {bug.name}` shows it.",
                    "",
                ]
        return self.written(lines)


def _chapter(name: str) -> str:
    """A link to a chapter by its title, or its name alone."""
    path = FOLDER / f"{name}.md"
    return f"[{chapter(path).title}](chapters/{path.name})" if path.exists() else name


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("exercises", Exercises)
    app.add_directive("bugs", Bugs)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
