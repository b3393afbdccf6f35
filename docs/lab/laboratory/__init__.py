"""What the page of the laboratory asks of Python: the engine, as it is and as the reader edited it, side by side.

worker.js calls `answer(laboratory, name, arguments)` with JSON and returns JSON to the page. Nothing here needs a browser,
so the tests call it natively as well. One folder has the project's packages as they were built, the other a copy of them
with the reader's edits.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .cells import Cells
from .check import Check
from .engines import PACKAGES, Engines
from .errors import Wrong
from .exercises import Exercises
from .product import product_by
from .trainings import Trainings

__all__ = ["PACKAGES", "Laboratory", "answer", "product_by"]


class Laboratory:
    """The two engines, and what the page can ask of them: `calls`, by name."""

    def __init__(self, original: Path, edited: Path, multiply: Callable[..., object] | None = None) -> None:
        self.engines = Engines(original, edited, multiply)
        self.trainings = Trainings(self.engines)
        check, cells, exercises = Check(self.engines), Cells(self.engines), Exercises(self.engines)
        calls: list[Callable[..., Any]] = [
            self.engines.warm, check.primitives, check.examine, self.trainings.start, self.trainings.advance,
            self.trainings.samples, self.trainings.page, self.trainings.save, self.trainings.load, cells.cell, cells.restart,
            exercises.exercises, exercises.check_exercise, exercises.bugs,
        ]  # fmt: skip
        self.calls = {call.__name__: call for call in calls}


def answer(laboratory: Laboratory, name: str, arguments: str) -> str:
    """Call one of `calls` with JSON, and return JSON: {"value": …} or {"failed": …}."""
    try:
        if name not in laboratory.calls:
            raise Wrong(f"the laboratory has no {name}")
        return json.dumps({"value": laboratory.calls[name](**json.loads(arguments))}, allow_nan=False)
    except BaseException as error:  # whatever the reader's code raises, SystemExit too, must not end the worker
        if (type(error).__module__, type(error).__name__) == ("gpt.errors", "UserError"):
            error = Wrong(str(error))  # of either engine: a line that says what is wrong and what would be right
        return json.dumps({"failed": laboratory.engines.described(error)})
