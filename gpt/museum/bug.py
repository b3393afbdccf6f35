"""Bug: a mistake as one line of source, with what it does, how to notice it, and what catches it.

The laboratory in the browser reads the bugs as well, so this file and those with the bugs import the standard library alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# The run in which a bug is shown, unless it needs another one: a few seconds on a core.
SMALL: Mapping[str, object] = {
    "layers": 2, "width": 64, "heads": 2, "context": 64, "batch_size": 8, "steps": 300, "warmup": 20, "eval_every": 25,
    "eval_windows": 100, "threads": 1,
}  # fmt: skip


@dataclass(frozen=True)
class Bug:
    """One line, right and wrong, as it stands in the file, indentation included."""

    name: str
    title: str  # the mistake, in some words
    file: str  # below the root of the repository, which is that of the packages as well
    right: str
    wrong: str
    why: str  # what goes wrong, and why, in a few sentences
    notice: str  # how to notice it
    chapter: str  # in docs/chapters
    test: str = ""  # the test of this repository that fails with it: tests/….py::name
    finding: str = ""  # what gpt.doctor says of the run
    flags: Mapping[str, object] = field(default_factory=dict)  # of gpt.train, where SMALL does not show it
    characters: int = 0  # of the text that it trains on; 0: all
    recipe: str = ""  # why it needs these flags, or so short a text
    shows: str = "validation"  # the second picture of its figure: see gpt/museum/panels.py
    family: str = ""  # bugs that look alike have one: the quiz does not offer two of them

    @property
    def config(self) -> dict[str, object]:
        """The fields of the configuration for its run."""
        return {**SMALL, **self.flags}

    @property
    def caught_by(self) -> tuple[str, ...]:
        """The test and the finding of gpt.doctor that catch it, as far as there are."""
        finding = f"gpt.doctor: {self.finding}" if self.finding else ""
        return tuple(each for each in (self.test, finding) if each)
