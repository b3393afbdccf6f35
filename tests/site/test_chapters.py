"""What every chapter keeps to: its length, its exercises and answers, names that exist, the engine's lines not copied."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path

import pytest

pytest.importorskip("jupytext", reason="no jupytext: pip install -e '.[docs]'")
pytest.importorskip("sphinx", reason="no Sphinx: pip install -e '.[docs]'")

from chapters import FOLDER, chapter

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted(FOLDER.glob("*.md"))
each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
IN_A_ROW = 4  # lines of the engine that a cell may not repeat


def package(name: str) -> object | None:
    return importlib.import_module(name) if importlib.util.find_spec(name) else None


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
    assert 80 <= len(path.read_text("utf-8").splitlines()) <= 200


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


MEASURED = {"13-speed", "14-gpu"}  # they have questions alone


@each_chapter
def test_the_names_that_it_mentions_are_there(path: Path) -> None:
    text = path.read_text("utf-8")
    started = set(re.findall(r"gpt\.learn (?:start|check) ([\w-]+)", text))
    bugs = set(re.findall(r"gpt\.museum ([\w-]+)", text)) - {"quiz"}
    if learn := package("gpt.learn"):
        assert started <= {each.name for each in learn.exercises()}
    if museum := package("gpt.museum"):
        assert bugs <= set(museum.BUGS)
    assert started or bugs or path.stem in MEASURED


def test_each_exercise_is_in_its_chapter() -> None:
    wanted = [(each.name, each.chapter) for each in learn.exercises()] if (learn := package("gpt.learn")) else []
    texts = {path.stem: path.read_text("utf-8") for path in CHAPTERS}
    assert not [(name, home) for name, home in wanted if f"gpt.learn start {name}" not in texts[home]]


@each_chapter
def test_it_shows_the_engine_and_copies_nothing(path: Path, of_the_engine: dict[tuple[str, ...], str]) -> None:
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
