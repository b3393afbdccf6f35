"""What a run counts, and the table that it prints."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

tracebacks = False  # whether groups keep one


@dataclass
class Group:
    """Equal mismatches: in which forms and dtypes, how many, and the shortest call that shows one."""

    name: str
    kind: str
    detail: str
    forms: set[str] = field(default_factory=set)
    dtypes: set[str] = field(default_factory=set)
    count: int = 0
    example: str = ""
    traceback: str = ""

    def add(self, form: str, dtype: str, example: str) -> None:
        self.forms.add(form)
        self.dtypes.add(dtype)
        self.count += 1
        if not self.example or len(example) < len(self.example):
            self.example = example

    def __str__(self) -> str:
        where = f"{', '.join(sorted(self.forms))}; {', '.join(sorted(self.dtypes))}"
        return f"{self.name}: {self.kind}: {self.detail} [{where}] × {self.count}\n    {self.example}\n{self.traceback}".rstrip()


@dataclass
class Tally:
    """Samples, agreements, refusals and mismatches of some operations, modules or optimizers."""

    names: set[str] = field(default_factory=set)
    samples: int = 0
    agree: int = 0
    refused: int = 0
    excepted: int = 0
    absent: list[str] = field(default_factory=list)  # forms that the subset lacks
    wrong: dict[tuple[str, str, str], Group] = field(default_factory=dict)

    def count(
        self, name: str, found: Iterable[Any], ours: Any, form: str, dtype: str, example: str | Callable[[], str]
    ) -> None:
        """Note one call: agreed, refused, or what differs."""
        found = list(found)
        self.samples += 1
        self.refused += ours.refused
        self.agree += not found and not ours.refused
        for difference in found:
            text = example if isinstance(example, str) else example()
            group = self.wrong.setdefault(
                (name, difference.kind, difference.detail), Group(name, difference.kind, difference.detail)
            )
            group.add(form, dtype, text)
            if tracebacks and ours.error is not None and not group.traceback:
                group.traceback = "".join(traceback.format_exception(ours.error))

    @property
    def mismatches(self) -> int:
        return sum(group.count for group in self.wrong.values())

    def update(self, other: Tally) -> None:
        self.names |= other.names
        self.samples += other.samples
        self.agree += other.agree
        self.refused += other.refused
        self.excepted += other.excepted
        self.absent += other.absent
        self.wrong.update(other.wrong)

    def counts(self) -> tuple[int, ...]:
        """The numbers of a row of the table."""
        return len(self.names), self.samples, self.agree, self.refused, self.excepted, self.mismatches
