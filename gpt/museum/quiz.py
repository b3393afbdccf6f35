"""The quiz: here are a curve and some numbers; which bug is it?"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gpt.museum import BUGS, Bug
from gpt.museum.exhibits import exhibits, numbers
from gpt.museum.text import RIGHT, WRONG, beside, chart, coloured, diff, paragraph
from gpt.museum.trial import Trial

LETTERS = "abcd"


@dataclass(frozen=True)
class Question:
    """A bug and four answers, of which one is right: no other looks like it."""

    bug: Bug
    choices: tuple[Bug, ...]

    @property
    def letter(self) -> str:
        return LETTERS[self.choices.index(self.bug)]


def questions(seed: int, count: int, names: Sequence[str]) -> list[Question]:
    """Draw so many questions about the bugs with these names; a seed draws the same ones again."""
    random = np.random.default_rng(seed)
    drawn = [BUGS[names[i]] for i in random.permutation(len(names))[:count]]
    return [Question(bug, tuple(choices(bug, names, random))) for bug in drawn]


def choices(bug: Bug, names: Sequence[str], random: np.random.Generator) -> list[Bug]:
    """Draw three bugs of other families, each of another one, and mix the right one in."""
    chosen = [bug]
    for i in random.permutation(len(names)):
        other = BUGS[names[i]]
        if len(chosen) < len(LETTERS) and other.family not in {each.family for each in chosen}:
            chosen.append(other)
    return [chosen[i] for i in random.permutation(len(chosen))]


def clues(trial: Trial) -> Iterator[str]:
    """Yield what is known of the runs, without a name: curves, numbers, samples, and what the doctor measured."""
    yield f"training loss, the median of {len(trial.wrong)} seeds: {RIGHT} right, {WRONG} with the bug"
    yield from chart(trial)
    yield "validation loss"
    yield from chart(trial, "validation")
    yield ""
    for line in numbers(trial):
        yield paragraph(line, "    ", "  ")
    for said in dict.fromkeys(said for curve in trial.wrong[:1] for said in curve.findings.values()):
        yield paragraph(f"measured: {said}", "    ", "  ")
    yield ""
    yield from beside("right writes:", "this writes:")
    yield from beside(trial.right[0].sample, trial.wrong[0].sample or trial.wrong[0].stopped)


def answer(question: Question, prompt: str) -> str | None:
    """Ask until there is an answer; None where the input ends, or somebody wants to stop."""
    while True:
        print(prompt, end="", flush=True)
        line = sys.stdin.readline() if sys.stdin is not None else ""
        if not sys.stdin or not sys.stdin.isatty():
            print(line.strip(), flush=True)  # a pipe shows no letter of its own
        given = line.strip().lower()
        if not line or given in ("q", "quit"):
            return None
        names = {bug.name: letter for letter, bug in zip(LETTERS, question.choices, strict=False)}
        given = names.get(given, given)
        if len(given) == 1 and given in LETTERS[: len(question.choices)]:
            return given
        print(f"answer with one letter of {', '.join(LETTERS[: len(question.choices)])}; q ends the quiz", flush=True)


def explain(question: Question, given: str) -> None:
    """Print whether the answer is right, and why."""
    bug = question.bug
    print("")
    print("right." if given == question.letter else f"no: it is {question.letter}.")
    print(f"{bug.name}: {bug.title}")
    for line in coloured(diff(bug)[2:]):
        print(line)
    print(paragraph(bug.why))
    print(paragraph(f"To notice it: {bug.notice}"))
    print(paragraph(f"Caught by {' and '.join(bug.caught_by)}."))
    print("")


def play(seed: int, count: int) -> None:
    """Ask so many questions; print the score at the end."""
    asked, good, shown = 0, 0, exhibits()
    listed = questions(seed, count, list(shown))
    for number, question in enumerate(listed, 1):
        print(f"--- question {number} of {len(listed)} ---\n")
        for line in clues(shown[question.bug.name]):
            print(line)
        print("\nWhich bug is it?")
        for letter, bug in zip(LETTERS, question.choices, strict=False):
            print(f"  {letter}  {bug.title}")
        given = answer(question, "> ")
        if given is None:
            print("")
            break
        asked, good = asked + 1, good + (given == question.letter)
        explain(question, given)
    again = f"--seed {seed} asks the same questions again"
    print(f"score: {good} of {asked}; {again}" if asked else f"no answer; {again}")
