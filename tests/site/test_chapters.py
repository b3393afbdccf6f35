"""What every chapter keeps to: its length, its exercises and answers, names that exist, the engine's lines not copied."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("jupytext", reason="no jupytext: pip install -e '.[docs]'")
pytest.importorskip("sphinx", reason="no Sphinx: pip install -e '.[docs]'")

from chapters import DIFFER, FOLDER, chapter, forgiving

from gpt import learn, museum

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted(FOLDER.glob("*.md"))
each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
COLUMNS, LONGEST = 120, 200  # of a chapter
WIDEST = 102  # characters of a line of code, beyond which a chapter's box scrolls on a screen of 1440 px
HEAD = re.compile(r"\A---\n.*?^---\n", re.MULTILINE | re.DOTALL)
HIDDEN = re.compile(r"^```\{code-cell\}[^\n]*\n:tags: [^\n]*\b(?:remove|hide)-.*?^```\n+", re.MULTILINE | re.DOTALL)
OPTIONS = re.compile(r"(?<=\n)((?:`{3,}|:{3,})\{[^\n]*\n)(?::[\w-]+:[^\n]*\n)+")
IN_A_ROW = 4  # lines of the engine that a cell may not repeat


def seen(text: str) -> list[str]:
    """The lines of a chapter that its reader sees: no head, no hidden cell, no option of a directive."""
    return OPTIONS.sub(r"\1", HIDDEN.sub("", HEAD.sub("", text))).strip("\n").splitlines()


def length(text: str) -> int:
    """How many lines a reader sees: code, tables, formulas and blank lines as they are, prose filled to 120 columns."""
    count, code, formula = 0, False, False
    for line in seen(text):
        code ^= line.startswith("```")
        formula ^= line.startswith("$$") and line.count("$$") == 1
        whole = code or formula or line.startswith(("```", "|")) or not line.strip()
        count += 1 if whole else len(textwrap.wrap(line, COLUMNS, break_long_words=False))
    return count


def lines_of(code: str) -> list[str]:
    """The lines that say something, each without what does not matter to it."""
    return [line for line in (re.sub(r"\s+", "", line.split("  #")[0]) for line in code.splitlines()) if len(line) > 3]


def runs(lines: list[str]) -> set[tuple[str, ...]]:
    return {tuple(lines[i : i + IN_A_ROW]) for i in range(len(lines) - IN_A_ROW + 1)}


@pytest.fixture(scope="module")
def of_the_engine() -> dict[tuple[str, ...], str]:
    """All runs of four lines of the engine's code, without imports, each with its file."""
    found = {}
    for name in ("tinytensor", "gpt"):
        for path in (ROOT / name).rglob("*.py"):
            code = re.sub(r'""".*?"""', "", path.read_text("utf-8"), flags=re.DOTALL)
            code = "\n".join(line for line in code.splitlines() if not re.match(r"(from|import) ", line))
            found.update({run: path.relative_to(ROOT).as_posix() for run in runs(lines_of(code))})
    return found


def test_they_are_numbered_in_order() -> None:
    assert CHAPTERS
    assert [path.stem[:3] for path in CHAPTERS] == [f"{i:02}-" for i in range(1, len(CHAPTERS) + 1)]


@each_chapter
def test_its_length(path: Path) -> None:
    """As its reader sees it, however long the lines are in the file; and no line of code is cut."""
    text = path.read_text("utf-8")
    assert 80 <= length(text) <= LONGEST
    cells = re.findall(r"^```\{code-cell\}.*?\n(.*?)^```$", "\n".join(seen(text)), re.MULTILINE | re.DOTALL)
    assert max(len(line) for cell in cells for line in cell.splitlines()) <= WIDEST


def test_what_counts_as_a_line() -> None:
    cell = "```{code-cell} ipython3\n" + "x = 1;" * 100 + "\n```\n"
    hidden = cell.replace("ipython3\n", "ipython3\n:tags: [remove-input]\n")
    text = "---\nkernelspec: {}\n---\n# T\n\n" + "word " * 100 + "\n$$\na\n$$\n" + hidden + cell
    assert length(text) == 2 + 5 + 3 + 3


@each_chapter
def test_it_says_what_it_takes_and_brings(path: Path) -> None:
    """Below the title, in italics. The minutes are counted, and none takes more than an hour."""
    assert re.search(r"^# .+\n+\*You need [^*]* Afterwards you [^*]*\*$", path.read_text("utf-8"), re.MULTILINE)
    it = chapter(path)
    assert 20 <= it.reading + it.solving <= 60


@each_chapter
def test_its_exercises(path: Path) -> None:
    text = path.read_text("utf-8")
    assert re.search(r"^## Exercises$", text, re.MULTILINE)
    assert 3 <= len(re.findall(r"\{admonition\} Answer\n:class: dropdown$", text, re.MULTILINE)) <= 6
    assert "Read next" in text


@each_chapter
def test_the_names_that_it_mentions_are_there(path: Path) -> None:
    text = path.read_text("utf-8")
    started = set(re.findall(r"gpt\.learn (?:start|check) ([\w-]+)", text))
    bugs = set(re.findall(r"gpt\.museum ([\w-]+)", text)) - {"quiz"}
    assert started <= {each.name for each in learn.exercises()}
    assert bugs <= set(museum.BUGS)
    assert started or bugs


def test_each_exercise_is_in_its_chapter() -> None:
    texts = {path.stem: path.read_text("utf-8") for path in CHAPTERS}
    assert len(learn.exercises()) > 20
    for each in learn.exercises():
        assert f"gpt.learn start {each.name}" in texts[each.chapter]


def test_the_chapter_of_each_bug_names_it() -> None:
    """What the museum says to read speaks of the bug."""
    texts = {path.stem: path.read_text("utf-8") for path in CHAPTERS}
    assert len(museum.BUGS) > 20
    for bug in museum.BUGS.values():
        assert re.search(rf"`(?:python -m gpt\.museum )?{bug.name}`", texts[bug.chapter]), bug.name


@each_chapter
def test_it_shows_the_engine_and_copies_nothing(path: Path, of_the_engine: dict[tuple[str, ...], str]) -> None:
    assert re.search(r"^```\{literalinclude\} \.\./\.\./(?:tinytensor|gpt)/", path.read_text("utf-8"), re.MULTILINE)
    copied = {}
    for code, _ in chapter(path).cells:
        copied.update({run: of_the_engine[run] for run in runs(lines_of(code)) if run in of_the_engine})
    assert not copied
    assert len(of_the_engine) > 10_000


@each_chapter
def test_every_figure_comes_from_a_cell(path: Path) -> None:
    assert not re.findall(r"!\[[^\]]*\]\([^)]*\)|\{(?:image|figure)\}", path.read_text("utf-8"))


def test_a_copied_line_is_noticed(of_the_engine: dict[tuple[str, ...], str]) -> None:
    text = (ROOT / "tinytensor" / "ops" / "arithmetic.py").read_text("utf-8")
    body = text[text.index("def unbroadcast") :]
    copied = "\n".join(f"    {line}  # as there" for line in body.splitlines()[:20])
    assert runs(lines_of(re.sub(r'""".*?"""', "", copied, flags=re.DOTALL))) & set(of_the_engine)


def test_a_check_in_a_hidden_cell_says_that_numbers_differ_and_stops_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = "assert x == 1, (\n    'no'\n)\n# and\nassert x == 1\ny = 2\nif y:\n    assert y == 2\nassert y == 2; z = 3"
    for x, said in ((1, ""), (5, f"{DIFFER}\n")):
        names: dict[str, int] = {"x": x}
        exec(forgiving(code), names)  # it is said once of the checks that stand together
        assert (names["y"], names["z"], capsys.readouterr().out) == (2, 3, said)
