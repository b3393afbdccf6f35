"""A run in a hostile environment: it ends with 0, its summary and its checkpoint, and at worst a line about a picture."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpt.run import checkpoint
from gpt.train import main

pytestmark = pytest.mark.programs

ROOT = Path(__file__).parents[2]
LINE = [
    "--data=text", "--layers=1", "--width=16", "--heads=2", "--context=16", "--batch-size=4", "--steps=2", "--threads=1",
    "--out=run",
]  # fmt: skip
HOSTILE = {
    "a notebook's backend": {"MPLBACKEND": "module://matplotlib_inline.backend_inline"},
    "no backend": {"MPLBACKEND": "nonsense", "COLUMNS": "0", "TERM": "dumb"},
    "nowhere to write": {
        "HOME": "/proc/nope",
        "MPLCONFIGDIR": "/proc/nope",
        "TMPDIR": "/nope",
        "XDG_CACHE_HOME": "/proc/x",
    },
    "settings of the user": {
        "MATPLOTLIBRC": "rc",
        "TQDM_MININTERVAL": "x",
        "OMP_NUM_THREADS": "x",
        "COLUMNS": "9" * 30,
    },
    "no home, plain C": {"HOME": None, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "warnings are errors": {"PYTHONWARNINGS": "error", "PYTHONOPTIMIZE": "2", "PYTHONIOENCODING": "utf-16"},
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("text").write_text("It was the best of times, it was the worst of times. " * 40)
    Path("rc").write_text("text.usetex: True\nbackend: nonsense\n")
    return tmp_path


@pytest.mark.parametrize("hostile", HOSTILE)
def test_the_environment_costs_nothing(hostile, folder):
    env = {**os.environ, "PYTHONPATH": str(ROOT), **HOSTILE[hostile]}
    env = {name: value for name, value in env.items() if value is not None}
    done = subprocess.run([sys.executable, "-m", "gpt.train", *LINE], env=env, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    assert b"Traceback" not in done.stderr
    out = done.stdout.decode("utf-16" if "PYTHONIOENCODING" in HOSTILE[hostile] else "utf-8")
    assert "validation loss" in out and "now try" in out
    assert checkpoint.read(Path("run")).step == 2
    assert Path("run/loss.png").exists() and Path("run/sample.txt").exists()


@pytest.mark.parametrize("part", ["gpt.run.plots.plot_loss", "gpt.job.write_sample", "gpt.run.profiling.report"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("no\nfont")])
def test_what_fails_beside_the_run_is_a_line(part, error, folder, monkeypatch, capsys):
    def fails(*_):
        raise error

    monkeypatch.setattr(part, fails)
    assert main([*LINE, "--profile"]) == 0
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert (said.err.startswith("gpt.train: no ") and "no font" in said.err) or "No space left" in said.err
    assert "validation loss" in said.out
    assert checkpoint.read(Path("run")).step == 2


@pytest.mark.parametrize("broken", ["__init__", "update"])
def test_a_progress_bar_that_breaks_is_a_line(broken, folder, monkeypatch, capsys):
    def fails(*_, **__):
        raise ValueError("TQDM_MININTERVAL")

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(f"tqdm.tqdm.{broken}", fails)
    assert main([*LINE, "--no-plot"]) == 0
    said = capsys.readouterr()
    assert said.err == "gpt.train: no progress bar: ValueError: TQDM_MININTERVAL\n"
    assert "step 2/2" in said.out
    assert "validation loss" in said.out
