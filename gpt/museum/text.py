"""What the museum shows on a terminal: the diff, curves made of characters, and paragraphs."""

from __future__ import annotations

import difflib
import math
import os
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

import gpt
from gpt.museum import Bug
from gpt.museum.hook import replaced
from gpt.museum.trial import Curve, Trial

ROOT = Path(gpt.__file__).parents[1]  # where both packages are
WIDTH, HEIGHT = 72, 14  # of a curve
CONTEXT = 2  # lines around the diff
RIGHT, WRONG, BOTH = ".", "#", "+"  # in a curve
COLOURS = {"-": "\x1b[31m", "+": "\x1b[32m", "@": "\x1b[36m"}


def source_of(bug: Bug) -> str:
    """Return the file of the bug as it is on the disk, with the right line."""
    return (ROOT / bug.file).read_text("utf-8")


def diff(bug: Bug) -> list[str]:
    """Return the lines of a unified diff from the right source to the wrong one."""
    source = source_of(bug)
    both = source.split("\n"), replaced(source, bug).split("\n")
    return list(difflib.unified_diff(*both, bug.file, bug.file, "right", "wrong", n=CONTEXT, lineterm=""))


def coloured(lines: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a diff, in colours if this is a terminal that wants them."""
    wanted = sys.stdout is not None and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    for line in lines:
        colour = COLOURS.get(line[:1], "") if wanted else ""
        yield f"{colour}{line}\x1b[0m" if colour else line


def paragraph(text: str, indent: str = "", first: str | None = None) -> str:
    """Return the text broken into lines of at most 100 characters."""
    return textwrap.fill(
        text, 100, initial_indent=indent if first is None else first, subsequent_indent=indent, break_on_hyphens=False
    )


def chart(trial: Trial, what: str = "train") -> list[str]:
    """Return the median curves of both sides as lines of characters, with the scale on the left."""
    right, wrong = median(trial.right, what), median(trial.wrong, what)
    together = [x for x in (*right, *wrong) if np.isfinite(x)]
    if not together:
        return ["(no step was made)"]
    low, high = math.floor(2 * min(together)) / 2, min(max(together), 20.0)
    cells = [[" "] * WIDTH for _ in range(HEIGHT)]
    count = max(len(right), len(wrong))
    for values, sign in ((right, RIGHT), (wrong, WRONG)):
        for column in range(WIDTH):
            place = column * (count - 1) / (WIDTH - 1) if count > 1 else 0.0
            if place > len(values) - 1:
                break
            y = float(np.interp(place, range(len(values)), values))
            row = round((1 - (min(y, high) - low) / ((high - low) or 1)) * (HEIGHT - 1))
            cells[row][column] = sign if cells[row][column] in (" ", sign) else BOTH
    marks = {0: high, HEIGHT // 2: (high + low) / 2, HEIGHT - 1: low}
    lines = [
        (f"{marks[i]:5.1f} " if i in marks else " " * 6) + "|" + "".join(row).rstrip() for i, row in enumerate(cells)
    ]
    steps = str(trial.config["steps"])
    return [*lines, " " * 6 + "+" + "-" * WIDTH, " " * 7 + "0" + steps.rjust(WIDTH - 1) + " steps"]


def median(curves: Sequence[Curve], what: str) -> list[float]:
    """Return the median over the seeds, as far as all of them went."""
    rows = [c.train if what == "train" else [loss for _, loss in c.validation] for c in curves]
    shortest = min(map(len, rows), default=0)
    return [float(x) for x in np.median([row[:shortest] for row in rows], axis=0)] if shortest else []


def beside(left: str, right: str) -> list[str]:
    """Return two texts in two columns."""
    columns = [
        textwrap.wrap(each.replace("\n", " "), 47, max_lines=5, placeholder=" …") or [""] for each in (left, right)
    ]
    rows = max(map(len, columns))
    padded = [column + [""] * (rows - len(column)) for column in columns]
    return [f"{a:<50}{b}".rstrip() for a, b in zip(*padded, strict=True)]
