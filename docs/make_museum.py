"""Write docs/museum.md, the pages of the museum of bugs: PYTHONPATH=. python docs/make_museum.py [--figures]

The diffs come from the source, the numbers from gpt/museum/curves.json, and the figures from these numbers: --figures draws
them again. runs/museum.sh measures all.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from gpt.museum import BUGS, Bug, figure
from gpt.museum.exhibits import exhibits, findings, numbers
from gpt.museum.quiz import LETTERS, Question, questions
from gpt.museum.text import diff
from gpt.museum.trial import Trial

ROOT = Path(__file__).resolve().parent.parent
PAGE, FIGURES = ROOT / "docs" / "museum.md", ROOT / "docs" / "museum"
QUIZ = 8  # questions of the page, which is one for all readers
HEAD = """# The museum of bugs

Classic mistakes. Each is one line of this project's own source, and can be switched on: in the browser, by the link below its
name, or in [the folder of the code](get-the-code.md):

| command | |
|---|---|
| `python -m gpt.museum` | lists them |
| `python -m gpt.museum NAME` | trains with the right line and with the wrong one, and compares |
| `python -m gpt.museum NAME -- --steps 500` | trains as gpt.train does, with the bug; any of its flags may follow `--` |
| `python -m gpt.museum NAME -- --resume RUN` | goes on with such a run |
| `python -m gpt.museum quiz` | here is a curve: which bug is it? [Eight such questions](#quiz) end this page |

The line is replaced while its file is imported, in a process of its own: the files stay as they are, and so does your process. A
traceback shows the wrong line, since that line runs.

A run that was trained with a bug says so: in its first lines, and in `bug` of `RUN/checkpoint/metadata.json`. Right lines do not
go on with it: `gpt.train --resume RUN` refuses, and names the command that does. `gpt.generate`, `gpt.evaluate`, `gpt.inspect`,
`gpt.doctor`, `gpt.figures`, `gpt.export` and `gpt.train --init RUN` take it, with right lines, and say on stderr which bug it was
trained with.

In each figure the right line is blue and the wrong one orange. Thin lines are three seeds, the thick one is their median, and
*bigram* is the loss of a model that only knows the last character. Under the curves stands what both models write. The runs are
small, with 2 layers of width 64 and 300 steps on the documentation that Python carries, unless a section says otherwise.
`runs/museum.sh` measures and draws all of it again, and `docs/make_museum.py` writes this page from the results. Each "caught
by" is proven by `tests/museum/test_caught.py`: the test fails with the wrong line, and passes with the right one.
"""


def table() -> Iterator[str]:
    """Yield a row for each bug: the losses with both lines, and whether the doctor notices."""
    yield "| bug | mistake | training loss, right and wrong | validation, right and wrong | gpt.doctor, wrong runs |"
    yield "|---|---|---|---|---|"
    for name, trial in exhibits().items():
        ends = [line.partition(": ")[2] for line in numbers(trial)[1:3]]
        right_wrong = [each.replace("right ", "").replace(" wrong ", " ") for each in ends]
        found = ", ".join(f"{each} {count}/{len(trial.wrong)}" for each, count in findings(trial.wrong).items())
        title = BUGS[name].title.replace("|", "\\|")
        yield f"| [{name}](#{name}) | {title} | {right_wrong[0]} | {right_wrong[1]} | {found or 'nothing odd'} |"
    yield ""


def section(bug: Bug, trial: Trial) -> Iterator[str]:
    """Yield the lines about one bug."""
    yield from (
        f"## {bug.name}",
        "",
        f"**{bug.title}**, in [`{bug.file}`](../{bug.file}):",
        "",
        "```diff",
        *short(bug),
        "```",
        "",
        bug.why,
        "",
    )
    yield from (f"![{alt(bug, trial)}](museum/{bug.name}.png)", "")
    if bug.recipe:
        yield from (f"*Trained with {bug.recipe}.*", "")
    yield from (f"- {line}" for line in numbers(trial))
    yield from ("", f"*How to notice it.* {bug.notice}", "")
    yield from (f"*Caught by* {' and '.join(f'`{each}`' for each in bug.caught_by)}. {doctor(trial)}", "")
    yield from (f"*Read* [chapter {bug.chapter.partition('-')[0].lstrip('0')}](chapters/{bug.chapter}.md).", "")


def short(bug: Bug) -> list[str]:
    """Return the diff without the numbers of its lines: those change with every line above."""
    return ["@@" if line.startswith("@@") else line.replace("\t", "  ") for line in diff(bug)]


def alt(bug: Bug, trial: Trial) -> str:
    """Say the figure in words, for who does not see it."""
    return f"{bug.title}: curves of {len(trial.wrong)} seeds with the right line and with the wrong one. {numbers(trial)[1]}"


def doctor(trial: Trial) -> str:
    """Say what gpt.doctor finds."""
    found = findings(trial.wrong)
    if not found:
        return "`gpt.doctor` finds nothing odd."
    listed = ", ".join(f"{name} in {count} of {len(trial.wrong)}" for name, count in found.items())
    said = next(iter(next(c for c in trial.wrong if c.findings).findings.values()))
    return f"`gpt.doctor` finds {listed} runs; it says: “{said}”."


def asked() -> list[Question]:
    return questions(1, QUIZ, list(exhibits()))


def quiz() -> Iterator[str]:
    """Yield the questions with their answers, which a click opens."""
    yield from (
        "## Quiz",
        "",
        "Which bug is it? Each figure has the right line in blue, and one of the bugs in orange.",
        "",
    )
    for number, question in enumerate(asked(), 1):
        trial = exhibits()[question.bug.name]
        yield from (f"### Question {number}", "", f"![The curves of question {number}](museum/quiz-{number}.png)", "")
        yield from (f"- {line}" for line in numbers(trial))
        yield ""
        yield from (f"{letter}. {bug.title}  " for letter, bug in zip(LETTERS, question.choices, strict=True))
        yield from ("", "<details>", "<summary>Answer</summary>", "")
        yield from (f"**{question.letter}**: [{question.bug.name}](#{question.bug.name}). {question.bug.why}", "")
        yield from (f"To notice it: {question.bug.notice}", "", "</details>", "")


def page() -> str:
    """The whole page."""
    sections = [line for name, trial in exhibits().items() for line in section(BUGS[name], trial)]
    return "\n".join([HEAD, *table(), *sections, *quiz()])


def draw() -> None:
    """Draw all figures again."""
    FIGURES.mkdir(exist_ok=True)
    for name, trial in exhibits().items():
        figure.save(trial, FIGURES / f"{name}.png")
    for number, question in enumerate(asked(), 1):
        figure.save(exhibits()[question.bug.name], FIGURES / f"quiz-{number}.png", f"Question {number}")


if __name__ == "__main__":
    if "--figures" in sys.argv[1:]:
        draw()
    PAGE.write_text(page(), "utf-8")
