"""The command: list, diff, a training with a bug, an exhibit, the quiz; and the page and figures of the documents."""

from __future__ import annotations

import json
import os
import re
import runpy
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gpt.museum import BUGS, exhibits, figure, quiz
from gpt.museum.__main__ import main
from gpt.museum.panels import PANELS
from gpt.museum.text import ROOT, beside, chart, coloured, diff
from gpt.museum.trial import Curve, Trial, flags_of, from_json, means

PAGES = runpy.run_path(str(ROOT / "docs" / "make_museum.py"))
LARGEST = 60_000  # bytes of a figure


def curve(seed: int, train: list[float], **more: object) -> Curve:
    values: dict[str, object] = {
        "seed": seed, "first": 4.0, "train": train, "norm": [1.0] * len(train),
        "validation": [(10 * (i + 1), x) for i, x in enumerate(train)], "sample": "to be\nor", "stopped": "",
        "findings": {}, "follows": [], "baselines": {"bigram": 2.5},
    }  # fmt: skip
    return Curve(**{**values, **more})  # type: ignore[arg-type]


def trial(name: str = "not-shifted", **more: object) -> Trial:
    right, wrong = ([curve(seed, [4.0, 3.0 + shift, 2.0 + shift]) for seed in (1, 2, 3)] for shift in (0.0, 1.0))
    values: dict[str, object] = {"right": right, "wrong": wrong, "panel": {}, **more}
    return Trial(name, {**BUGS[name].config, "steps": 30}, **values)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------ the command


def test_the_list_has_every_bug(capsys):
    assert main([]) == 0
    out = capsys.readouterr().out
    assert all(f"  {bug.name} " in out and bug.title in out for bug in BUGS.values())


@pytest.mark.parametrize("line, message", [
    (["no-positionss"], "the museum has no bug 'no-positionss'; the nearest are no-positions"),
    (["xyz"], "the museum has no bug 'xyz'; python -m gpt.museum lists them"),
    (["zero-gradd", "--", "--steps=1"], "the nearest are zero-grad"),
    (["quiz", "--steps", "3"], "--steps does nothing with quiz"),
    (["leak", "--questions", "3"], "--questions does nothing with leak"),
    (["leak", "--no-run", "--steps", "3"], "--steps does nothing with --no-run"),
    (["all", "--no-run"], "--no-run does nothing with all"),
    (["--out", "x"], "--out does nothing with the list"),
    (["quiz", "--", "--steps=1"], "flags behind -- are for a training with one bug"),
    (["leak", "--seeds", "1", "--", "--steps=1"], "--seeds does nothing with a training behind --"),
    (["leak", "--seeds", "-1"], "'-1' is not a whole number from 0"),
    (["leak", "--seeds", "one"], "'one' is not a whole number"),
    (["leak", "--steps", "0"], "'0' is not a whole number from 1"),
    (["quiz", "--question", "1"], "did you mean --questions?"),
])  # fmt: skip
def test_what_cannot_be_is_one_line(line, message, capsys):
    assert main(line) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and message in err


def test_impossible_steps_are_refused_before_the_first_run(tmp_path, capsys):
    assert main(["leak", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 2
    assert "cannot read" in capsys.readouterr().err
    assert main(["leak", "--out", "/dev/null/x"]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_the_diff_and_the_explanation(capsys):
    assert main(["softmax-axis", "--no-run"]) == 0
    out = capsys.readouterr().out
    bug = BUGS["softmax-axis"]
    assert f"\n-{bug.right}\n+{bug.wrong}\n" in out
    assert " ".join(bug.why.split()) in " ".join(out.split())
    assert "gpt.doctor: future" in out and "\x1b[" not in out


def test_a_terminal_gets_colours(monkeypatch):
    lines = diff(BUGS["leak"])
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    found = list(coloured(lines))
    assert [re.sub(r"\x1b\[\d*m", "", line) for line in found] == lines
    assert found[-1].startswith(" ") and any(line.startswith("\x1b[31m-") for line in found)
    monkeypatch.setenv("NO_COLOR", "1")
    assert list(coloured(lines)) == lines


@pytest.mark.programs
def test_a_training_with_a_bug_is_gpt_train(tmp_path):
    """Its flags, its folder, its exit status. Targets that are not shifted are learned at once."""
    (tmp_path / "text").write_text("the cat sat on the mat and that was that. " * 60)
    small = ["--layers=1", "--width=16", "--heads=2", "--context=16", "--batch-size=4", "--threads=1", "--steps=40"]
    line = [sys.executable, "-m", "gpt.museum", "not-shifted", "--", "--data", str(tmp_path / "text"), *small]
    done = subprocess.run(
        [*line, "--no-plot", "--quiet", "--learning-rate=0.02", "--out", str(tmp_path / "run")],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    losses = [json.loads(row)["train_loss"] for row in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert losses[-1] < 0.1 < losses[0]
    done = subprocess.run([*line, "--stepps=3"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("gpt.train: ") and "did you mean --steps?" in done.stderr


@pytest.mark.programs
def test_an_exhibit_is_trained_told_and_drawn(tmp_path):
    """Both engines, one seed, few steps: no mask is seen by the doctor, and the process that asks stays as it is."""
    out = tmp_path / "figures"
    line = [sys.executable, "-m", "gpt.museum", "no-mask", "--seeds", "7", "--steps", "60", "--out", str(out)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
    rows = re.findall(
        r"^(right|no-mask) +seed 7 +training +([\d.]+)  validation +([\d.]+)  doctor: (.*)$", done.stdout, re.M
    )
    (_, right, _, healthy), (_, wrong, _, found) = rows
    assert float(wrong) < 0.8 * float(right)
    assert healthy == "nothing odd" and found.startswith("future")
    assert "future, 1 of 1: when the tokens in the second half" in done.stdout
    assert (out / "no-mask.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.programs
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_training_and_leaves_nothing(number, status, tmp_path):
    line = [sys.executable, "-m", "gpt.museum", "no-mask", "--steps", "100000", "--out", str(tmp_path / "out")]
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with subprocess.Popen(
        line, cwd=ROOT, env={**os.environ, "TMPDIR": str(temporary)}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        while process.poll() is None and not list(temporary.glob("museum-*/right-0-1/metrics.jsonl")):
            time.sleep(0.1)
        process.send_signal(number)
        assert process.stderr is not None
        errors = process.stderr.read()
    assert process.returncode == status and errors.startswith("gpt.museum: ") and errors.count("\n") == 1
    assert not list(temporary.iterdir())


@pytest.mark.programs
def test_the_right_runs_are_those_of_gpt_train(tmp_path):
    """The hook changes nothing where no bug is switched on: metrics and weights are equal, bit for bit."""
    from gpt.museum.trial import Workshop

    bug = BUGS["no-mask"]
    with Workshop([3], 5, "python-docs", lambda _: None) as workshop:
        made = workshop.trial(bug)
        flags = flags_of(workshop.config(bug))
        text = workshop.folder / "text-0"
        run = tmp_path / "run"
        line = [
            sys.executable,
            "-m",
            "gpt.train",
            "--data",
            str(text),
            "--out",
            str(run),
            "--seed=3",
            "--quiet",
            "--no-plot",
        ]
        subprocess.run([*line, *flags], cwd=ROOT, check=True)
        ours = (workshop.folder / "right-0-3" / "checkpoint" / "weights.safetensors").read_bytes()
        assert ours == (run / "checkpoint" / "weights.safetensors").read_bytes()
        assert ours != (workshop.folder / "no-mask-3" / "checkpoint" / "weights.safetensors").read_bytes()
        folder = workshop.folder
    assert not folder.exists()
    assert made.right[0].validation == [(step, loss) for step, loss in made.right[0].validation if step <= 5]


# ----------------------------------------------------------------------------------------------------- curves


def test_json_holds_a_trial(tmp_path):
    trials = [trial(), trial("leak"), trial("leak", right=trial().wrong)]
    assert from_json(json.loads(json.dumps(trials[0].as_json()))) == trials[0]
    exhibits.write(tmp_path / "c.json", trials[:2], "a text")
    assert exhibits.read(tmp_path / "c.json") == {"not-shifted": trials[0], "leak": trials[1]}
    assert len(json.loads((tmp_path / "c.json").read_text())["right"]) == 1, "the right runs are the same"


@pytest.mark.parametrize("text", ["", "{}", '{"bugs": [{"name": "leak"}], "right": []}', "[]"])
def test_a_file_without_curves_is_told(text, tmp_path):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(ValueError, match=r"runs/museum\.sh makes it"):
        exhibits.read(tmp_path / "c.json")
    with pytest.raises(ValueError, match="cannot read"):
        exhibits.read(tmp_path / "none.json")


def test_means_have_whole_groups_alone():
    assert means([*range(25)]) == [4.5, 14.5]
    assert means([1.0]) == []


def test_numbers_are_told_as_sentences():
    lines = exhibits.numbers(trial(wrong=[curve(1, [4.0], stopped="step 12: the loss is nan")]))
    assert lines[1] == "last training loss: right 2.500, wrong 4.000"
    assert lines[-1] == "after 10 steps, seed 1: step 12: the loss is nan"
    panel = {"labels": ["head"], "wrong": [[0.5], [0.7], [0.6]]}
    assert exhibits.numbers(trial("gelu-derivative", panel=panel))[-1].endswith("60% head")


@pytest.mark.programs
def test_a_run_without_a_step_has_a_figure_and_a_chart(tmp_path):
    empty = trial(wrong=[curve(1, [], sample="", stopped="no step")])
    figure.save(empty, tmp_path / "f.png")
    assert (tmp_path / "f.png").stat().st_size > 5000
    assert any("." in line for line in chart(empty))
    assert chart(trial(right=[curve(1, [])], wrong=[curve(1, [])])) == ["(no step was made)"]


def test_a_chart_has_both_curves():
    lines = chart(trial())
    body = [line[7:] for line in lines[:-2]]
    assert body[0].startswith("+"), "both begin at the same loss"
    assert {line.strip()[-1:] for line in body[1:] if line.strip()} == {".", "#"}
    assert lines[-1].endswith("30 steps") and lines[0].startswith("  4.0 |") and lines[-3].startswith("  2.0 |")


def test_two_texts_stand_side_by_side():
    lines = beside("a b\n" * 40, "c")
    assert lines[0].split() == [*"ab" * 12, "c"] or lines[0].endswith("c")
    assert len(lines) == 4 or lines[-1].endswith("…")


# ------------------------------------------------------------------------------------------------------- quiz


def answered(monkeypatch, capsys, text: str, *line: str) -> tuple[int, str]:
    """Return the exit status of the quiz with that input, and what it printed."""
    import io

    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    status = main(["quiz", *line])
    return status, capsys.readouterr().out


def test_all_answers_right(monkeypatch, capsys):
    right = quiz.questions(11, 4, list(exhibits.exhibits()))
    text = "".join(f"{question.letter}\n" for question in right)
    status, out = answered(monkeypatch, capsys, text, "--seed", "11", "--questions", "4")
    assert status == 0 and out.count("\nright.\n") == 4
    assert "score: 4 of 4; --seed 11 asks the same questions again" in out
    for question in right:
        assert f"{question.bug.name}: {question.bug.title}" in out and question.bug.wrong in out


def test_wrong_answers_other_letters_names_and_an_early_end(monkeypatch, capsys):
    first, second = quiz.questions(2, 2, list(exhibits.exhibits()))
    wrong = next(letter for letter in quiz.LETTERS if letter != first.letter)
    text = f"z\n{wrong}\n{second.bug.name.upper()}\nq\n"
    status, out = answered(monkeypatch, capsys, text, "--seed", "2", "--questions", "3")
    assert status == 0 and "answer with one letter of a, b, c, d" in out
    assert f"no: it is {first.letter}." in out and "right." in out
    assert "score: 1 of 2" in out
    status, out = answered(monkeypatch, capsys, "", "--seed", "2")
    assert status == 0 and "no answer; --seed 2" in out


def test_a_question_names_no_bug_before_its_answer(monkeypatch, capsys):
    for number, question in enumerate(quiz.questions(5, len(BUGS), list(BUGS)), 1):
        shown = "\n".join(quiz.clues(exhibits.exhibits()[question.bug.name]))
        assert question.bug.name not in shown and question.bug.title not in shown, number
        families = [bug.family for bug in question.choices]
        assert question.bug in question.choices and len(set(families)) == len(families) == 4


def test_one_seed_asks_the_same_questions():
    names = list(BUGS)
    assert quiz.questions(3, 5, names) == quiz.questions(3, 5, names) != quiz.questions(4, 5, names)
    letters = {question.letter for seed in range(10) for question in quiz.questions(seed, 5, names)}
    assert letters == set(quiz.LETTERS)


@pytest.mark.programs
def test_the_quiz_works_in_a_pipe():
    line = [sys.executable, "-m", "gpt.museum", "quiz", "--seed", "1", "--questions", "1"]
    done = subprocess.run(line, cwd=ROOT, input=b"a\n", capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert re.search(rb"score: [01] of 1", done.stdout)


# -------------------------------------------------------------------------------------- what the documents have


def test_every_bug_has_its_runs():
    found = exhibits.exhibits()
    assert list(found) == list(BUGS)
    for name, each in found.items():
        assert [c.seed for c in each.right] == [c.seed for c in each.wrong] == [1, 2, 3], name
        assert each.config == {**BUGS[name].config}, f"{name} has another recipe now: run runs/museum.sh"
        assert all(10 * len(c.train) == each.config["steps"] for c in each.right)
        assert bool(each.panel) == (PANELS[BUGS[name].shows].kind in ("bars", "lines"))


def test_the_doctor_finds_what_it_is_said_to_find():
    for name, each in exhibits.exhibits().items():
        finding = BUGS[name].finding
        if finding:
            assert all(finding in curve.findings for curve in each.wrong), name
            assert not any(finding in curve.findings for curve in each.right), name


def test_a_bug_shows_in_what_its_figure_shows():
    """Losses, lengths or the numbers of the second picture are apart by more than the seeds are."""
    for name, each in exhibits.exhibits().items():
        panel = each.panel.get("wrong")
        shows = panel is not None and np.abs(np.subtract(panel, each.panel.get("right", 0))).max() > 0.1
        for what in ("train", "norm", "validation"):
            right, wrong = (np.array([figure.points(c, what)[1] for c in side]) for side in (each.right, each.wrong))
            apart = (right.min(0) > wrong.max(0)) | (wrong.min(0) > right.max(0))
            shows = shows or apart.mean() > 0.2
        assert shows, name


def test_the_page_is_up_to_date():
    assert PAGES["PAGE"].read_text("utf-8") == PAGES["page"](), "run PYTHONPATH=. python docs/make_museum.py --figures"


def test_figures_are_there_and_small():
    names = [*BUGS, *(f"quiz-{i}" for i in range(1, PAGES["QUIZ"] + 1))]
    assert {path.stem for path in PAGES["FIGURES"].glob("*.png")} == set(names)
    for name in names:
        path = Path(PAGES["FIGURES"]) / f"{name}.png"
        raw = path.read_bytes()
        assert struct.unpack(">II", raw[16:24])[0] == 780 and len(raw) < LARGEST, name


@pytest.mark.programs
def test_a_figure_of_the_page_is_that_of_its_curves(tmp_path):
    """Its size and most of its points: another version of the fonts may draw letters otherwise."""
    from PIL import Image

    figure.save(exhibits.exhibits()["no-mask"], tmp_path / "f.png")
    now, then = (
        np.asarray(Image.open(p).convert("L"), float) for p in (tmp_path / "f.png", PAGES["FIGURES"] / "no-mask.png")
    )
    assert now.shape == then.shape
    assert (np.abs(now - then) > 40).mean() < 0.01
