"""The best weights beside the last: what is kept, who takes it, and that no kill loses it or changes a bit."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest

import gpt
from gpt import corpus, evaluate, generate
from gpt.run import checkpoint, files, metrics, opening, record
from gpt.run.progress import Progress
from gpt.tokenizers import CharTokenizer
from gpt.train import main

TINY = [
    "--data=text", "--layers=1", "--width=16", "--heads=2", "--context=16", "--batch-size=4", "--warmup=2", "--steps=9",
    "--eval-every=3", "--dropout=0.1", "--threads=1", "--no-plot",
]  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("text").write_text("It was the best of times, it was the worst of times. " * 40)


def losses(monkeypatch, *values):
    """Let the evaluations of a run find these losses, one after the other."""
    left = iter(values)
    monkeypatch.setattr(record, "mean_loss", lambda model, ids, limit, **_: (next(left), 1))


def windows_of(name):
    """The ids of the validation split of the text."""
    text = Path(name).read_text()
    return corpus.split(corpus.Corpus("", text), CharTokenizer.from_text(text), 16)[1]


def steps(run="run"):
    """The steps of the best and of the last weights."""
    return checkpoint.read_model(Path(run)).step, checkpoint.read(Path(run)).step


def test_the_best_is_kept_and_taken(monkeypatch, capsys):
    losses(monkeypatch, 2.0, 1.0, 3.0)
    assert main([*TINY, "--out=run"]) == 0
    assert steps() == (6, 9)
    assert (
        "best weights    step 6, evaluated at 1.000; the last, step 9, at 3.000: validation rose"
        in capsys.readouterr().out
    )
    assert [row.get("best_step") for row in metrics.read(Path("run"))] == [None, None, 3, None, None, 6, None, None, 6]
    best, last = (checkpoint.read_model(Path("run"), last).weights["head.weight"] for last in (False, True))
    assert (gpt.load("run")[0].head.weight.detach().numpy() == best).all()
    assert (gpt.load("run", last=True)[0].head.weight.detach().numpy() == last).all()
    assert (best != last).any()
    for command, flags in ((generate.main, ["--tokens=3"]), (evaluate.main, [])):
        assert command(["run", *flags]) == 0
        said = capsys.readouterr()
        assert (
            "the best weights, of step 6, with a validation loss of 1.0000 (--last takes the last)"
            in said.err + said.out
        )
        assert command(["run", *flags, "--last"]) == 0
        said = capsys.readouterr()
        assert "the last weights, of step 9" in said.err + said.out
    for flags, which, step in (([], "best", 6), (["--last"], "last", 9)):
        assert evaluate.main(["run", "--json", *flags]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["checkpoint"], found["step"]) == (which, step)


def test_a_summary_says_when_validation_rose_and_what_to_try(monkeypatch, capsys):
    for last, advice in ((4.0, True), (1.01, False)):
        losses(monkeypatch, 1.0, 2.0, last)
        assert main([*TINY, f"--out=run{last}"]) == 0
        out = capsys.readouterr().out
        assert f"best weights    step 3, evaluated at 1.000; the last, step 9, at {last:.3f}" in out
        assert ("validation rose after step 3" in out and "--dropout" in out) == advice


@pytest.mark.parametrize("found", [(2.0, 1.0, 3.0), (3.0, 2.0, 1.0)], ids=["the best is older", "the last is the best"])
def test_a_summary_measures_the_weights_that_are_taken_and_no_others(found, monkeypatch, capsys):
    losses(monkeypatch, *found)
    measured = []

    def watched(model, ids, limit, show, ranks):
        measured.append({name: value.numpy() for name, value in model.state_dict().items()})
        return 1.25, len(ids) - 1

    monkeypatch.setattr("gpt.job.mean_loss", watched)
    assert main([*TINY, "--out=run"]) == 0
    assert "validation loss 1.2500" in capsys.readouterr().out
    (weights,) = measured
    best = checkpoint.read_model(Path("run")).weights
    assert all((weights[name] == best[name]).all() for name in best)


def test_a_loss_that_nobody_sees_is_not_measured(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("gpt.job.mean_loss", lambda *_, **__: pytest.fail("it measures"))
        assert main([*TINY, "--out=run", "--quiet"]) == 0
    assert Path("run/sample.txt").stat().st_size > 0
    measured = []
    with monkeypatch.context() as patch:
        patch.setattr("gpt.job.mean_loss", lambda model, ids, limit, show, **_: measured.append(show) or (1.5, 1))
        plotting = [word for word in TINY if word != "--no-plot"]
        assert main([*plotting, "--out=plotted", "--quiet"]) == 0
        assert main([*TINY, "--out=shown"]) == 0
    assert measured == [False, True] and Path("plotted/loss.png").exists()


def test_a_summary_of_a_run_without_a_step_left_compares_the_same_evaluations(monkeypatch, capsys):
    losses(monkeypatch, 1.0, 2.0, 3.0)
    assert main([*TINY, "--out=run", "--quiet"]) == 0
    path = Path("run/checkpoint/metadata.json")  # as after Ctrl-C in the last evaluation: no row is pending
    values = json.loads(path.read_text())
    best = {"loss": 1.0, "step": 3}
    path.write_text(json.dumps(checkpoint.seal({**values, "pending": None, "best": best})))
    last = evaluate.mean_loss(gpt.load("run", last=True)[0], windows_of("text"), 160)[0]
    assert main(["--resume=run", "--no-plot"]) == 0
    assert f"step 3, evaluated at 1.000; the last, step 9, at {last:.3f}" in capsys.readouterr().out


def test_when_the_last_is_the_best_there_is_nothing_to_compare(monkeypatch, capsys):
    losses(monkeypatch, 3.0, 2.0, 1.0)
    assert main([*TINY, "--out=run"]) == 0
    assert steps() == (9, 9)
    assert "best weights" not in capsys.readouterr().out


def test_patience_stops_and_goes_on(monkeypatch, capsys):
    losses(monkeypatch, 2.0, 1.0, 1.0, 1.5, *[0.5] * 9)
    line = [*TINY, "--steps=30", "--patience=2", "--out=run"]
    assert main(line) == 0
    assert steps() == (6, 12)
    assert "stopped         by --patience 2" in capsys.readouterr().out
    assert main(["--resume=run", "--steps=18", "--patience=0", "--quiet", "--no-plot"]) == 0
    assert steps() == (12, 18)  # 0.5, when the pending step 12 is evaluated again, is never lowered


def test_the_best_is_kept_without_what_only_training_needs(monkeypatch, capsys):
    losses(monkeypatch, 2.0, 1.0, 3.0, 3.0, 0.5)
    assert main([*TINY, "--out=run", "--quiet"]) == 0
    assert sorted(os.listdir("run/best/checkpoint")) == ["metadata.json", "weights.safetensors"]
    assert main(["--resume=run/best", "--quiet"]) == 2
    error = capsys.readouterr().err
    assert "optimizer.safetensors" in error and "--init run/best begins a new one with the weights" in error
    for flags in (["--init=run/best"], ["--init=run"]):
        losses(monkeypatch, 1.0, 1.0, 1.0)
        assert main([*TINY, "--quiet", "--out", f"new{flags[0][-1]}", *flags]) == 0


def test_a_best_of_an_older_version_has_the_optimizers_state(monkeypatch, capsys):
    losses(monkeypatch, 2.0, 1.0, 3.0)
    assert main([*TINY, "--out=run", "--quiet"]) == 0
    best = checkpoint.read_model(Path("run"))
    best.optimizer = checkpoint.read(Path("run")).optimizer
    best.optimizer.update({name: np.full_like(a, 6) for name, a in best.optimizer.items() if name.endswith(".step")})
    checkpoint.save(Path("run/best"), best)
    assert checkpoint.read(Path("run/best")).optimizer.keys() == best.optimizer.keys()
    for command, flags in ((generate.main, ["--tokens=3"]), (evaluate.main, [])):
        assert command(["run", *flags]) == 0
        said = capsys.readouterr()
        assert "the best weights, of step 6" in said.out + said.err
    losses(monkeypatch, 1.0, 1.0, 1.0)
    assert main([*TINY, "--init=run", "--out=new", "--quiet"]) == 0
    losses(monkeypatch, 3.0, 0.5)
    assert main(["--resume=run", "--steps=12", "--quiet", "--no-plot"]) == 0
    assert steps() == (12, 12)
    assert sorted(os.listdir("run/best/checkpoint")) == ["metadata.json", "weights.safetensors"]


def test_where_text_and_device_are_is_said_once_for_the_best_and_the_last(monkeypatch, capsys):
    losses(monkeypatch, 2.0, 1.0, 3.0, *[3.0] * 9)
    assert main([*TINY, "--out=run", "--quiet"]) == 0
    Path("text").rename("moved")
    assert main(["--resume=run", "--data=moved", "--quiet", "--no-plot"]) == 0
    edit = json.loads(Path("run/config.json").read_text())
    for change in ({}, {"data": str(Path("again").absolute())}):
        if change:
            Path("moved").rename("again")
            Path("run/config.json").write_text(json.dumps({**edit, **change}))
        for flags in ([], ["--last"]):
            assert evaluate.main(["run", *flags]) == 0, capsys.readouterr().err
    Path("run/config.json").write_text(json.dumps({**edit, "device": "cuda"}))
    monkeypatch.setattr("tinytensor.devices.cupy", no_cupy)
    for flags in ([], ["--last"]):
        assert generate.main(["run", *flags]) == 2
        assert "--device cuda: no GPU" in capsys.readouterr().err
    Path("run/config.json").write_text(json.dumps({**edit, "width": 8}))
    for flags in ([], ["--last"]):
        assert generate.main(["run", *flags]) == 2
        assert "run/config.json says width 8, its checkpoint 16" in capsys.readouterr().err


def no_cupy():
    raise RuntimeError("no GPU")


def test_a_run_without_best_has_its_last(capsys):
    assert main([*TINY, "--out=run", "--quiet"]) == 0
    files.remove(Path("run/best"))
    assert generate.main(["run", "--tokens=3"]) == 0
    assert "the last weights, of step 9" in capsys.readouterr().err
    assert main(["--resume=run", "--steps=12", "--quiet", "--no-plot"]) == 0
    assert steps() == (12, 12)


# ------------------------------------------------------------------------------------ kills and failures


class Killed(BaseException):
    pass


EVENTS = [(checkpoint, "save"), (opening, "write_config"), (record, "write_config"), (record, "mean_loss"),
          (metrics.Metrics, "write"), (Progress, "update"), (checkpoint, "swap")]  # fmt: skip


def count(monkeypatch, act):
    """Call act(n) before the n-th and act(n + 1) after that call of what writes or evaluates."""
    moment = itertools.count()

    def watched(call):
        def watch(*arguments, **keywords):
            act(next(moment))
            result = call(*arguments, **keywords)
            act(next(moment))
            return result

        return watch

    for owner, name in EVENTS:
        monkeypatch.setattr(owner, name, watched(getattr(owner, name)))


def left(run):
    """All that a run leaves, but for its times."""
    rows = [
        {k: v for k, v in row.items() if k not in ("seconds", "tokens_per_second")} for row in metrics.read(Path(run))
    ]
    saved = [checkpoint.read(Path(run)), checkpoint.read_model(Path(run))]
    return rows, [(s.step, s.best, {k: a.tobytes() for k, a in (s.weights | s.optimizer).items()}) for s in saved]


@pytest.mark.programs
def test_a_kill_at_any_moment_changes_no_bit(monkeypatch):
    line = [*TINY, "--steps=5", "--eval-every=2", "--quiet"]
    seen = []
    with monkeypatch.context() as patch:
        count(patch, seen.append)
        assert main([*line, "--out=whole"]) == 0
    whole = left("whole")
    assert len(seen) >= 60
    for moment in seen[::6]:  # before and after saves, evaluations and rows
        run = f"run{moment}"

        def kill(now, moment=moment):
            if now == moment:
                raise Killed

        with monkeypatch.context() as patch:
            count(patch, kill)
            with pytest.raises(Killed):
                main([*line, f"--out={run}"])
        goes_on = checkpoint.is_there(Path(run))
        assert main(["--resume", run, "--quiet", "--no-plot"] if goes_on else [*line, f"--out={run}"]) == 0
        assert left(run) == whole, moment


def test_an_evaluation_that_fails_costs_no_step(monkeypatch, capsys):
    assert main([*TINY, "--out=whole", "--quiet"]) == 0
    with monkeypatch.context() as patch:

        def fails(*_, **__):
            raise MemoryError

        patch.setattr(record, "mean_loss", fails)
        assert main([*TINY, "--out=run", "--quiet"]) == 2
    assert "out of memory" in capsys.readouterr().err
    assert checkpoint.read(Path("run")).step == 3
    assert main(["--resume=run", "--quiet", "--no-plot"]) == 0
    assert left("run") == left("whole")


@pytest.mark.parametrize(
    "change",
    [{"best": 3}, {"best": {"loss": "x", "step": 3}}, {"best": {"loss": 1.0}}, {"best": {"loss": 1.0, "step": 1.5}},
     {"pending": 3}, {"pending": {"step": 9}}],
)  # fmt: skip
def test_what_is_no_best_and_no_row_is_refused(change, capsys):
    assert main([*TINY, "--out=run", "--quiet"]) == 0
    path = Path("run/checkpoint/metadata.json")
    path.write_text(json.dumps(checkpoint.seal({**json.loads(path.read_text()), **change})))
    assert main(["--resume=run"]) == 2
    error = capsys.readouterr().err
    assert "damaged" in error and error.count("\n") == 1


def test_nothing_is_written_through_a_link_in_the_place_of_the_best(capsys):
    assert main([*TINY, "--out=run", "--quiet"]) == 0
    files.remove(Path("run/best"))
    os.mkdir("elsewhere")
    os.symlink("../elsewhere", "run/best")
    assert main(["--resume=run", "--steps=12"]) == 2
    assert "run/best is a link" in capsys.readouterr().err
    assert os.listdir("elsewhere") == []
