"""A run that was trained with a bug says so: its checkpoints, its first lines, --resume, and every command that reads it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import gpt
from gpt import doctor, evaluate, export, figures, generate, inspect, job, mistake
from gpt.cli import python
from gpt.museum.text import ROOT
from gpt.run.checkpoint import read
from gpt.train import main

SMALL = [
    "--data=text", "--layers=1", "--width=8", "--heads=2", "--context=8", "--batch-size=2", "--threads=1", "--steps=4",
    "--eval-every=2", "--no-plot",
]  # fmt: skip
ON = ["--resume", "run", "--steps=5", "--no-plot"]
SAID = "run was trained with the bug leak of the museum, which is not on here; "


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run that takes itself for one with a bug, and a sound one. What the wrong line does is no matter here."""
    place = tmp_path_factory.mktemp("marked")
    (place / "text").write_text("the cat sat on the mat and that was that. " * 60)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert main([*SMALL, "--quiet", "--out=sound"]) == 0
        patch.setattr(mistake, "name", "leak")
        assert main([*SMALL, "--quiet", "--out=run"]) == 0
    return place


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return Path("run")


def test_both_checkpoints_keep_its_name(run):
    for folder in (run / "checkpoint", run / "best" / "checkpoint"):
        assert json.loads((folder / "metadata.json").read_text())["bug"] == "leak"
    assert read(Path("sound")).bug == ""


def test_the_first_lines_say_it(run, monkeypatch, capsys):
    assert main([*SMALL, "--out=other"]) == 0
    assert "bug  " not in capsys.readouterr().out
    monkeypatch.setattr(mistake, "name", "leak")
    assert main([*SMALL, "--out=another"]) == 0
    before = capsys.readouterr().out.partition("\nstep")[0]
    assert "\nbug       leak, of the museum: a line is wrong on purpose" in before


@pytest.mark.parametrize("folder, now, message", [
    ("run", "", "with the bug leak of the museum, and no bug is on here; go on with {} -m gpt.museum leak -- --resume run"),
    ("run", "no-mask",
     "with the bug leak of the museum, and the bug no-mask is on here; go on with {} -m gpt.museum leak -- --resume run"),
    ("sound", "no-mask",
     "with no bug of the museum, and the bug no-mask is on here; go on with {} -m gpt.train --resume sound"),
])  # fmt: skip
def test_a_run_goes_on_with_its_own_lines_alone(run, folder, now, message, monkeypatch, capsys):
    monkeypatch.setattr(mistake, "name", now)
    before = {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}
    assert main(["--resume", folder, "--steps=5"]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"gpt.train: {folder} was trained {message.format(python())}\n")
    assert {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()} == before


def test_with_the_bug_on_it_goes_on_and_stays_marked(run, monkeypatch, capsys):
    monkeypatch.setattr(mistake, "name", "leak")
    assert main(ON) == 0
    assert capsys.readouterr().err == ""
    assert (read(run).step, read(run).bug) == (5, "leak")


@pytest.mark.parametrize("bug, start", [("", "gpt.train"), ("leak", "gpt.museum leak --")])
def test_a_training_that_is_stopped_names_the_command_that_goes_on(run, bug, start, monkeypatch, capsys):
    monkeypatch.setattr(mistake, "name", bug)
    options = job.parse([*SMALL, "--quiet", "--out=stopped"])
    status = job.carry_out(*job.open_run(options), options, lambda *_: signal.SIGINT)
    assert status == 130
    assert capsys.readouterr().err.endswith(f"-m {start} --resume stopped\n")


COMMANDS = {
    "gpt.generate": (generate.main, ["run", "--tokens=3", "--seed=1"]),
    "gpt.evaluate": (evaluate.main, ["run", "--json"]),
    "gpt.doctor": (doctor.main, ["run", "--json"]),
    "gpt.inspect": (inspect.main, ["run", "--text=the cat"]),
    "gpt.figures": (figures.main, ["run", "--text=the cat"]),
    "gpt.train": (main, [*SMALL, "--init=run", "--out=new"]),
}


@pytest.mark.parametrize("program", COMMANDS)
def test_a_command_says_it_in_one_line(run, program, monkeypatch, capsys):
    command, line = COMMANDS[program]
    assert command(line) == 0
    said, *others = capsys.readouterr().err.splitlines()
    assert said.startswith(f"{program}: {SAID}") and said.endswith("-m gpt.museum leak --no-run shows its line")
    assert not any("bug" in line for line in others)
    shutil.rmtree("new", ignore_errors=True)
    monkeypatch.setattr(mistake, "name", "leak")
    assert command(line) == 0
    assert capsys.readouterr().err.splitlines() == others, "the same bug is on: nothing differs"


def test_a_sound_run_is_taken_in_silence(run, capsys):
    assert evaluate.main(["sound", "--json"]) == 0
    assert capsys.readouterr().err == ""


def test_an_export_says_it(run, capsys):
    export.main(["run", "exported"])
    assert capsys.readouterr().err.startswith(f"gpt.export: {SAID}")


def test_load_warns(run):
    with pytest.warns(UserWarning, match=SAID) as caught:
        gpt.load("run")
    assert [each.filename for each in caught] == [__file__]
    gpt.load("sound")


@pytest.mark.programs
def test_the_commands_as_they_are_typed(tmp_path):
    """The hook names the bug; --resume has it on again: targets that are not shifted stay learned."""
    (tmp_path / "text").write_text("the cat sat on the mat and that was that. " * 60)
    run = tmp_path / "run"

    def typed(*line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", *line], cwd=ROOT, capture_output=True, text=True, encoding="utf-8")

    small = ["--layers=1", "--width=16", "--heads=2", "--context=16", "--batch-size=4", "--threads=1", "--steps=40"]
    flags = ["--data", str(tmp_path / "text"), *small, "--learning-rate=0.02", "--no-plot", "--out", str(run)]
    done = typed("gpt.museum", "not-shifted", "--", *flags)
    assert done.returncode == 0 and "\nbug       not-shifted, " in done.stdout
    again = ["--resume", str(run), "--steps=50", "--no-plot", "--quiet"]
    done = typed("gpt.train", *again)
    assert done.returncode == 2 and done.stderr.endswith(f"-m gpt.museum not-shifted -- --resume {run}\n")
    done = typed("gpt.museum", "not-shifted", "--", *again)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [json.loads(row) for row in (run / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == 50 and rows[-1]["train_loss"] < 0.1
    done = typed("gpt.evaluate", str(run))
    assert done.returncode == 0 and "was trained with the bug not-shifted of the museum" in done.stderr
