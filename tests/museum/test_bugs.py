"""Every bug is one line of the source as it stands; switched on, it is the only difference, and only in that process."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from gpt.config import TrainConfig
from gpt.diagnosis.check import EXPLAINS
from gpt.museum import BUGS
from gpt.museum.hook import module_of, replaced, switch_on
from gpt.museum.panels import PANELS
from gpt.museum.process import command, reason
from gpt.museum.process import run as run_process
from gpt.museum.text import ROOT, diff

each = pytest.mark.parametrize("bug", BUGS.values(), ids=lambda bug: bug.name)
NAMES = {  # chapters and the laboratory refer to them
    "topological-order", "overwrite-grad", "zero-grad", "no-scale", "finite-mask", "mask-after-softmax", "softmax-axis",
    "not-shifted", "no-positions", "decay-norms", "eval-mode", "repeated-indices", "tied-twice", "no-warmup", "leak",
    "accumulation-mean",
}  # fmt: skip


def test_the_names_that_others_refer_to_are_there() -> None:
    assert set(BUGS) >= NAMES
    assert all(name == bug.name for name, bug in BUGS.items())


@each
def test_the_right_line_is_there_once_and_the_wrong_one_compiles(bug):
    source = (ROOT / bug.file).read_text("utf-8")
    wrong = replaced(source, bug)
    compile(wrong, bug.file, "exec")
    assert ast.dump(ast.parse(wrong)) != ast.dump(ast.parse(source)), "it changes what runs, not a comment alone"
    before, after = source.split("\n"), wrong.split("\n")
    assert [(a, b) for a, b in zip(before, after, strict=True) if a != b] == [(bug.right, bug.wrong)]
    assert "\n" not in bug.right + bug.wrong


@each
def test_it_can_be_switched_off_by_an_editor(bug):
    """A program that replaces text, as the laboratory does, finds the one line in either state."""
    source = (ROOT / bug.file).read_text("utf-8")
    assert source.count(bug.right) == 1
    assert replaced(source, bug).count(bug.wrong) == 1


@each
def test_it_is_explained(bug):
    assert bug.title and bug.why.endswith(".") and bug.notice.endswith((".", ".)"))
    assert 80 < len(bug.why) < 700 and bug.family
    assert bug.caught_by, "something catches it"
    assert bug.shows in PANELS
    assert bool(bug.recipe) == bool(bug.flags or bug.characters), "a run of its own says why"
    TrainConfig(**bug.config)
    if bug.test:
        file, _, name = bug.test.partition("::")
        assert f"def {name.partition('[')[0]}(" in (ROOT / file).read_text("utf-8")


@each
def test_the_doctors_word_is_one_of_its(bug):
    known = {*EXPLAINS, *(name for names in EXPLAINS.values() for name in names), "too-good"}
    assert not bug.finding or bug.finding in known


def test_a_line_that_has_changed_is_noticed() -> None:
    bug = BUGS["not-shifted"]
    source = (ROOT / bug.file).read_text("utf-8")
    with pytest.raises(ValueError, match=r"gpt/data.py has the line of not-shifted 0 times"):
        replaced(source.replace(bug.right, bug.right + "  # new"), bug)
    with pytest.raises(ValueError, match="2 times"):
        replaced(source + bug.right + "\n", bug)


def test_a_diff_has_one_line_less_and_one_more():
    bug = BUGS["zero-grad"]
    lines = diff(bug)
    assert [line for line in lines if line[0] == "-" and line[:3] != "---"] == ["-" + bug.right]
    assert [line for line in lines if line[0] == "+" and line[:3] != "+++"] == ["+" + bug.wrong]


SHOWN = """
import inspect, json, linecache, sys, traceback
from gpt.museum import BUGS
from gpt.museum.hook import module_of, switch_on
bug = BUGS[sys.argv[1]]
before = set(sys.modules)
switch_on(bug)
from importlib import import_module
module = import_module(module_of(bug.file))
cached = module.__cached__
lines = linecache.getlines(module.__file__)
linecache.checkcache()
again = linecache.getlines(module.__file__)
print(json.dumps([inspect.getsource(module), "".join(lines), lines == again, module.__file__, module.__spec__.origin]))
"""


@pytest.mark.parametrize("name", ["topological-order", "finite-mask", "not-shifted"])
def test_a_process_with_a_bug_shows_the_wrong_line_and_nothing_else_changed(name):
    bug = BUGS[name]
    done = subprocess.run(
        [sys.executable, "-c", SHOWN, name], cwd=ROOT, capture_output=True, text=True, check=True, encoding="utf-8"
    )
    source, lines, kept, file, origin = json.loads(done.stdout)
    assert source.rstrip("\n") == replaced((ROOT / bug.file).read_text("utf-8"), bug).rstrip("\n")
    assert lines.rstrip("\n") == source.rstrip("\n")
    assert kept, "linecache does not read the file on the disk again"
    assert file == origin == str(ROOT / bug.file)


TRACED = """
from gpt.museum import BUGS
from gpt.museum.hook import switch_on
import dataclasses
bug = dataclasses.replace(BUGS["not-shifted"], wrong="    return windows.there_is_none")
switch_on(bug)
import numpy as np
from gpt import data
from gpt.config import TrainConfig
data.batch(np.arange(500), TrainConfig(), 0)
"""


def test_a_traceback_shows_the_wrong_line():
    done = subprocess.run([sys.executable, "-c", TRACED], cwd=ROOT, capture_output=True, text=True)
    assert "    return windows.there_is_none\n" in done.stderr
    assert "AttributeError" in done.stderr and "ascontiguousarray" not in done.stderr


@pytest.mark.programs
def test_it_writes_no_bytecode_and_the_file_stays(tmp_path):
    bug = BUGS["not-shifted"]
    path = ROOT / bug.file
    source, caches = path.read_bytes(), {p: p.stat().st_mtime_ns for p in path.parent.glob("__pycache__/data.*")}
    status, output, _ = run_process(command("not-shifted", "gpt.train", ["--help"]))
    assert status == 0 and output.startswith("usage: python -m gpt.train")
    assert path.read_bytes() == source
    assert {p: p.stat().st_mtime_ns for p in path.parent.glob("__pycache__/data.*")} == caches


def test_a_process_that_has_imported_the_module_is_told():
    bug = BUGS["not-shifted"]
    import gpt.data

    before = list(sys.meta_path)
    with pytest.raises(RuntimeError, match=r"gpt\.data was imported before not-shifted was switched on"):
        switch_on(bug)
    assert sys.meta_path == before and gpt.data


def test_the_package_imports_nothing_of_the_engine():
    code = "import sys, gpt.museum, gpt.museum.child; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    found = {name for name in done.stdout.split() if name.startswith(("tinytensor", "numpy", "gpt"))}
    files = {"bug", "in_engine", "in_model", "in_training", "child", "hook"}
    assert found == {"gpt", "gpt.mistake", "gpt.museum", *(f"gpt.museum.{name}" for name in files)}
    assert not found & {module_of(bug.file) for bug in BUGS.values()}


@pytest.mark.parametrize("errors, status, why", [
    ("", 0, ""), ("a\ngpt.train: step 3: no\n", 2, "step 3: no"), ("Traceback\nValueError: x: y\n", 1, "ValueError: x: y"),
    ("", -9, "exit status -9"),
])  # fmt: skip
def test_why_a_process_failed_is_its_last_line(errors, status, why):
    assert reason(errors, status) == why


def test_files_are_below_the_packages() -> None:
    assert {Path(bug.file).parts[0] for bug in BUGS.values()} == {"gpt", "tinytensor"}
