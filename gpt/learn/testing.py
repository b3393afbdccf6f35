"""The check of a test that a reader writes: it passes on right code, and fails on each mutant of it.

Each run executes the reader's text anew, so nothing is remembered from one to the next, and gets a function that tells
nothing about itself: neither its name nor its text differs. Right and wrong ones come in random order, each several times.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpt.learn.call import kind
from gpt.learn.exercise import TEST, Array, Exercise, Fault, Report
from gpt.learn.mutants import PLAIN, RIGHT, WRONG, Variant
from gpt.learn.reader import Reader

RUNS = 3  # of each variant: a test that fails or passes by chance is noticed
LAYOUT = "the plain one, with its results in another memory layout"


@dataclass
class Subject:
    """A variant as the check sees it, with what the runs of the test on it said: None where it passed."""

    what: str
    right: bool
    function: Callable[..., Any]
    said: list[Fault | None]

    def noticed(self) -> bool:
        """Whether the test failed each time."""
        return all(fault is not None for fault in self.said)


class WrittenTest(Exercise):
    """The reader writes test(subject). `name` is test_ and the name of the subject."""

    kind = TEST
    function = "test"

    def subjects(self) -> list[Subject]:
        """The right variants, and the mutants."""
        name = self.name.removeprefix("test_")
        right = [(each.what, True, each.make(name)) for each in (PLAIN, *RIGHT[name])]
        right.append((LAYOUT, True, spread(PLAIN.make(name))))
        wrong = [(each.what, False, each.make(name)) for each in WRONG[name]]
        return [Subject(*each, said=[]) for each in (*right, *wrong)]

    def mutants(self) -> list[Variant]:
        """The wrong variants."""
        return WRONG[self.name.removeprefix("test_")]

    def check(self, text: str, rng: np.random.Generator) -> Report:
        """Run the reader's test on all variants."""
        reader = None
        try:
            reader = Reader(text, self.name)
            reader.load(self.function)
            subjects, calls = self.subjects(), [0]
            runs = [subject for subject in subjects for _ in range(RUNS)]
            for i in rng.permutation(len(runs)):
                runs[i].said.append(fault_of(reader, runs[i].function, calls))
            lines = self.judge(subjects, calls[0])
        except Fault as fault:
            lines = [f"{self.name}: not yet", *(f"  {line}" for line in fault.lines)]
            return Report(self.name, False, [*lines, *printed(reader)])
        return Report(self.name, True, [*lines, *printed(reader)])

    def judge(self, subjects: list[Subject], calls: int) -> list[str]:
        """Return the lines of a test that is right; Fault with those of one that is not."""
        for subject in subjects:
            failed = [fault for fault in subject.said if fault is not None]
            if subject.right and failed:
                often = "" if len(failed) == RUNS else f", in {len(failed)} of {RUNS} runs: is it random?"
                raise Fault(
                    f"the test fails on right code: {subject.what}{often}",
                    *failed[0].lines,
                    *ADVICE.get(subject.what, STRICT),
                )
        wrong = [subject for subject in subjects if not subject.right]
        survivors = [subject for subject in wrong if not subject.noticed()]
        if not survivors:
            right = len(subjects) - len(wrong)
            return [
                f"{self.name}: right",
                f"  it passes on {right} right variants, and notices all {len(wrong)} mutants",
            ]
        lines = [
            f"it passes on right code, and notices {len(wrong) - len(survivors)} of {len(wrong)} mutants; these survive:"
        ]
        for subject in survivors:
            by_chance = f"  (noticed in {sum(map(bool, subject.said))} of {RUNS} runs)" if any(subject.said) else ""
            lines.append(f"  one that {subject.what}{by_chance}")
        raise Fault(
            *lines,
            *([] if calls else ["the test never calls subject: it has to call it, and to assert what it returns"]),
        )


STRICT = ["a right function may round differently: compare with a tolerance, as np.allclose does"]
ADVICE = {
    PLAIN.what: ["right code is expected to pass: is the number that the test expects right?"],
    LAYOUT: ["how numbers lie in memory does not matter: compare values and shapes"],
}


def fault_of(reader: Reader, function: Callable[..., Any], calls: list[int]) -> Fault | None:
    """Run the reader's test on a function, and return what it said."""
    try:
        test = reader.load("test")
        result = reader.call(test, opaque(function, calls))
    except Fault as fault:
        return fault
    if result is not None:
        raise Fault(f"the test returns {kind(result)}: a test returns nothing, and says what is wrong by assert")
    return None


def opaque(function: Callable[..., Any], calls: list[int]) -> Callable[..., Any]:
    """The function under a name that all have."""

    def subject(*arguments: Any, **named: Any) -> Any:
        calls[0] += 1
        return function(*arguments, **named)

    return subject


def spread(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with results whose elements do not lie side by side."""

    def apart(x: Any) -> Any:
        if isinstance(x, tuple):
            return tuple(map(apart, x))
        if isinstance(x, np.ndarray) and x.ndim:
            array: Array = np.repeat(x[..., None], 2, -1)[..., 0]
            return array
        return x

    return lambda *arguments, **named: apart(function(*arguments, **named))


def printed(reader: Reader | None) -> list[str]:
    """What the file printed, as lines of a report; each run prints, so the lines that repeat are left out."""
    lines = [] if reader is None else reader.output()
    return [f"  {line}" for line in dict.fromkeys(lines)]
