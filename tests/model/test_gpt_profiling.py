"""gpt.train --profile: the tables, the files, and that the run is the same."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

import tinytensor as tt
from gpt.fast.shards import Shards
from gpt.run.profiling import PARTS
from gpt.run.state import Run
from gpt.train import main
from tinytensor.profiler import profile

RUN = [
    "--data=text", "--layers=2", "--width=16", "--heads=2", "--context=16", "--batch-size=4", "--steps=6",
    "--eval-every=2", "--dropout=0.1", "--grad-accumulation=2", "--no-plot",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text").write_text("It was the best of times, it was the worst of times. " * 40)


def weights(run: str) -> str:
    return hashlib.sha256(Path(run, "checkpoint/weights.safetensors").read_bytes()).hexdigest()


def row(rows: list[dict[str, Any]], key: str) -> Any:
    (found,) = [each for each in rows if each["key"] == key]
    return found


@pytest.mark.parametrize("threads", [1, 2])
def test_it_tells_of_the_steps_alone_and_adds_up(threads: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*RUN, f"--threads={threads}", "--profile", "--out=run"]) == 0
    out = capsys.readouterr().out
    text = Path("run/profile.txt").read_text()
    assert text in out and "profile of 6 steps" in text
    for title in ("by primitive", "by module", "saved by", "memory of the tape at its peak"):
        assert title in text
    found = json.loads(Path("run/profile.json").read_text())
    assert (found["steps"], found["threads"]) == (6, threads)
    forwards = 6 * 2 * threads  # evaluations are not counted, nor is the sample
    assert row(found["by_primitive"], "linear")["count"] == 9 * forwards
    assert row(found["by_primitive"], "attention")["count"] == 2 * forwards
    assert row(found["by_module"], "blocks.1.feed_forward.activation")["count"] == forwards
    for name, count in (("data", 12), ("clipping", 6), ("optimizer", 6), ("sharing out, waiting", 6)):
        assert row(found["by_primitive"], name)["count"] == count
    for rows in (found["by_primitive"], found["by_module"]):
        assert sum(each["own"] for each in rows) == pytest.approx(threads * found["seconds"], rel=1e-9)
        assert ("idle threads" in {each["key"] for each in rows}) == (threads > 1)
    assert row(found["by_module"], "everything else")["backward"] == 0  # every thread's work has its place
    gelu = [held for held in found["memory"] if held["module"] == "blocks.0.feed_forward.activation"]
    assert {held["primitive"] for held in gelu} == {"gelu_tanh"}


def test_the_run_is_the_same_and_everything_is_back_in_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    before = [vars(owner).get(name) for owner, name, _ in (*PARTS, (Shards, "map", None))]
    assert main([*RUN, "--threads=2", "--out=plain", "--quiet"]) == 0
    assert main([*RUN, "--threads=2", "--out=profiled", "--quiet", "--profile"]) == 0
    assert capsys.readouterr() == ("", "")
    assert [vars(owner).get(name) for owner, name, _ in (*PARTS, (Shards, "map", None))] == before
    assert weights("plain") == weights("profiled")
    assert not Path("plain/profile.txt").exists() and Path("profiled/profile.txt").exists()


def test_saving_is_no_part_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "save", lambda self, *_: tt.ones(1).erf())
    assert main([*RUN, "--threads=1", "--out=run", "--quiet", "--profile"]) == 0
    keys = {each["key"] for each in json.loads(Path("run/profile.json").read_text())["by_primitive"]}
    assert "linear" in keys and "erf" not in keys


def test_a_resumed_run_tells_of_its_own_steps() -> None:
    assert main([*RUN, "--threads=1", "--out=run", "--quiet"]) == 0
    assert main(["--resume=run", "--steps=8", "--quiet", "--profile"]) == 0
    found = json.loads(Path("run/profile.json").read_text())
    assert found["steps"] == 2
    assert row(found["by_primitive"], "optimizer")["count"] == 2


def test_a_run_that_fails_writes_none_and_leaves_the_profile_off() -> None:
    line = [*RUN, "--threads=1", "--out=run", "--quiet", "--profile", "--learning-rate=1e30", "--grad-clip=0"]
    assert main(line) == 2
    assert not Path("run/profile.txt").exists()
    with profile():
        pass


def test_no_step_no_profile() -> None:
    assert main([*RUN, "--threads=1", "--out=run", "--quiet"]) == 0
    assert main(["--resume=run", "--quiet", "--profile"]) == 0
    assert not Path("run/profile.txt").exists()
