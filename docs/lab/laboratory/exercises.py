"""The exercises of gpt.learn and the bugs of gpt.museum, as the page lists and checks them."""

from __future__ import annotations

import contextlib
import importlib
from typing import Any

from .engines import Engines
from .errors import checked
from .output import Output, shortened


class Exercises:
    """What the reader solves, and what can be broken: both are those of the original engine."""

    def __init__(self, engines: Engines) -> None:
        self.engine = engines.original

    def exercises(self) -> list[dict[str, str]]:
        """The exercises of gpt.learn, and the text that each begins with."""
        with self.engine.active():
            learn = importlib.import_module("gpt.learn")
            return [
                {
                    "name": each.name, "title": each.title, "kind": each.kind, "chapter": each.chapter,
                    "start": learn.start_text(each.name),
                }
                for each in learn.exercises()
            ]  # fmt: skip

    def check_exercise(self, name: str, text: str) -> dict[str, Any]:
        """Check the reader's file of an exercise."""
        checked(text, f"{name}.py")
        printed = Output()
        with self.engine.active(), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            report = importlib.import_module("gpt.learn").check_text(name, text)
            return {"passed": bool(report.passed), "lines": [shortened(str(line)) for line in report.lines]}

    def bugs(self) -> list[dict[str, Any]]:
        """The bugs of gpt.museum, each one line of a file."""
        with self.engine.active():
            museum = importlib.import_module("gpt.museum")
            return [
                {
                    "name": bug.name, "title": bug.title, "file": bug.file, "right": bug.right, "wrong": bug.wrong,
                    "why": bug.why, "chapter": bug.chapter, "recipe": bug.recipe, "flags": dict(bug.flags),
                }
                for bug in museum.BUGS.values()
            ]  # fmt: skip
