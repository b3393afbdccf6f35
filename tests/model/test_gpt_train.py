"""The main job: what it leaves, how it stops, and that going on changes no bit."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import math
import os
import re
import shlex
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from gpt import cli, evaluate, generate
from gpt.config import NEWER, TrainConfig
from gpt.evaluate import mean_loss
from gpt.job import make_parser
from gpt.run import checkpoint, files, metrics, opening
from gpt.run.baselines import Baselines
from gpt.run.interrupt import Interrupt
from gpt.run.lock import locked
from gpt.run.plots import plot_loss
from gpt.run.progress import Progress
from gpt.train import main
from tinytensor import tensor
from tinytensor.amp import GradScaler
from tinytensor.cuda import OutOfMemoryError
from tinytensor.optim import AdamW

TEXT = "It was the best of times, it was the worst of times. " * 40
ROOT = Path(__file__).parents[2]
TINY = [
    "--layers=1", "--width=16", "--heads=2", "--context=16", "--batch-size=4", "--warmup=2",
    "--steps=9", "--eval-every=4", "--dropout=0.1", "--threads=2", "--grad-accumulation=2",
    "--no-plot",
]  # fmt: skip
BIGRAM = ["--model=bigram", "--width=8", "--context=8", "--steps=1", "--no-plot"]


@pytest.fixture
def text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text(TEXT)
    return ["--data", "text"]


def weights(run):
    return hashlib.sha256(Path(run, "checkpoint/weights.safetensors").read_bytes()).hexdigest()


def state(run):
    """Moments and masters, and the loss scale."""
    optimizer = Path(run, "checkpoint/optimizer.safetensors").read_bytes()
    return hashlib.sha256(optimizer).hexdigest(), checkpoint.read(Path(run)).loss_scale


@pytest.fixture
def usual_ctrl_c():
    """Python's handler, which a process started in the background by a shell script does not have."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def at_step(monkeypatch, step, act):
    """Call `act` when the progress of `step` is shown: after its update, before it is saved."""
    update = Progress.update

    def update_and_act(self, row):
        update(self, row)
        if row["step"] == step:
            act()

    monkeypatch.setattr(Progress, "update", update_and_act)


def one_line(capsys, *parts):
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert all(part in error for part in parts), error


def test_a_run_leaves_its_folder(text, capsys):
    line = [part for part in TINY if part != "--no-plot"]
    assert main([*line, *text, "--out", "run"]) == 0
    names = ["best", "checkpoint", "config.json", "loss.png", "metrics.jsonl", "sample.txt"]
    assert sorted(os.listdir("run")) == [".lock", *names]
    assert sorted(os.listdir("run/checkpoint")) == [
        "metadata.json", "optimizer.safetensors", "weights.safetensors",
    ]  # fmt: skip
    config = json.loads(Path("run/config.json").read_text())
    assert (config["width"], config["data"], config["threads"]) == (16, os.path.abspath("text"), 2)
    rows = metrics.read(Path("run"))
    assert [row["step"] for row in rows] == list(range(1, 10))
    assert [row["step"] for row in rows if row["val_loss"] is not None] == [4, 8, 9]
    assert set(rows[0]) == {
        "step", "train_loss", "val_loss", "learning_rate", "grad_norm", "seconds",
        "tokens_per_second",
    }  # fmt: skip
    assert Path("run/loss.png").read_bytes().startswith(b"\x89PNG")
    assert len(Path("run/sample.txt").read_text()) == 501
    out = capsys.readouterr().out
    loss = r"loss \d\.\d{3} val \d\.\d{3} \(\d\.\d{3} bits/byte\), [\d.]+k tokens/s, 5-gram .*, bigram [^,]*, unigram [\d.]*\n"
    assert re.search(rf"step 4/9 0:00 left, {loss}", out)
    assert "over the whole split, 211 predictions" in out
    assert "python -m gpt.generate run" in out


def test_it_learns(text):
    line = ["--steps=120", "--learning-rate=0.01", "--dropout=0", "--grad-accumulation=1"]
    assert main([*TINY, *text, *line, "--out=run", "--quiet"]) == 0
    rows = metrics.read(Path("run"))
    assert rows[-1]["val_loss"] < 0.5 * rows[0]["train_loss"]


def test_sharing_out_on_one_process_says_that_it_does_nothing(text, capsys):
    assert main([*TINY, *text, "--steps=1", "--shard-optimizer", "--out=run"]) == 0
    assert "--shard-optimizer shares nothing out on one process; mpiexec" in capsys.readouterr().err


def test_quiet_says_nothing_and_no_plot_draws_nothing(text, capsys):
    assert main([*TINY, *text, "--out", "run", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert not Path("run/loss.png").exists()


def test_the_first_model(text):
    assert main([*BIGRAM, *text, "--out", "run", "--quiet"]) == 0
    model, _ = checkpoint.load("run")
    assert type(model).__name__ == "Bigram"


def test_float64(text):
    assert main([*TINY, *text, "--dtype", "float64", "--out", "run", "--quiet"]) == 0
    arrays = checkpoint.read(Path("run"))
    assert {a.dtype for a in arrays.weights.values()} == {np.dtype("float64")}


def test_default_folder_is_new_each_time(text):
    line = [*BIGRAM, *text, "--quiet"]
    assert main(line) == main(line) == 0
    assert len(os.listdir("runs")) == 2


def test_no_data_falls_back_to_python_docs(text, monkeypatch, capsys):
    def offline():
        raise checkpoint.UserError("tiny Shakespeare cannot be fetched; take --data PATH")

    monkeypatch.setattr("gpt.corpus.fetch_shakespeare", offline)
    assert main([*BIGRAM, "--out", "run"]) == 0
    out = capsys.readouterr().out
    assert "note: tiny Shakespeare cannot be fetched; training on python-docs instead" in out
    assert json.loads(Path("run/config.json").read_text())["data"] == "python-docs"


# --------------------------------------------------------------------------- stopping and going on


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_stopped_and_resumed_equals_uninterrupted(text, dtype, monkeypatch, capsys):
    line = [*TINY, *text, "--dtype", dtype, "--quiet"]
    assert main([*line, "--out", "whole"]) == 0
    with monkeypatch.context() as patch:
        at_step(patch, 5, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert main([*line, "--out", "parts"]) == 143
    one_line(capsys, "step 5 saved", "python -m gpt.train --resume parts")
    assert checkpoint.read(Path("parts")).step == 5
    assert len(metrics.read(Path("parts"))) == 5
    assert main(["--resume", "parts", "--no-plot", "--quiet"]) == 0
    assert weights("parts") == weights("whole")
    assert state("parts") == state("whole")
    for whole, parts in zip(*(metrics.read(Path(p)) for p in ("whole", "parts")), strict=True):
        for name in whole.keys() - {"seconds", "tokens_per_second"}:
            assert whole[name] == parts[name]


@pytest.mark.parametrize("step", [2, 6])
def test_killed_and_resumed_equals_uninterrupted(text, monkeypatch, step):
    """As after kill -9: nothing is saved since the last evaluation, or since the beginning."""

    class Killed(BaseException):
        pass

    def kill():
        raise Killed

    assert main([*TINY, *text, "--out", "whole", "--quiet"]) == 0
    with monkeypatch.context() as patch:
        at_step(patch, step, kill)
        with pytest.raises(Killed):
            main([*TINY, *text, "--out", "parts", "--quiet"])
    with open("parts/metrics.jsonl", "a") as file:
        file.write('{"step": 7, "train')  # the line that it was writing
    assert checkpoint.read(Path("parts")).step == step // 4 * 4
    assert main(["--resume", "parts", "--no-plot", "--quiet"]) == 0
    assert weights("parts") == weights("whole")
    assert [row["step"] for row in metrics.read(Path("parts"))] == list(range(1, 10))


@pytest.mark.usefixtures("usual_ctrl_c")
def test_ctrl_c_is_130(text, monkeypatch, capsys):
    at_step(monkeypatch, 1, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert main([*TINY, *text, "--out", "run", "--quiet"]) == 130
    one_line(capsys, "step 1 saved")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs SIGHUP")
def test_a_closed_terminal_saves(text, monkeypatch, capsys):
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup the tests run with it ignored
    try:
        at_step(monkeypatch, 3, lambda: os.kill(os.getpid(), signal.SIGHUP))
        assert main([*TINY, *text, "--out", "run", "--quiet"]) == 129
    finally:
        signal.signal(signal.SIGHUP, before)
    one_line(capsys, "step 3 saved")


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP on this system")
def test_nohup_outlives_the_terminal_and_a_background_job_hears_ctrl_c():
    """A shell script starts its background jobs with SIGINT ignored; kill -INT still asks to save and stop."""
    before = {n: signal.signal(n, signal.SIG_IGN) for n in (signal.SIGHUP, signal.SIGINT)}
    try:
        with Interrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGHUP)
            assert interrupt.signal is None
            os.kill(os.getpid(), signal.SIGINT)
            assert interrupt.signal == signal.SIGINT
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.usefixtures("usual_ctrl_c")
def test_a_second_ctrl_c_acts_as_usual():
    with Interrupt() as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.signal == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_spoilt_weights_are_not_saved_when_stopped(text, monkeypatch, capsys):
    step = AdamW.step

    def spoil(self):
        step(self)
        self.param_groups[0]["params"][1].data[0] = float("nan")
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(AdamW, "step", spoil)
    assert main([*TINY, *text, "--out", "run", "--quiet"]) == 2
    one_line(capsys, "step 1: the largest weight is nan", "whose value is not finite is blocks.0")
    assert checkpoint.read(Path("run")).step == 0


def test_ctrl_c_before_the_first_step(text, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("gpt.run.opening.begin", interrupt)
    assert main([*TINY, *text, "--out", "run"]) == 130
    one_line(capsys, "interrupted")


def test_a_real_process_is_stopped_and_leaves_no_traceback(text, tmp_path):
    command = [sys.executable, "-m", "gpt.train", *TINY, *text, "--out=run", "--steps=1000000"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, cwd=tmp_path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        while "step " not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=30)
    assert process.returncode == 143
    assert re.fullmatch(r"gpt.train: step \d+ saved; go on with .* --resume run\n", error)
    assert checkpoint.read(tmp_path / "run").step >= 1


def test_rows_that_stay_are_never_written_again(text, monkeypatch):
    """A disk that is full when the run goes on takes nothing from its history."""
    with monkeypatch.context() as patch:
        at_step(patch, 9, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert main([*TINY, *text, "--out", "run", "--quiet"]) == 143
    before = Path("run/metrics.jsonl").read_bytes()
    with open("run/metrics.jsonl", "a") as file:
        file.write('{"step": 10, "train')

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(metrics.Metrics, "write", full)
    assert main(["--resume", "run", "--steps", "12", "--quiet"]) == 2
    assert Path("run/metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    "line", [b"[]", b'{"a": 1}', b"null", b'{"step": "a"}', b"\xff", b"{", b"", b"[" * 100_000],
)  # fmt: skip
def test_damaged_metrics(tmp_path, line):
    (tmp_path / "metrics.jsonl").write_bytes(line + b"\n")
    for use in (metrics.read, lambda run: metrics.Metrics(run, 1)):
        with pytest.raises(checkpoint.UserError, match=r"metrics.jsonl is damaged: line 1"):
            use(tmp_path)


def test_a_value_of_another_type_in_metrics(text, capsys):
    assert main([*BIGRAM, *text, "--out", "run", "--quiet"]) == 0
    row = json.loads(Path("run/metrics.jsonl").read_text())
    Path("run/metrics.jsonl").write_text(json.dumps({**row, "step": "a"}) + "\n")
    assert main(["--resume", "run", "--quiet"]) == 2
    one_line(capsys, "line 1", "step must be a number")


def test_a_finished_run_without_metrics(text):
    assert main([*BIGRAM, *text, "--out", "run", "--quiet"]) == 0
    whole = metrics.read(Path("run"))
    Path("run/metrics.jsonl").unlink()
    assert main(["--resume", "run", "--quiet", "--no-plot"]) == 0
    assert metrics.read(Path("run")) == whole  # the row of the last step is in the checkpoint, until it is evaluated


def test_killed_before_the_first_checkpoint(text, monkeypatch, capsys):
    class Killed(BaseException):
        pass

    def kill(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("gpt.run.files.sync_folder", kill)
        with pytest.raises(Killed):
            main([*BIGRAM, *text, "--out", "run", "--quiet"])
    assert sorted(os.listdir("run")) == [".lock", "checkpoint.new", "config.json"]
    assert main([*BIGRAM, *text, "--out", "run", "--quiet"]) == 0
    assert checkpoint.read(Path("run")).step == 1


def test_one_process_in_a_run_folder(text, capsys):
    pytest.importorskip("fcntl")
    assert main([*BIGRAM, *text, "--out", "run", "--quiet"]) == 0
    with locked(Path("run")):
        assert main(["--resume", "run", "--steps", "2", "--no-plot", "--quiet"]) == 2
    one_line(capsys, "another process is training in run")
    assert main(["--resume", "run", "--steps", "2", "--no-plot", "--quiet"]) == 0


def test_more_steps(text, capsys):
    assert main([*TINY, *text, "--out", "run", "--quiet"]) == 0
    assert main(["--resume", "run", "--steps", "11", "--eval-every", "3", "--no-plot"]) == 0
    assert "schedule now ends at step 11" in capsys.readouterr().out
    assert checkpoint.read(Path("run")).step == 11
    assert json.loads(Path("run/config.json").read_text())["steps"] == 11
    assert [row["step"] for row in metrics.read(Path("run"))] == list(range(1, 12))
    assert main(["--resume", "run", "--steps", "10"]) == 2
    one_line(capsys, "--steps 10: the run is at step 11 already")


def test_another_number_of_threads_is_noted(text, capsys):
    assert main([*TINY, *text, "--out", "run", "--quiet"]) == 0
    assert main(["--resume", "run", "--threads", "1", "--steps", "10", "--no-plot"]) == 0
    assert "sums in another order" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--width 32", "--width 32: a resumed run keeps its 16; leave the flag out"),
        ("--data other", "run was trained on another text, and a resumed run keeps its text; --init run --data other"),
        ("--out elsewhere", "--out and --resume"),
    ],
)
def test_a_resumed_run_keeps_its_configuration(text, line, message, capsys):
    Path("other").write_text(TEXT.replace("best", "beet"))
    assert main([*TINY, *text, "--out", "run", "--quiet"]) == 0
    assert main(["--resume", "run", *line.split()]) == 2
    one_line(capsys, message)
    same = ["--width", "16", "--data", "text", "--no-plot", "--quiet"]
    assert main(["--resume", "run", *same]) == 0


def test_a_changed_text_is_noticed(text, capsys):
    assert main([*TINY, *text, "--out", "run", "--quiet"]) == 0
    Path("text").write_text(TEXT + "!")
    assert main(["--resume", "run"]) == 2
    one_line(capsys, "text has changed since run was trained on it")


# ---------------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"abc" * 5, "shorter than a window of --context 16"),
     (b"good\xfe", "not UTF-8: byte 0xfe at offset 4 (invalid start byte); convert it first, for example with "
      "iconv -f WINDOWS-1252 -t UTF-8"), (("text" * 99).encode("utf-16"), "iconv -f UTF-16 -t UTF-8")],
)  # fmt: skip
def test_a_bad_text_makes_no_folder(text, content, message, capsys):
    Path("text").write_bytes(content)
    assert main([*TINY, *text, "--out", "run"]) == 2
    one_line(capsys, message)
    assert not Path("run").exists()


def test_a_run_is_not_overwritten(text, capsys):
    assert main([*TINY, *text, "--out", "run", "--quiet"]) == 0
    before = weights("run")
    assert main([*TINY, *text, "--out", "run", "--seed", "1"]) == 2
    one_line(capsys, "--out run is not empty", "--resume run")
    assert weights("run") == before


def test_a_folder_that_cannot_be_made(text, capsys):
    assert main([*TINY, *text, "--out", "text/run"]) == 2
    one_line(capsys, "cannot make the run folder text/run: text is a file, and must be a folder")


def test_a_full_disk_leaves_the_checkpoint_before(text, monkeypatch, capsys):
    create, calls = files.create, []

    def full(path, data):
        calls.append(path)
        if len(calls) > 5:  # the second save, at step 4; config.json is written before the first
            path.write_bytes(data[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        create(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(files, "create", full)
        assert main([*TINY, *text, "--out", "run", "--quiet"]) == 2
    one_line(capsys, "cannot save step 4", "optimizer.safetensors: No space left on device", "intact")
    assert checkpoint.read(Path("run")).step == 0
    assert main(["--resume", "run", "--no-plot", "--quiet"]) == 0


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    "name", ["metrics.jsonl", "config.json", "checkpoint.new/weights.safetensors", "best/config.json"]
)
def test_a_full_disk_is_told_with_the_name_of_the_file(text, name, monkeypatch, capsys):
    write_all = files.write_all

    def full_for_one(descriptor, content):
        if name in os.readlink(f"/proc/self/fd/{descriptor}"):
            full()
        write_all(descriptor, content)

    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    monkeypatch.setattr(files, "write_all", full_for_one)
    assert main([*TINY, *text, "--out", "run", "--quiet"]) == 2
    one_line(capsys, f"run/{name}", "No space left on device")


@pytest.mark.parametrize("name", ["sample.txt", "loss.png", "profile.txt"])
def test_a_full_disk_costs_no_more_than_the_file(text, name, monkeypatch, capsys):
    write = files.write
    monkeypatch.setattr(files, "write", lambda path, content: full() if path.name == name else write(path, content))
    assert main([*BIGRAM[:-1], *text, "--out", "run", "--profile"]) == 0
    said = capsys.readouterr()
    assert said.err.startswith(f"gpt.train: no {name.removesuffix('.txt') if 'profile' in name else name}: OSError")
    assert "validation loss" in said.out


@pytest.mark.parametrize("broken", ["head.weight", "blocks.0.feed_forward.up.bias"])
def test_a_gradient_that_is_not_finite_stops_before_the_update(text, broken, monkeypatch, capsys):
    from gpt.fast.shards import Shards

    gradient = Shards.gradient

    def spoilt(self, batches, step):
        loss = gradient(self, batches, step)
        if step == 5:
            dict(self.models[0].named_parameters())[broken].grad[0] = float("inf")
        return loss

    monkeypatch.setattr(Shards, "gradient", spoilt)
    assert main([*TINY, *text, "--out", "run", "--quiet"]) == 2
    one_line(capsys, "step 6: the gradient norm is", f"whose gradient is not finite is {broken}")
    saved = checkpoint.read(Path("run"))
    assert saved.step == 4
    assert all(np.isfinite(array).all() for array in saved.weights.values())


def half(text, monkeypatch, scale=2.0**16, interval=2000, steps=9):
    """Train in float16 with a loss scale that begins there and is doubled after so many steps; the exit status."""
    made = partial(GradScaler, init_scale=scale, growth_interval=interval)
    monkeypatch.setattr("gpt.fast.half.GradScaler", made)
    return main([*TINY, *text, "--dtype", "float16", f"--steps={steps}", "--out", "run", "--quiet"])


def test_an_overflow_of_float16_skips_the_step_and_halves_the_scale(text, monkeypatch):
    assert half(text, monkeypatch, scale=2.0**22, interval=3, steps=25) == 0
    rows = metrics.read(Path("run"))
    skipped = [row["grad_norm"] is None for row in rows]
    assert skipped[0] and not all(skipped) and any(skipped[10:])  # too large at first, and again after it grew
    for row, following in itertools.pairwise(rows):
        ratio = following["loss_scale"] / row["loss_scale"]
        assert ratio == 0.5 if row["grad_norm"] is None else ratio in (1, 2)
    saved = checkpoint.read(Path("run"))
    assert saved.weights["head.weight"].dtype == np.float16
    assert saved.optimizer["head.weight.master"].dtype == np.float32
    assert saved.optimizer["head.weight.step"] == skipped.count(False)
    assert saved.loss_scale["growth_interval"] == 3


def test_a_gradient_that_overflows_float16_at_any_scale_stops(text, monkeypatch, capsys):
    from gpt.fast.shards import Shards

    gradient = Shards.gradient

    def spoilt(self, batches, step, scale):
        loss = gradient(self, batches, step, scale)
        dict(self.models[0].named_parameters())["head.weight"].grad[0] = float("inf")
        return loss

    monkeypatch.setattr(Shards, "gradient", spoilt)
    assert half(text, monkeypatch, scale=4.0) == 2
    one_line(capsys, "step 4: the gradient overflows float16 at any loss scale", "is head.weight", "--dtype float32")
    assert checkpoint.read(Path("run")).step == 0


@pytest.mark.parametrize("speed, shown", [(37_400.0, "37k"), (10_000.0, "10k"), (9_960.0, "10.0k"), (350.4, "0.4k")])
def test_few_tokens_a_second_are_not_shown_as_none(speed, shown, capsys):
    row = {"step": 1, "train_loss": 2.0, "val_loss": None, "tokens_per_second": speed}
    with Progress(TrainConfig(steps=9), 0, "baselines", False) as progress:
        progress.update(row)
    assert f"loss 2.000, {shown} tokens/s, baselines" in capsys.readouterr().out


def test_the_loss_scale_is_shown(text, capsys):
    assert main([*TINY, *text, "--dtype", "float16", "--steps=1", "--out", "run"]) == 0
    assert re.search(r" [\d.]+k tokens/s, loss scale 65536, 5-gram", capsys.readouterr().out)
    assert "loss_scale" in metrics.read(Path("run"))[0]
    assert generate.main(["run", "--tokens", "5", "--prompt", "It"]) == 0


def test_a_loss_scale_that_is_damaged_is_named(text, capsys):
    assert main([*TINY, *text, "--dtype", "float16", "--steps=1", "--out", "run", "--quiet"]) == 0
    path = Path("run/checkpoint/metadata.json")
    whole = json.loads(path.read_text())
    for damaged in ({}, {**whole["loss_scale"], "scale": "x"}, {**whole["loss_scale"], "scale": math.nan}, 3):
        path.write_text(json.dumps(checkpoint.seal({**whole, "loss_scale": damaged})))
        assert main(["--resume", "run"]) == 2
        one_line(capsys, "metadata.json is damaged")


def test_a_diverging_run_stops_and_keeps_good_weights(text, capsys):
    line = [*TINY, *text, "--learning-rate", "1e30", "--warmup", "0", "--out", "run", "--quiet"]
    assert main(line) == 2
    one_line(capsys, "step 2: the loss is nan", "embedding.weight", "lower --learning-rate")
    model, _ = checkpoint.load("run")
    assert np.isfinite(mean_loss(model, np.zeros(20, np.int64))[0])


def test_out_of_memory_names_the_sizes(text, monkeypatch, capsys):
    def too_large(*_):
        raise MemoryError("Unable to allocate 9 TiB")

    monkeypatch.setattr("gpt.run.checkpoint.build", too_large)
    assert main([*TINY, *text, "--out", "run"]) == 2
    one_line(capsys, "out of memory; lower --batch-size, --context, --width or --layers", "9 TiB")


def test_out_of_a_gpus_memory_is_one_line_and_the_checkpoint_survives(text, monkeypatch, capsys):
    def exhausted():
        raise OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has 16.00 GiB.")

    at_step(monkeypatch, 6, exhausted)
    assert main([*TINY, *text, "--out", "run", "--quiet"]) == 2
    one_line(capsys, "out of memory; lower --batch-size, --context, --width or --layers", "allocate 20.00 MiB")
    assert checkpoint.read(Path("run")).step == 4


def on_another_machine(run, **changes):
    """Let the run folder say that it was made elsewhere."""
    for name in ("config.json", "checkpoint/metadata.json", "best/config.json", "best/checkpoint/metadata.json"):
        content = json.loads(Path(run, name).read_text())
        config = content.get("config", content)
        config.update(changes)
        Path(run, name).write_text(json.dumps(checkpoint.seal(content) if "step" in content else content))


def test_a_run_of_a_gpu_goes_on_without_one(text, monkeypatch, capsys):
    assert main([*TINY, *text, "--out", "run", "--threads=1", "--quiet"]) == 0
    on_another_machine("run", device="cuda", cuda_graph=True)
    monkeypatch.setattr("tinytensor.devices.cupy", no_cupy)
    for line in (["--resume", "run", "--steps=10"], ["--resume", "run", "--steps=10", "--device=cpu"]):
        assert main(line) == 2
    error = capsys.readouterr().err.splitlines()
    assert "--device cuda: no GPU; or take --device cpu" in error[0]
    assert "--cuda-graph records what a GPU does: take --device cuda, or --no-cuda-graph" in error[1]
    assert main(["--resume", "run", "--steps=10", "--device=cpu", "--no-cuda-graph", "--no-plot"]) == 0
    assert "another device sums in another order" in capsys.readouterr().out
    assert checkpoint.read(Path("run")).config.device == "cpu"


def test_a_model_of_a_gpus_is_read_without_one(text, monkeypatch, capsys):
    assert main([*BIGRAM, *text, "--out", "run", "--quiet"]) == 0
    on_another_machine("run", device="cuda")
    monkeypatch.setattr("tinytensor.devices.cupy", no_cupy)
    for command in (generate.main, evaluate.main):
        assert command(["run"]) == 2
        one_line(capsys, "--device cuda: no GPU")
        assert command(["run", "--device", "cpu"]) == 0
        capsys.readouterr()
    assert str(next(checkpoint.load("run", "cpu")[0].parameters()).device) == "cpu"


def no_cupy():
    raise RuntimeError("no GPU")


def test_a_run_of_an_older_version_goes_on(text):
    assert main([*TINY, *text, "--out", "run", "--quiet"]) == 0
    for name in ("config.json", "checkpoint/metadata.json"):
        content = json.loads(Path("run", name).read_text())
        for new in NEWER:
            del content.get("config", content)[new]
        for new in ("loss_scale", "format", "checksum", "best", "pending"):
            content.pop(new, None)
        Path("run", name).write_text(json.dumps(content))
    assert main(["--resume", "run", "--steps", "10", "--no-plot", "--quiet"]) == 0
    assert json.loads(Path("run/config.json").read_text())["cuda_graph"] is False


def test_memory_of_a_gpu_is_in_metrics_and_progress(text, monkeypatch, capsys):
    """The numbers of a GPU that is not there, in a run on the CPU."""

    def add(row, device):
        row["gpu_memory"], row["gpu_memory_peak"] = 2**21, 3 * 2**20

    with monkeypatch.context() as patch:
        patch.setattr("gpt.run.metrics.add_gpu_memory", add)
        assert main([*TINY, *text, "--out", "run"]) == 0
    assert "k tokens/s, GPU memory 2 MiB (peak 3), 5-gram" in capsys.readouterr().out
    assert {row["gpu_memory_peak"] for row in metrics.read(Path("run"))} == {3 * 2**20}
    assert main(["--resume", "run", "--steps", "11", "--quiet"]) == 0  # on a CPU; the plot is of both
    assert ["gpu_memory" in row for row in metrics.read(Path("run"))] == [True] * 9 + [False] * 2


def test_a_reader_that_leaves_is_no_traceback(text, tmp_path):
    line = f"{sys.executable} -m gpt.train {' '.join([*TINY, *text])} --out run | head -1"
    done = subprocess.run(
        line, shell=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr


def test_on_a_terminal_there_is_a_bar(text, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert main([*TINY, *text, "--out", "run"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"9/9 .* left, loss .* val .* tokens/s, 5-gram ", out)
    assert "step 1/9" not in out


@pytest.mark.programs
@pytest.mark.parametrize("close", ["| head -4 >/dev/null", "| true", ">&-", "2>&-"])
def test_a_run_outlives_its_reader(text, tmp_path, close):
    line = f"{sys.executable} -m gpt.train {' '.join([*TINY, *text])} --eval-every 1 --out run {close}"
    done = subprocess.run(
        line, shell=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert checkpoint.read(tmp_path / "run").step == 9
    assert Path("run/sample.txt").exists()


def test_help_is_grouped(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    for title in ("run:", "model:", "transformer:", "training:", "evaluation:", "machine:"):
        assert f"\n{title}\n" in out
    assert out == make_parser().format_help()


def test_a_terminal_that_closes_under_the_bar_does_not_stop_the_run(text, monkeypatch, capsys):
    def closed(self, n=1):
        raise OSError(errno.EIO, "Input/output error")

    silenced = []
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("tqdm.tqdm.update", closed)
    monkeypatch.setattr("gpt.cli.silence", lambda: silenced.append(True))
    assert main([*TINY, *text, "--out", "run"]) == 0
    assert len(silenced) == 9
    assert checkpoint.read(Path("run")).step == 9


def test_a_file_system_without_locks_is_no_obstacle(tmp_path, monkeypatch):
    def no_locks(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    with monkeypatch.context() as patch:
        patch.setattr("fcntl.flock", no_locks)
        with locked(tmp_path), locked(tmp_path):
            pass
    with monkeypatch.context() as patch:
        patch.setattr("gpt.run.lock.os.name", "nt")  # which has no fcntl
        with locked(tmp_path), locked(tmp_path):
            pass
    with locked(tmp_path), pytest.raises(checkpoint.UserError, match="another process"), locked(tmp_path):
        pass


def test_a_loss_that_overflows_from_finite_weights_is_explained(text, monkeypatch, capsys):
    """Nothing stored is infinite: the message says so, with the largest value."""
    monkeypatch.setattr("gpt.fast.shards.Shards.gradient", lambda self, batches, step: tensor(float("inf")))
    assert main([*TINY, *text, "--out", "run", "--quiet"]) == 2
    one_line(capsys, "loss is inf", "every parameter is finite, and the largest value", "last checkpoint is intact")


def test_a_thousand_runs_of_one_second(text, monkeypatch, capsys):
    def taken(self, *_, exist_ok=False, **__):
        if not exist_ok:
            raise FileExistsError

    monkeypatch.setattr("gpt.run.opening.Path.mkdir", taken)
    assert main([*BIGRAM, *text, "--quiet"]) == 2
    one_line(capsys, "runs/ has a thousand runs of this second; give --out")


def test_runs_that_begin_in_one_instant_have_folders_of_their_own(text):
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: opening.new_folder(None), range(64)))
    assert len(set(made)) == 64


def test_a_folder_is_named_so_that_a_shell_finds_it(text, capsys):
    """The commands that a run prints can be copied, whatever its folder is called."""
    for name in ("-run", "a b's; $HOME"):
        assert main([*BIGRAM, *text, f"--out={name}"]) == 0
        lines = capsys.readouterr().out.splitlines()[-2:]
        line = lines[0].removeprefix("now try         python -m gpt.generate ")
        assert lines[1] == f"look inside     python -m gpt.inspect {line}"
        words = shlex.split(line)
        assert generate.main([*words, "--tokens=3"]) == 0
        capsys.readouterr()
        assert main([*BIGRAM, *text, f"--out={name}"]) == 2
        assert f"--resume {line} to go on" in capsys.readouterr().err
        assert main(["--resume", *words, "--steps=2", "--quiet", "--no-plot"]) == 0


@pytest.mark.parametrize("executable, folder, named", [
    ("/w/.venv/bin/python", "/w", ".venv/bin/python"), ("/w/a b/bin/python3.12", "/w", "'a b/bin/python3.12'"),
    ("/w/.venv/bin/python", "/w/runs", "python"), ("/usr/bin/python3", "/w", "python"), ("", "/w", "python"),
])  # fmt: skip
def test_advice_names_the_interpreter_that_runs(executable, folder, named, monkeypatch):
    monkeypatch.setattr(sys, "executable", executable)
    monkeypatch.setattr(Path, "cwd", lambda: Path(folder))
    assert cli.python() == named


def test_the_last_lines_name_the_interpreter_and_the_film(text, capsys, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(Path.cwd() / ".venv/bin/python"))
    assert main([*BIGRAM, *text, "--out=plain"]) == 0
    assert "\nfilm  " not in capsys.readouterr().out
    assert main([*BIGRAM, *text, "--out=run", "--record"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[lines.index("run folder      run") + 1 :][:3] == [
        "film            run/film; gpt.inspect shows it", "now try         .venv/bin/python -m gpt.generate run",
        "look inside     .venv/bin/python -m gpt.inspect run",
    ]  # fmt: skip


def test_no_loss_is_minus_zero(text, capsys):
    Path("text").write_text("a" * 400)
    assert main([*BIGRAM, *text, "--out=run"]) == 0
    assert evaluate.main(["run"]) == 0
    out = capsys.readouterr().out
    assert "bigram 0.000" in out and "loss 0.0000" in out
    assert "-0.0" not in out


def test_a_quiet_run_does_not_say_where_its_text_is_from(text, monkeypatch, capsys):
    def offline():
        raise checkpoint.UserError("no network")

    monkeypatch.setattr("gpt.corpus.fetch_shakespeare", offline)
    assert main([*BIGRAM, "--out", "run", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert json.loads(Path("run/config.json").read_text())["data"] == "python-docs"


def test_a_plot_without_an_evaluated_row(tmp_path):
    row = dict.fromkeys(metrics.Row.__annotations__, 1.0) | {"step": 1, "val_loss": None}
    plot_loss(tmp_path / "loss.png", [row], Baselines(1.0, 2.0, 3.0, 0.5), 1.5, 1)
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
