"""The files of a run folder from somebody else: no link is followed, nothing hangs, nothing altered is taken as it is."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from gpt import evaluate, generate
from gpt.config import TrainConfig
from gpt.errors import UserError
from gpt.run import arrays, checkpoint, files, metrics
from gpt.run.checks import parameter_shapes
from gpt.run.lock import locked
from gpt.train import main

TEXT = "It was the best of times, it was the worst of times. " * 20
TINY = [
    "--layers=1", "--width=8", "--heads=2", "--context=8", "--batch-size=2", "--warmup=2", "--steps=3", "--eval-every=2",
    "--threads=1", "--quiet", "--data=text",
]  # fmt: skip
ON = ["--resume", "run", "--steps=4", "--quiet"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of three steps, and its text."""
    place = tmp_path_factory.mktemp("trained")
    (place / "text").write_text(TEXT)
    before = os.getcwd()
    os.chdir(place)
    try:
        assert main([*TINY, "--out=run", "--no-plot"]) == 0
    finally:
        os.chdir(before)
    return place


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    """A copy of that run, beside a copy of the text: it has moved. It keeps no best weights beside the last."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "run/best", ignore_errors=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # nobody cuts the power here
    return Path("run")


def refused(capsys, *parts):
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert all(part in error for part in parts), error


def edit(path, change):
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def sealed(run, change=lambda values: None):
    """Change the metadata and make all checksums again, as somebody does who wants to deceive."""
    path = run / "checkpoint/metadata.json"
    values = json.loads(path.read_text())
    change(values)
    for name in checkpoint.FILES:
        values["sha256"][name] = arrays.checksum((run / "checkpoint" / name).read_bytes())
    path.write_text(json.dumps(checkpoint.seal(values)))


# ------------------------------------------------------------------------------------------ links and special files

NAMES = (
    "metrics.jsonl", "sample.txt", "loss.png", "profile.txt", "profile.json", ".lock", "config.json", "config.json.new",
    "sample.txt.new", "checkpoint", "checkpoint.new", "checkpoint.old", "checkpoint/metadata.json",
    "checkpoint/weights.safetensors", "checkpoint/optimizer.safetensors", "best", "best/checkpoint", "best/config.json",
)  # fmt: skip
needs_posix = pytest.mark.skipif(os.name != "posix", reason="links and FIFOs of POSIX")


def put(kind, path, outside):
    """Put something else in the place of a file or a folder of the run."""
    if path.exists():
        path.rename("moved")
    if kind == "link":
        path.symlink_to(outside.absolute())
    elif kind == "link to nothing":
        path.symlink_to(outside.absolute() / "nothing")
    elif kind == "link to what was there":
        path.symlink_to(Path("moved").absolute())
    elif kind == "hard link":
        os.link(outside / "file" if outside.is_dir() else outside, path)
    elif kind == "FIFO":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
        (path / "file").write_text("kept")
    else:
        path.touch()
        os.truncate(path, 3 << 30)


def keep_best(run):
    """Let the run keep its last weights as the best as well."""
    (run / "best").mkdir()
    shutil.copytree(run / "checkpoint", run / "best/checkpoint")
    shutil.copy(run / "config.json", run / "best")


def contents(path):
    """The files at the path, with their contents and modes."""
    found = [path, *sorted(path.rglob("*"))]
    return [(str(each), each.stat().st_mode, each.read_bytes() if each.is_file() else b"") for each in found]


@needs_posix
@pytest.mark.programs
@pytest.mark.parametrize(
    "kind", ["link", "link to what was there", "hard link", "FIFO", "folder", "huge"]
)  # fmt: skip
@pytest.mark.parametrize("name", NAMES)
def test_nothing_outside_is_written_and_nothing_hangs(run, name, kind, capsys):
    keep_best(run)
    outside = Path("outside")
    if (run / name).is_dir() or name.startswith("checkpoint."):
        outside.mkdir()
        (outside / "file").write_text("of somebody else")
    else:
        outside.write_text("of somebody else")
    put(kind, run / name, outside)
    before = contents(outside)
    moved = contents(Path("moved")) if Path("moved").exists() else None
    for command in (
        lambda: generate.main(["run", "--tokens=3"]),
        lambda: evaluate.main(["run"]),
        lambda: main([*ON, *(["--profile"] if "profile" in name else []), *([] if "png" in name else ["--no-plot"])]),
    ):
        status = command()
        error = capsys.readouterr().err
        assert re.fullmatch(r"(gpt\.\w+: .{10,}\n){0,3}" if status == 0 else r"gpt\.\w+: .{10,}\n", error), error
        assert status in (0, 2)
    assert contents(outside) == before
    if moved and kind != "hard link":
        assert contents(Path("moved")) == moved


@needs_posix
@pytest.mark.parametrize("name", ["config.json", "config.json.new", "checkpoint.new", ".lock"])
def test_a_new_run_in_a_folder_with_links(run, name, capsys):
    """What a run leaves that was killed at its beginning may be there; somebody may have prepared it."""
    Path("outside").write_text("of somebody else")
    Path("new").mkdir()
    Path("new", name).symlink_to(Path("outside").absolute())
    status = main([*TINY, "--out=new", "--no-plot"])
    assert status == (2 if name == ".lock" else 0)
    refused(capsys, "new/.lock is a link, and must be a file") if status else None
    assert Path("outside").read_text() == "of somebody else"


@needs_posix
def test_a_link_to_the_run_folder_itself_is_followed(run):
    Path("latest").symlink_to(run)
    assert generate.main(["latest", "--tokens=3"]) == 0
    assert main(["--resume", "latest", "--steps=4", "--quiet", "--no-plot", "--data=text"]) == 0


def test_write_replaces_in_one_move_and_a_failure_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    files.write(path, "old")

    def fails(source, target):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fails)
        with pytest.raises(OSError, match="No space"):
            files.write(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_longer_than_can_be_right_is_not_read(run, monkeypatch):
    os.truncate(run / "checkpoint/weights.safetensors", 3 << 30)
    os.truncate(run / "config.json", 3 << 30)
    read, asked = os.read, []
    monkeypatch.setattr(os, "read", lambda descriptor, count: asked.append(count) or read(descriptor, count))
    with pytest.raises(UserError, match=r"config.json is damaged: 3,221,225,472 bytes"):
        checkpoint.read(run)
    shutil.copy(run / "checkpoint/metadata.json", "kept")
    edit(Path("kept"), lambda values: (run / "config.json").write_text(json.dumps(values["config"])))
    with pytest.raises(UserError, match=r"weights.safetensors is cut off or altered: 3,221,225,472 bytes"):
        checkpoint.read(run)
    assert sum(asked) < 100_000


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(run, capsys):
    (run / "checkpoint/weights.safetensors").chmod(0)
    assert generate.main(["run"]) == 2
    refused(capsys, "weights.safetensors: Permission denied")


def test_without_handles_of_folders_as_on_windows(run, monkeypatch):
    monkeypatch.setattr(files, "HANDLES", False)
    assert main([*ON, "--no-plot", "--data=text"]) == 0
    (run / "config.json").rename("moved")
    if hasattr(os, "symlink"):
        os.symlink(Path("moved").absolute(), run / "config.json")
        with pytest.raises(UserError, match="is a link"):
            checkpoint.read(run)


# ------------------------------------------------------------------------------- reading while another process writes


def whole(found, step):
    """The checkpoint of `step`, in which every number is `step`."""
    numbers = {float(n) for array in [*found.weights.values(), *found.optimizer.values()] for n in np.unique(array)}
    return (found.step, numbers) == (step, {float(step)})


def saves(run, step):
    """Save a checkpoint all of whose numbers are its step."""
    found = checkpoint.read(run)
    found.step = step
    for array in [*found.weights.values(), *found.optimizer.values()]:
        array[...] = step
    checkpoint.save(run, found)


@pytest.mark.parametrize("handles", [True, False])
@pytest.mark.parametrize("often", [1, 2])
@pytest.mark.parametrize("at", range(12))
def test_a_reader_has_one_checkpoint_whenever_another_process_saves(run, monkeypatch, at, often, handles):
    """The n-th call to open something comes after a save, or after two."""
    if handles and not files.HANDLES:
        pytest.skip("no handles of folders on this system")
    saves(run, 1)
    opens, count = os.stat, 0

    def saving(*args, **kwargs):
        nonlocal count
        count += 1
        if count == at + 1:
            with monkeypatch.context() as patch:
                patch.setattr(os, "stat", opens)
                patch.setattr(files, "HANDLES", True)
                for step in range(2, 2 + often):
                    saves(run, step)
        return opens(*args, **kwargs)

    monkeypatch.setattr(files, "HANDLES", handles)
    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", saving)
        found = checkpoint.read(run)
    assert whole(found, 1) or whole(found, 1 + often)


def test_a_run_that_another_process_trained_on_meanwhile(run, monkeypatch, capsys):
    """The lock comes after the reading, which takes long for a large text."""

    @contextlib.contextmanager
    def late(folder):
        saves(folder, 2)
        yield

    monkeypatch.setattr("gpt.job.locked", late)
    assert main(ON) == 2
    refused(capsys, "another process has trained run while this one read it; resume it again")


def test_a_run_that_goes_on_reads_its_arrays_once(run, monkeypatch):
    read, seen = arrays.read, []
    monkeypatch.setattr(
        arrays, "read", lambda file, *args, **how: seen.append(file.path.name) or read(file, *args, **how)
    )
    assert main([*ON, "--no-plot"]) == 0
    assert seen[:2] == list(checkpoint.FILES)
    assert seen[2:] in ([], [checkpoint.WEIGHTS])  # of the best, if that is not the last


@pytest.mark.parametrize("at", range(12))
def test_a_reader_between_the_renames_whose_folder_is_removed(run, monkeypatch, at):
    """The n-th look at something comes after the save has ended, and while it removes the old checkpoint."""
    shutil.copytree(run / "checkpoint", run / "checkpoint.new")
    (run / "checkpoint").rename(run / "checkpoint.old")
    look, count = os.stat, 0

    def looking(*args, **kwargs):
        nonlocal count
        count += 1
        if count == at + 1:
            os.rename(run / "checkpoint.new", run / "checkpoint")
            for name in (checkpoint.METADATA, checkpoint.OPTIMIZER)[at % 2 :]:
                os.unlink(run / "checkpoint.old" / name)
        return look(*args, **kwargs)

    monkeypatch.setattr(os, "stat", looking)
    assert checkpoint.read(run).step == 3


@pytest.mark.parametrize("begins", range(4))
@pytest.mark.parametrize("lasts", range(4))
def test_the_best_is_found_whenever_another_process_saves_it(run, monkeypatch, begins, lasts):
    """A save makes its first rename before the n-th look at the folder, and ends some looks later."""
    keep_best(run)
    best, count = run / "best", itertools.count()
    shutil.copytree(best / "checkpoint", best / "checkpoint.new")

    def watched(look):
        def looks(path, **how):
            at = next(count)
            if at == begins:
                os.rename(best / "checkpoint", best / "checkpoint.old")
            if at == begins + lasts:
                os.rename(best / "checkpoint.new", best / "checkpoint")
                os.rename(best / "checkpoint.old", "removed")
            return look(path, **how)

        return looks

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", watched(os.stat))
        patch.setattr(os.path, "lexists", watched(os.path.lexists))
        assert checkpoint.keeps_best(run)


@pytest.mark.parametrize("names", [("checkpoint.old",), ("checkpoint.old", "checkpoint.new")])
def test_between_the_renames_the_old_one_is_read(run, names):
    (run / "checkpoint").rename(run / "checkpoint.old")
    if "checkpoint.new" in names:
        (run / "checkpoint.new").mkdir()
    assert checkpoint.read(run).step == 3


def test_the_retries_end(run):
    (run / "checkpoint").rename(run / "checkpoint.new")
    with pytest.raises(UserError, match="is not a run folder: it has no checkpoint"):
        checkpoint.read(run)


def test_windows_waits_for_readers(run, monkeypatch):
    rename, refusals = os.rename, [PermissionError(13, "Permission denied")] * 3

    def busy(old, new):
        if refusals:
            raise refusals.pop()
        rename(old, new)

    monkeypatch.setattr(os, "rename", busy)
    with monkeypatch.context() as patch:
        patch.setattr("gpt.run.checkpoint.os.name", "nt")
        saves(run, 2)
    assert checkpoint.read(run).step == 2
    assert not refusals


# ------------------------------------------------------------------------------------------------- what is protected


def changes():
    """Every value of metadata.json that decides what a run goes on with."""
    yield from (["config", each.name] for each in dataclasses.fields(TrainConfig))
    yield from (
        ["step"],
        ["seconds"],
        ["tokenizer", "characters"],
        ["corpus_sha256"],
        ["loss_scale"],
        ["sha256", checkpoint.WEIGHTS],
    )


@pytest.mark.parametrize("path", list(changes()), ids=".".join)
def test_every_value_of_the_metadata_is_protected(run, path, capsys):
    def change(values):
        for key in path[:-1]:
            values = values[key]
        old = values[path[-1]]
        values[path[-1]] = {int: lambda: old + 2, float: lambda: old * 0.5 + 0.25, str: lambda: old[:-1] + chr(ord(old[-1]) + 1),
                            bool: lambda: not old, dict: lambda: {"scale": 1.0}}[type(old)]()  # fmt: skip

    edit(run / "checkpoint/metadata.json", change)
    for command in (lambda: generate.main(["run"]), lambda: main(ON)):
        assert command() == 2
        refused(capsys, "metadata.json was altered: its checksum is another")


@pytest.mark.parametrize("missing", ["format", "checksum"])
def test_a_checksum_cannot_be_left_out(run, missing):
    edit(run / "checkpoint/metadata.json", lambda values: values.pop(missing))
    with pytest.raises(UserError, match="was altered"):
        checkpoint.read(run)


def test_a_checkpoint_of_the_first_format_is_read(run):
    edit(
        run / "checkpoint/metadata.json",
        lambda values: [values.pop(name) for name in ("format", "checksum", "best", "pending")],
    )
    assert checkpoint.read(run).step == 3


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("number", [1, checkpoint.FORMAT])
def test_an_older_run_with_dropout_is_told_that_its_masks_change(dropout, number, run, capsys):
    sealed(run, lambda values: values["config"].update(dropout=dropout))
    edit(run / "config.json", lambda values: values.update(dropout=dropout))
    if number == 1:
        edit(
            run / "checkpoint/metadata.json",
            lambda values: [values.pop(name) for name in ("format", "checksum", "best", "pending")],
        )
    assert main(["--resume", "run", "--steps=4", "--no-plot"]) == 0
    told = "whose masks of dropout depended on --threads" in capsys.readouterr().out
    assert told == (dropout > 0 and number == 1)


def test_a_newer_format_is_told(run):
    sealed(run, lambda values: values.update(format=3))
    with pytest.raises(UserError, match="has format 3, and this version reads 2"):
        checkpoint.read(run)


def test_spaces_and_order_do_not_count(run):
    path = run / "checkpoint/metadata.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(values.items()))))
    assert checkpoint.read(run).step == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"a": 1, "a": 2}', "the key 'a' is there twice"), ('{"a": NaN}', "NaN is no number of JSON"), ("1" * 5000, "not JSON"),
     ("[" * 100_000, "not JSON"), ("{", "not JSON"), ("\ud800", "not JSON"), ('{"a": "\\ud800"}', "not JSON")],
)  # fmt: skip
def test_json_that_readers_would_take_differently(text, message):
    with pytest.raises(UserError, match=f"file is damaged, not JSON: .*{message}" if "not" not in message else message):
        files.parse(text.encode("utf-8", "surrogatepass"), Path("file"))


def test_a_key_that_is_there_twice_is_found_at_once(monkeypatch):
    """However many keys there are: a list of 100,000 was searched once for each."""
    compared = 0

    class Name(str):
        def __hash__(self):
            return super().__hash__()

        def __eq__(self, other):
            nonlocal compared
            compared += 1
            return super().__eq__(other)

    names = [Name(i) for i in range(300)] + ["299"]
    with pytest.raises(ValueError, match="the key '299' is there twice"):
        files.once([(name, 0) for name in names])
    assert compared < 10 * len(names)


@pytest.mark.parametrize(("name", "value"), [("learning_rate", 0.5), ("seed", 7), ("width", 16), ("dropout", 0.5)])
def test_config_json_edited_by_hand_is_refused(run, name, value, capsys):
    edit(run / "config.json", lambda values: values.update({name: value}))
    for command in (lambda: generate.main(["run"]), lambda: evaluate.main(["run"]), lambda: main(ON)):
        assert command() == 2
        refused(capsys, f"config.json says {name} {value}, its checkpoint", "change it back", "a new run may have --")


def test_config_json_counts_for_what_may_change(run, capsys):
    edit(run / "config.json", lambda values: values.update(steps=5, eval_every=1))
    assert main(["--resume", "run", "--no-plot", "--data=text"]) == 0
    out = capsys.readouterr().out
    assert "note: run/config.json says steps 5, its checkpoint 3; the run goes on with 5" in out
    assert "note: run/config.json says eval_every 1, its checkpoint 2" in out
    assert checkpoint.read(run).config.steps == 5
    assert [row["step"] for row in metrics.read(run) if row["val_loss"] is not None] == [2, 3, 4, 5]


def rewrite(run, name, change):
    """Change the arrays of a file, and seal it."""
    path = run / "checkpoint" / name
    found = {key: array.copy() for key, array in load_file(path).items()}
    change(found)
    save_file(found, path)
    sealed(run)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("norm.weight.exp_avg"), "norm.weight.exp_avg is missing"),
        (lambda a: [a.pop(key) for key in list(a) if key.startswith("norm.")], "norm.weight.step is missing"),
        (lambda a: a.clear(), "embedding.weight.step is missing"),
        (lambda a: a.update(more=a["norm.bias.exp_avg"]), "unexpected more"),
        (lambda a: a["norm.bias.exp_avg"].fill(-np.inf), "impossible numbers in norm.bias.exp_avg"),
        (lambda a: a["norm.bias.exp_avg_sq"].fill(-1), "impossible numbers in norm.bias.exp_avg_sq"),
        (lambda a: a["norm.bias.step"].fill(4), "impossible numbers in norm.bias.step"),
        (lambda a: a["norm.bias.step"].fill(0), "impossible numbers in norm.bias.step"),
        (lambda a: a.update({"norm.bias.exp_avg": a["norm.bias.exp_avg"].astype(np.float64)}), r"norm.bias.exp_avg is F64"),
    ],
)  # fmt: skip
def test_a_state_of_the_optimizer_that_no_run_has(run, change, message, capsys):
    rewrite(run, checkpoint.OPTIMIZER, change)
    assert main(ON) == 2
    refused(capsys, message)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite(run, value, capsys):
    rewrite(run, checkpoint.WEIGHTS, lambda a: a["norm.bias"].fill(value))
    for command in (lambda: generate.main(["run", "--temperature=0"]), lambda: evaluate.main(["run", "--json"])):
        assert command() == 2
        refused(capsys, "impossible numbers in norm.bias")


@pytest.mark.parametrize(
    "shape", [[1] * 65 + [8], [8, 10**30], [-8], [8.0], ["8"], "8", None, [True], [[8]], [2**63, 2]]
)  # fmt: skip
def test_a_header_with_an_impossible_shape(run, shape):
    path = run / "checkpoint" / checkpoint.WEIGHTS
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["norm.bias"]["shape"] = shape
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
    sealed(run)
    with pytest.raises(UserError, match=r"cut off or altered: norm.bias is ") as error:
        checkpoint.read(run)
    assert len(str(error.value)) < 400


def test_two_small_files_do_not_make_a_large_model(run, monkeypatch, capsys):
    """The model that they describe is compared with the weights before anything is allocated."""
    monkeypatch.setattr("gpt.run.checkpoint.build", lambda config: pytest.fail("it makes a model"))
    edit(run / "config.json", lambda values: values.update(width=2_000))
    sealed(run, lambda values: values["config"].update(width=2_000))
    assert generate.main(["run"]) == 2
    refused(capsys, "embedding.weight is F32", "its run needs F32 (16, 2000)")
    edit(run / "config.json", lambda values: values.update(width=10**8))
    sealed(run, lambda values: values["config"].update(width=10**8))
    assert generate.main(["run"]) == 2
    refused(capsys, "GiB to load, and this process may use")


@pytest.mark.parametrize("value", [10**400, 1e400, "x", None, [[]]])
def test_a_number_that_no_float_can_hold(run, value, capsys):
    edit(run / "config.json", lambda values: values.update(learning_rate=value))
    assert main(ON) == 2
    refused(capsys, "config.json")


@pytest.mark.parametrize(
    "changes",
    [{}, {"tied": True}, {"bias": False}, {"positions": "learned"}, {"model": "bigram"}, {"layers": 3}, {"dtype": "float16"}],
)  # fmt: skip
def test_the_shapes_are_those_of_the_model(changes):
    config = TrainConfig(vocab_size=5, width=8, heads=2, context=4, threads=1, **changes)
    model = checkpoint.fresh_model(config)
    assert {name: tuple(p.shape) for name, p in model.named_parameters()} == parameter_shapes(config)
    specs, _ = checkpoint.specs_of(config)
    assert {name: (str(a.dtype), a.shape) for name, a in checkpoint.weight_arrays(model).items()} == {
        name: (spec.dtype, spec.shape) for name, spec in specs.items()
    }


# --------------------------------------------------------------------------------------------------- rows of metrics


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [rows[0], rows[1].replace('"train_loss": ', '"train_loss": NaN, "x": '), rows[2]], "line 2"),
        (lambda rows: [rows[0], rows[1][:30], rows[2]], "line 2 is no row of a run: not JSON"),
        (lambda rows: [rows[0], rows[0], rows[2]], "line 2 is no row of a run: step 1 stands after step 1"),
        (lambda rows: rows[::-1], "step 2 stands after step 3"),
        (lambda rows: [rows[0], " " * 5000, rows[2]], "line 2 is longer than 4,096 bytes"),
        (lambda rows: [rows[0].replace('"step": 1', '"step": true')], "step must be a number"),
        (lambda rows: [rows[0].replace('"step": 1', '"step": 1.5')], "step must be a whole number"),
        (lambda rows: [rows[0].replace('"seconds": ', '"seconds": 1e999, "x": ')], "line 1"),
        (lambda rows: [rows[0].replace('"step": 1', '"step": 1' + "0" * 400)], "step must be a number"),
    ],
)
def test_damaged_rows_are_named_before_anything_is_written(run, change, message, capsys):
    path = run / "metrics.jsonl"
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
    before = path.read_bytes()
    assert main([*ON, "--data=text"]) == 2
    refused(capsys, "metrics.jsonl is damaged", message)
    assert path.read_bytes() == before
    assert checkpoint.read(run).step == 3


@pytest.mark.parametrize("kept", [0, 1])
def test_rows_that_are_missing_are_told(run, kept, capsys):
    lost = 3 - kept - (checkpoint.read(run).pending is not None)  # a row that is still to be evaluated is written again
    path = run / "metrics.jsonl"
    path.write_text("".join(line + "\n" for line in path.read_text().splitlines()[:kept]))
    assert main(["--resume", "run", "--steps=4", "--no-plot", "--data=text"]) == 0
    assert f"note: metrics.jsonl has no row for {lost} of the 3 steps" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------ a text is its content


def weights(run):
    return Path(run, "checkpoint/weights.safetensors").read_bytes()


@pytest.mark.parametrize("how", ["renamed", "CRLF and a mark", "through a link"])
def test_a_text_is_known_by_its_content(trained, run, how, capsys):
    Path("here").mkdir()
    new = Path("here/again.txt")
    if how == "through a link":
        new.symlink_to(Path("text").absolute())
    else:
        new.write_bytes(TEXT.encode() if how == "renamed" else b"\xef\xbb\xbf" + TEXT.replace(". ", ".\r\n").encode())
    if how == "CRLF and a mark":  # it was trained on the same text with LF
        Path("text").write_text(TEXT.replace(". ", ".\n"))
        shutil.rmtree(run)
        assert main([*TINY, "--out=run", "--no-plot"]) == 0
    shutil.copytree(run, "moved run")
    edit(Path("moved run/config.json"), lambda values: values.update(data=str(Path("text").absolute())))
    assert main(["--resume", "moved run", "--steps=4", "--quiet", "--no-plot"]) == 0  # config.json says where it is
    assert main([*ON, "--no-plot", f"--data={new}"]) == 0
    assert weights("run") == weights("moved run")
    assert checkpoint.read(run).config.data == str(new.absolute())
    assert evaluate.main(["run"]) == 0


def test_a_text_that_is_gone(run, capsys):
    edit(run / "config.json", lambda values: values.update(data="/nowhere/text"))
    for command in (lambda: main(ON), lambda: evaluate.main(["run"])):
        assert command() == 2
        refused(capsys, "cannot read /nowhere/text: No such file", "give --data PATH")
    assert main([*ON, "--no-plot", "--data=text"]) == 0


def test_another_text_is_refused(run, capsys):
    Path("other").write_text(TEXT + "!")
    assert main([*ON, "--data=other"]) == 2
    refused(capsys, "run was trained on another text", "--init run --data other begins a new run with its weights")
    edit(run / "config.json", lambda values: values.update(data=str(Path("other").absolute())))
    assert main(ON) == 2
    refused(capsys, "has changed since run was trained on it", "give --data PATH")


@needs_posix
@pytest.mark.parametrize("data", ["/dev/zero", "FIFO", "folder", "a\0b"])
def test_a_run_may_not_name_a_device_as_its_text(run, data, capsys):
    os.mkfifo("FIFO")
    os.mkdir("folder")
    edit(run / "config.json", lambda values: values.update(data=data))
    assert main(ON) == 2
    refused(capsys, "give --data PATH")


def test_the_documentation_of_another_python(run, monkeypatch, capsys):
    new = ["--out=docs", "--no-plot", *[flag for flag in TINY if flag != "--data=text"], "--data=python-docs"]
    monkeypatch.setattr("gpt.corpus.python_docs", lambda: TEXT)
    assert main(new) == 0
    monkeypatch.setattr("gpt.corpus.python_docs", lambda: TEXT + "more")
    assert main(["--resume", "docs", "--quiet"]) == 2
    refused(capsys, "python-docs has changed since docs was trained on it; every version of Python has its own")
    assert main(["--resume", "docs", "--steps=4", "--no-plot", "--quiet", "--data=text"]) == 0


# --------------------------------------------------------------------------------------- a new run from old weights


def begun(*line):
    """Begin a new run with the weights of `run`, and stop it before its first step."""
    return main(
        ["--init=run", "--quiet", "--no-plot", "--steps=2", "--warmup=2", "--batch-size=2", "--threads=1", *line]
    )


def test_a_new_run_begins_with_the_weights(run, monkeypatch, capsys):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    Path("other").write_text("the times, the best. " * 30)
    monkeypatch.setattr("gpt.job.mean_loss", lambda *_, **__: pytest.fail("never"))
    monkeypatch.setattr("gpt.train.Interrupt.signal", 15, raising=False)
    stop = "gpt.run.interrupt.Interrupt.__enter__"
    monkeypatch.setattr(stop, lambda self: setattr(self, "signal", 15) or self)
    assert begun("--data=other", "--out=new", "--context=4", "--dropout=0.5", "--seed=3") == 143
    old, new = checkpoint.read(run), checkpoint.read(Path("new"))
    assert all(np.array_equal(new.weights[name], array) for name, array in old.weights.items())
    assert (new.step, new.seconds < 60, new.optimizer, new.tokenizer.characters) == (
        0,
        True,
        {},
        old.tokenizer.characters,
    )
    assert (new.config.context, new.config.dropout, new.config.seed, new.config.width) == (4, 0.5, 3, 8)
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_it_trains_on(run):
    Path("other").write_text("the times, the best. " * 30)
    assert begun("--data=other", "--out=new") == 0
    assert main(["--resume=new", "--steps=3", "--quiet", "--no-plot"]) == 0
    assert checkpoint.read(Path("new")).step == 3
    assert begun("--data=other", "--out=double", "--dtype=float64") == 0
    assert checkpoint.read(Path("double")).weights["norm.bias"].dtype == np.float64


def test_it_takes_the_best_that_the_run_keeps(run):
    shutil.copytree(run, "kept")
    keep_best(run)
    saves(run / "best", 2)
    assert begun("--data=text", "--out=new", "--learning-rate=1e-30") == 0
    assert np.allclose(checkpoint.read(Path("new")).weights["norm.weight"], 2)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            ["--data=other"],
            "other has the characters 'X', 'Y' (the first at offset 105), which the model's vocabulary of 16 characters",
        ),
        (["--width=16"], "--width 16: the weights that it begins with have 8; leave the flag out"),
        (["--tied"], "--tied True: the weights that it begins with have False"),
        (["--init=nowhere"], "nowhere is not a run folder: there is no such folder; give a folder"),
        (["--init=text"], "text is not a run folder: it is a file;"),
        (["--resume=run"], "--init run and --resume: a resumed run keeps its own"),
    ],
)
def test_what_does_not_fit_the_weights(run, line, message, capsys):
    Path("other").write_text(TEXT + "XY")
    data = [] if any(word.startswith(("--data", "--resume")) for word in line) else ["--data=text"]
    assert begun(*data, *line, *([] if "--resume=run" in line else ["--out=new"])) == 2
    refused(capsys, message)
    assert not Path("new").exists()


def test_learned_positions_bound_the_context(run, capsys):
    assert main([*TINY, "--positions=learned", "--out=learned", "--no-plot"]) == 0
    assert main([*TINY, "--init=learned", "--context=9", "--out=new"]) == 2
    refused(capsys, "--context 9: the weights that it begins with have 8 positions")
    assert (
        main([*TINY, "--init=learned", "--context=4", "--learning-rate=1e-30", "--steps=1", "--out=new", "--no-plot"])
        == 0
    )
    old, new = (checkpoint.load(name)[0].position_embedding.weight.detach().numpy() for name in ("learned", "new"))
    assert old.shape == (8, 8) and new.shape == (4, 8)
    assert (old[:4] == new).all()


@pytest.mark.parametrize("init", ["fan-in", "gpt2"])
def test_the_flag_still_draws_weights(run, init):
    assert main([*TINY, f"--init={init}", "--out=new", "--no-plot"]) == 0
    assert json.loads(Path("new/config.json").read_text())["init"] == init


# --------------------------------------------------------------------------------------------------------- programs


@pytest.mark.programs
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the programs fork")
@pytest.mark.parametrize(
    "line",
    [["altered.py", "--count=20"], ["killed.py", "--count=3", "--no-calls"], ["racing.py", "--reads=30"]],
    ids=lambda line: line[0],
)
def test_the_programs_that_alter_kill_and_race(line):
    """A short form of what docs/proof.md counts."""
    program = Path(__file__).parents[1] / "hostile" / line[0]
    done = subprocess.run([sys.executable, str(program), *line[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_lock_is_no_content(run):
    (run / ".lock").write_text("of somebody else")
    with locked(run):
        pass
    assert (run / ".lock").read_text() == "of somebody else"
    assert stat.S_ISREG((run / ".lock").stat().st_mode)
