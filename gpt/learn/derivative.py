"""The check of an exercise in which one writes a derivative: one call after another, until one is wrong."""

from __future__ import annotations

import ast
import itertools
from collections import Counter
from collections.abc import Iterator

import numpy as np

from gpt.learn.call import Call, Function, Mismatch
from gpt.learn.exercise import DERIVATIVE, Exercise, Fault, Report
from gpt.learn.reader import Reader

MORE = 12  # calls after the first wrong one that tell its causes apart


class Derivative(Exercise):
    """The reader writes `function`; `calls` yields the calls of a check with what each must return."""

    kind = DERIVATIVE
    function = "backward"

    def calls(self, rng: np.random.Generator) -> Iterator[Call]:
        """The calls of a check, the simplest first."""
        raise NotImplementedError

    def check(self, text: str, rng: np.random.Generator) -> Report:
        """Execute the text, and call its function until something is wrong."""
        counts: Counter[str] = Counter()
        reader = None
        try:
            reader = Reader(text, self.name)
            function = reader.load(self.function)
            calls = self.calls(rng)
            for call in calls:
                try:
                    call.examine(reader, function)
                except Fault as fault:
                    called = f"{self.function} is called with {call.title}, and compared with {call.source}:"
                    lines = [rightly(counts.total()) + called, *(f"  {line}" for line in fault.lines)]
                    if isinstance(fault, Mismatch):
                        lines += [f"  usual cause: {cause}" for cause in narrowed(fault, calls, reader, function)[:1]]
                    raise Fault(*lines) from None
                counts[call.source] += 1
        except Fault as fault:
            lines = [f"{self.name}: not yet", *(f"  {line}" for line in fault.lines)]
            return Report(self.name, False, [*lines, *self.notes(text, reader)])
        lines = [f"{self.name}: right, in {counts.total()} calls"]
        lines += [f"  {count} compared with {source}" for source, count in counts.items()]
        return Report(self.name, True, [*lines, *self.notes(text, reader)])

    def notes(self, text: str, reader: Reader | None) -> list[str]:
        """What the file printed, and whether it changed what is given."""
        if reader is None:
            return []
        given, theirs = definitions(self.start_text), definitions(text)
        changed = [name for name in given if name != self.function and theirs.get(name, given[name]) != given[name]]
        notes = [f"note: {name} in the file is not the one of `start`; a check calls the given one" for name in changed]
        return [f"  {line}" for line in (*notes, *reader.output())]


def rightly(count: int) -> str:
    """The calls that went well, as the beginning of a sentence."""
    return f"after {count} call{'s' if count > 1 else ''} without a mistake, " if count else ""


def narrowed(first: Mismatch, calls: Iterator[Call], reader: Reader, function: Function) -> list[str]:
    """The causes of a mismatch. Where the numbers of one call fit several mistakes, further calls tell them apart."""
    causes = first.causes
    for call in itertools.islice(calls, MORE):
        if len(causes) < 2:
            break
        try:
            call.examine(reader, function)
        except Mismatch as other:
            if other.result == first.result:
                causes = [cause for cause in causes if cause in other.causes] or causes
        except Fault:
            continue
    return causes


def definitions(text: str) -> dict[str, str]:
    """The functions and classes of a file, with their code as Python reads it, so without comments."""
    nodes = [node for node in ast.parse(text).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    return {node.name: ast.dump(node) for node in nodes}
