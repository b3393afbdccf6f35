"""Right and wrong variants of each subject: what one does, and the lines of the subject's file that it replaces.

A wrong variant is a mutant. A reader's test has to pass on all right variants, and to fail on each mutant. Those of
`subjects/NAME.py` are in `subjects/NAME.txt`, under RIGHT and WRONG, with an empty line between them:

    averages db over the rows        what it does, or which mistake it is
    -     db = dy.sum(0)             lines that it takes out, which are there once
    +     db = dy.mean(0)            those that it puts in
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

SUBJECTS = Path(__file__).parent / "subjects"
KINDS = ("RIGHT", "WRONG")


@dataclass(frozen=True)
class Variant:
    """`what` it does; `old`, a piece of the subject's text that is there once, and `new`, which takes its place."""

    what: str
    old: str
    new: str

    def make(self, subject: str) -> Callable[..., Any]:
        """The function: the text of the subject with the replacement, executed."""
        text = source(subject)
        if text.count(self.old) != 1:
            raise ValueError(f"{self.old!r} is {text.count(self.old)} times in {subject}.py, not once")
        names: dict[str, Any] = {"__name__": "subject"}
        exec(compile(text.replace(self.old, self.new), "subject", "exec", dont_inherit=True), names)
        made: Callable[..., Any] = names["subject"]
        return made


@cache
def source(subject: str) -> str:
    """The text of a subject."""
    return (SUBJECTS / f"{subject}.py").read_text("utf-8")


def parsed(text: str) -> dict[str, list[Variant]]:
    """The variants of a file, by kind. Its first paragraph says what the file is."""
    found: dict[str, list[Variant]] = {kind: [] for kind in KINDS}
    kind = ""
    for paragraph in text.strip().split("\n\n")[1:]:
        what, *lines = paragraph.splitlines()
        if what in KINDS and not lines:
            kind = what
            continue
        signs = [line[:2] for line in lines]
        if signs != sorted(signs, reverse=True) or {*signs} != {"- ", "+ "}:
            raise ValueError(f"{what!r} has to be followed by lines with '- ', then by lines with '+ '")
        old, new = ("\n".join(line[2:] for line in lines if line.startswith(sign)) for sign in "-+")
        found[kind].append(Variant(what, old, new))
    return found


VARIANTS = {path.stem: parsed(path.read_text("utf-8")) for path in sorted(SUBJECTS.glob("*.txt"))}
RIGHT, WRONG = ({subject: of_kind[kind] for subject, of_kind in VARIANTS.items()} for kind in KINDS)
PLAIN = Variant("the plain one", "def subject(", "def subject(")
