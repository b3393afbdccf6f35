"""The reading path: its files, lines and comments.

    python tests/house/budget.py            # the README's list
    python tests/house/budget.py --write    # writes true counts into it
    python tests/house/budget.py FILE …     # the same of any files

The list is the table under the README's heading that begins with "Read": a row and a link for each file, its lines in the
last column. Lines are counted as `wc -l` does. Comments are lines that have one, alone or behind code.
"""

from __future__ import annotations

import io
import re
import sys
import tokenize
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
MOST_LINES = 1800  # of all files together
COMMENTS = (15, 25)  # of 100 lines, in each file

LINK = re.compile(r"\]\(([^)#]+)\)")


class Row(NamedTuple):
    """A row of the README's table: the file, and the lines that it says the file has."""

    path: str
    lines: int


def listed(readme: str) -> list[Row]:
    """The rows of the reading list; ValueError for one that has not exactly one link and a number at its end."""
    section = re.search(r"^## Read.*?\n(.*?)(?=^## |\Z)", readme, re.MULTILINE | re.DOTALL)
    rows = []
    for line in section[1].splitlines() if section else ():
        if not line.startswith("|") or "](" not in line:
            continue
        links, last = LINK.findall(line), line.rstrip().rstrip("|").rpartition("|")[2].strip().replace(",", "")
        if len(links) != 1 or not last.isdigit():
            raise ValueError(f"one link and one count to a row: {line}")
        rows.append(Row(links[0], int(last)))
    return rows


def lines_of(path: Path) -> int:
    """What `wc -l` prints."""
    return path.read_bytes().count(b"\n")


def comments_of(path: Path) -> int:
    """The lines that have a comment; those that only tell a tool something are not counted."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text("utf-8")).readline)
    comments = [t.string.lstrip("#").strip() for t in tokens if t.type == tokenize.COMMENT]
    return sum(not re.match(r"(noqa|type:|fmt:|isort:|pragma:)\S*[^(]*$", text) for text in comments)


def density(path: Path) -> float:
    """Comments in 100 lines."""
    return 100 * comments_of(path) / max(1, lines_of(path))


def table(rows: list[Row], root: Path = ROOT) -> str:
    """The list as text, with what is true beside what the README says."""
    width = max([len(row.path) for row in rows], default=0)
    text = [f"{'the reading path':{width}}  lines  README  comments in 100 lines"]
    for row in rows:
        path = root / row.path
        if not path.is_file():
            text.append(f"{row.path:{width}}  no such file")
            continue
        wrong = "" if lines_of(path) == row.lines else "  ← another count"
        few = "" if density(path) >= COMMENTS[0] else "  ← few"
        many = "" if density(path) <= COMMENTS[1] else "  (many)"
        text.append(f"{row.path:{width}}  {lines_of(path):5}  {row.lines:6}  {density(path):8.0f}{wrong}{few}{many}")
    total = sum(lines_of(root / row.path) for row in rows if (root / row.path).is_file())
    return "\n".join([*text, f"{'together':{width}}  {total:5}  of at most {MOST_LINES}"])


def corrected(readme: str) -> str:
    """The README with true counts in its list."""
    for row in listed(readme):
        said = re.compile(rf"^(\|.*\]\({re.escape(row.path)}\).*\| )[\d,]+( \|)$", re.MULTILINE)
        readme = said.sub(rf"\g<1>{lines_of(ROOT / row.path)}\g<2>", readme)
    return readme


if __name__ == "__main__":
    if "--write" in sys.argv:
        sys.argv.remove("--write")
        (ROOT / "README.md").write_text(corrected((ROOT / "README.md").read_text("utf-8")), "utf-8")
    try:
        files = [Row(name, lines_of(ROOT / name)) for name in sys.argv[1:]]
        print(table(files or listed((ROOT / "README.md").read_text("utf-8"))))
    except ValueError as error:
        sys.exit(f"README.md: {error}")
