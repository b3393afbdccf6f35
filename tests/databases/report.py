"""What a run counts, and the table that it prints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any


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

    def add(self, form: str, dtype: str, example: str) -> None:
        self.forms.add(form)
        self.dtypes.add(dtype)
        self.count += 1
        if not self.example or len(example) < len(self.example):
            self.example = example

    def __str__(self) -> str:
        where = f"{', '.join(sorted(self.forms))}; {', '.join(sorted(self.dtypes))}"
        return f"{self.name}: {self.kind}: {self.detail} [{where}] × {self.count}\n    {self.example}"


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

    def mismatch(self, name: str, kind: str, detail: str, form: str, dtype: str, example: str) -> None:
        self.wrong.setdefault((name, kind, detail), Group(name, kind, detail)).add(form, dtype, example)

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

    def counts(self) -> dict[str, Any]:
        return {k: v for k, v in asdict(self).items() if isinstance(v, int)} | {"wrong": self.mismatches}


def table(rows: Iterable[tuple[str, Tally, int]]) -> str:
    """One row for each database: its name, what was run, and how many entries it has."""
    lines = [f"{'':12}{'covered':>16}{'samples':>10}{'agree':>10}{'refused':>10}{'excepted':>10}{'wrong':>8}"]
    for name, tally, entries in rows:
        covered = f"{len(tally.names)} of {entries}"
        lines.append(
            f"{name:12}{covered:>16}{tally.samples:>10,}{tally.agree:>10,}{tally.refused:>10,}"
            f"{tally.excepted:>10,}{tally.mismatches:>8,}"
        )
    return "\n".join(lines)
