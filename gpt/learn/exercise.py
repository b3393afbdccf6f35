"""What every exercise has: a name, a chapter, the file that a reader starts from, and a report of a check."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Arrays: TypeAlias = dict[str, Array]

STUBS = Path(__file__).parent / "stubs"  # .txt, since they are no modules of this package
DERIVATIVE, TEST = "derivative", "test"  # the two kinds


class Fault(Exception):
    """What a reader's file does wrong, in lines that say it plainly."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = list(lines)


@dataclass(frozen=True)
class Report:
    """The result of a check: whether the file is right, and the lines that say why."""

    name: str
    passed: bool
    lines: list[str]


@dataclass(frozen=True)
class Exercise:
    """One exercise: `kind` is "derivative" or "test", `chapter` the one that ends with it."""

    name: str
    chapter: str

    kind = ""
    function = "test"  # what the reader writes

    @cached_property
    def start_text(self) -> str:
        """The file that a reader starts from."""
        return (STUBS / f"{self.name}.txt").read_text("utf-8")

    @property
    def title(self) -> str:
        """The first line of the file, without the name."""
        first = (ast.get_docstring(ast.parse(self.start_text)) or "").splitlines()[0]
        return first.partition(": ")[2].rstrip(".")

    @cached_property
    def given(self) -> dict[str, Any]:
        """What the file defines as the reader gets it: the forward that a check calls."""
        names: dict[str, Any] = {"__name__": f"gpt.learn.stubs.{self.name}"}
        exec(compile(self.start_text, f"{self.name}.py", "exec"), names)
        return names

    def check(self, text: str, rng: np.random.Generator) -> Report:
        """Check the text of a reader's file with numbers drawn by `rng`."""
        raise NotImplementedError

    def forward(self) -> Callable[..., tuple[Any, tuple[Any, ...]]]:
        """The forward that is given, whatever a reader's file does with its own."""
        forward: Callable[..., tuple[Any, tuple[Any, ...]]] = self.given["forward"]
        return forward
