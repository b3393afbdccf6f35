"""Checkpoints: what is saved comes back, and no crash or damage goes unnoticed."""

from __future__ import annotations

import copy
import dataclasses
import errno
import functools
import json
import math
import operator
import os
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt.config import TrainConfig
from gpt.data import batch
from gpt.errors import UserError
from gpt.fast.half import make_scaler
from gpt.optimizer import make_optimizer
from gpt.run import checkpoint, files
from gpt.run.arrays import checksum
from gpt.run.checkpoint import Checkpoint, fresh_model, load, read, save
from gpt.tokenizers import CharTokenizer

CONFIG = TrainConfig(vocab_size=3, context=4, width=8, layers=1, heads=2, batch_size=2, threads=1)


def make(step, config=CONFIG):
    """A checkpoint of a model after one update."""
    model = fresh_model(config)
    optimizer = make_optimizer(model, config)
    x, y = batch(np.arange(50) % 3, config, step)
    _, loss = model(checkpoint.from_numpy(x), checkpoint.from_numpy(y))
    loss.backward()
    optimizer.step()
    weights = checkpoint.weight_arrays(model)
    state = checkpoint.optimizer_arrays(model, optimizer)
    scaler = make_scaler(config)
    scale = scaler.state_dict() if scaler else {}
    return Checkpoint(step, 1.5, config, CharTokenizer("abc"), "0" * 64, weights, state, scale)


@pytest.fixture
def run(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(dataclasses.asdict(CONFIG)))
    save(tmp_path, make(1))
    return tmp_path


def same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        assert array.dtype == theirs[name].dtype, name
        assert np.array_equal(array, theirs[name]), name


@pytest.mark.parametrize("changes", [{}, {"tied": True, "bias": False}, {"dtype": "float64"}, {"dtype": "float16"}])
def test_round_trip(tmp_path, changes):
    config = dataclasses.replace(CONFIG, **changes)
    (tmp_path / "config.json").write_text(json.dumps(dataclasses.asdict(config)))
    saved = make(7, config)
    save(tmp_path, saved)
    found = read(tmp_path)
    assert (found.step, found.seconds, found.config) == (7, 1.5, config)
    assert found.tokenizer.characters == "abc"
    same(found.weights, saved.weights)
    same(found.optimizer, saved.optimizer)
    restored = checkpoint.restore_model(found)
    again = make_optimizer(restored, config)
    checkpoint.restore_optimizer(restored, again, found.optimizer)
    same(checkpoint.weight_arrays(restored), saved.weights)
    same(checkpoint.optimizer_arrays(restored, again), saved.optimizer)
    assert not list(tmp_path.glob("checkpoint.*"))


def test_it_keeps_the_name_of_a_bug(run):
    saved = make(1)
    saved.bug = "no-mask"
    save(run, saved)
    assert read(run).bug == "no-mask"
    assert json.loads((run / "checkpoint" / "metadata.json").read_text())["bug"] == "no-mask"


def test_one_of_an_older_version_has_no_bug(run):
    path = run / "checkpoint" / "metadata.json"
    values = json.loads(path.read_text())
    del values["bug"]
    path.write_text(json.dumps(checkpoint.seal(values)))
    assert read(run).bug == ""


def test_load_gives_model_and_tokenizer(run):
    model, tokenizer = load(run)
    assert not model.training
    logits, _ = model(checkpoint.from_numpy(tokenizer.encode("abca")[None]))
    assert logits.shape == (1, 4, 3)


class Crash(BaseException):
    """The process dies here: nothing is cleaned up after it."""


@pytest.mark.parametrize("error", [Crash(), OSError(errno.ENOSPC, "No space left on device")])
@pytest.mark.parametrize("what", ["create", "rename", "sync_folder", "remove"])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_complete_checkpoint_exists_at_every_instant(run, monkeypatch, what, at, error):
    """Fail at the n-th call of each thing that a save does; then read; then save again."""
    home = os if what == "rename" else files
    original, calls = getattr(home, what), []

    def fail(*args):
        calls.append(args)
        if len(calls) == at + 1:
            raise error
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(home, what, fail)
        message = ""
        try:
            save(run, make(2))
        except Crash:
            pass
        except UserError as failure:
            message = str(failure)
    if message:
        assert "No space left on device" in message
        assert "intact" in message
    assert read(run).step in (1, 2)
    load(run)
    save(run, make(3))
    assert read(run).step == 3
    assert sorted(path.name for path in run.iterdir()) == ["checkpoint", "config.json"]


def test_a_crash_between_the_renames_leaves_the_old_one(run, monkeypatch):
    rename = os.rename

    def last_fails(source, target):
        if os.path.basename(target) == "checkpoint":
            raise Crash
        rename(source, target)

    for step in (2, 3):  # the second save finds what the first one left, and crashes as well
        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", last_fails)
            with pytest.raises(Crash):
                save(run, make(step))
        assert not (run / "checkpoint").exists()
        assert read(run).step == 1
    save(run, make(4))
    assert read(run).step == 4


def test_a_half_written_first_checkpoint_is_none(run):
    shutil.move(run / "checkpoint", run / "checkpoint.new")
    with pytest.raises(UserError, match="not a run folder: it has no checkpoint"):
        read(run)


@pytest.mark.parametrize("name", ["weights.safetensors", "optimizer.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "altered", "missing", "empty"])
def test_damaged_arrays(run, name, damage):
    path = run / "checkpoint" / name
    data = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    else:
        data[-5] ^= 1
        path.write_bytes({"cut": data[:-10], "altered": data, "empty": b""}[damage])
    expected = "No such file" if damage == "missing" else "cut off or altered"
    with pytest.raises(UserError, match=expected):
        read(run)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "damaged"), ("{", "damaged"), ("[]", "damaged"), ("{}", "damaged"),
        ('{"step": 1, "config": {}}', "missing"),
    ],
)  # fmt: skip
def test_damaged_metadata(run, text, message):
    (run / "checkpoint" / "metadata.json").write_text(text)
    with pytest.raises(UserError, match=message):
        load(run)


@pytest.mark.parametrize(
    ("name", "value"),
    [("step", math.inf), ("step", -5), ("step", "1"), ("seconds", -1), ("seconds", "x"),
     ("seconds", math.nan), ("seconds", 10**400), ("sha256", []),
     ("bug", None), ("bug", 1), ("bug", "no-mask\n"), ("bug", "\x1b[31m"), ("ranks", 0),
     ("sha256", dict.fromkeys(checkpoint.FILES, 1.5)), ("sha256", dict.fromkeys(checkpoint.FILES))],
)  # fmt: skip
def test_impossible_metadata(run, name, value):
    edit(run / "checkpoint" / "metadata.json", lambda values: values.update({name: value}))
    with pytest.raises(UserError, match=r"metadata.json is damaged"):
        read(run)


WORDS = (
    "format",
    "loss",
    "step",
    "scale",
    "type",
    "characters",
    "_growth_tracker",
    "weights.safetensors",
    "gpt",
    "abc",
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=3)
    | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3),
    max_leaves=4,
)


def places(value, path=()):
    """The path of every value in a JSON object."""
    for key, inner in value.items():
        yield (*path, key)
        if isinstance(inner, dict):
            yield from places(inner, (*path, key))


@pytest.fixture(scope="module", params=[{}, {"dtype": "float16"}], ids=["float32", "float16"])
def made_once(request, tmp_path_factory):
    """A run folder, and its metadata."""
    config = dataclasses.replace(CONFIG, **request.param)
    run = tmp_path_factory.mktemp("run")
    (run / "config.json").write_text(json.dumps(dataclasses.asdict(config)))
    saved = make(1, config)
    saved.best, saved.pending = {"loss": 1.5, "step": 1}, {"step": 1}
    save(run, saved)
    return run, json.loads((run / "checkpoint" / "metadata.json").read_text())


def with_another(metadata, path, change):
    """The metadata, where change(holder, key) has removed or replaced the value at the path."""
    values = copy.deepcopy(metadata)
    change(functools.reduce(operator.getitem, path[:-1], values), path[-1])
    return values


def is_a_checkpoint_or_a_line(run, values):
    """Seal the metadata and read the run. What refuses them is one line, which names the file."""
    (run / "checkpoint" / "metadata.json").write_text(json.dumps(checkpoint.seal(values)))
    try:
        found = read(run)
    except UserError as error:
        said = str(error)
        assert str(run) in said and "\n" not in said and len(said) < 2000
    else:
        assert found.config.vocab_size == 3


@pytest.mark.parametrize(
    "change",
    [lambda holder, key: holder.pop(key), lambda holder, key: holder.update({key: list(holder[key])})],
    ids=["removed", "replaced by its keys"],
)
def test_every_value_of_sealed_metadata_may_be_missing_or_a_list(made_once, change):
    run, metadata = made_once
    for path in places(metadata):
        try:
            values = with_another(metadata, path, change)
        except TypeError:  # a number has no keys
            continue
        is_a_checkpoint_or_a_line(run, values)


@given(data=st.data())
def test_every_value_of_sealed_metadata_may_be_another(made_once, data):
    run, metadata = made_once
    path, other = data.draw(st.sampled_from(sorted(places(metadata)))), data.draw(JSON)
    is_a_checkpoint_or_a_line(run, with_another(metadata, path, lambda holder, key: holder.update({key: other})))


@pytest.mark.parametrize("raw", [b"{", b"", b"\xff", b"[" * 100_000])
@pytest.mark.parametrize("name", ["config.json", "checkpoint/metadata.json"])
def test_a_file_that_is_no_json_is_named(run, name, raw):
    (run / name).write_bytes(raw)
    with pytest.raises(UserError, match=rf"{name} is damaged, not JSON"):
        read(run)


def edit(path, change):
    """Change a JSON file. metadata.json gets the checksum of what it says now, as if a run had written that."""
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(checkpoint.seal(values) if path.name == "metadata.json" else values))


def test_a_checkpoint_of_another_shape(run):
    edit(run / "config.json", lambda config: config.update(width=16))
    with pytest.raises(UserError, match="says width 16, its checkpoint 8"):
        load(run)
    edit(run / "checkpoint" / "metadata.json", lambda values: values["config"].update(width=16))
    with pytest.raises(UserError, match=r"embedding.weight is F32 \(3, 8\), and its run needs F32 \(3, 16\)"):
        load(run)


def test_a_tokenizer_of_another_size(run):
    edit(
        run / "checkpoint" / "metadata.json",
        lambda values: values["tokenizer"].update(characters="abcd"),
    )
    with pytest.raises(UserError, match="tokenizer"):
        load(run)


def test_an_optimizer_of_another_shape(run):
    model, _ = load(run)
    optimizer = make_optimizer(model, CONFIG)
    arrays = read(run).optimizer
    for name, array in (("nothing.exp_avg", np.zeros(3)), ("norm.weight.exp_avg", np.zeros(3))):
        with pytest.raises(UserError, match="does not fit the model"):
            checkpoint.restore_optimizer(model, optimizer, {**arrays, name: array})


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_config_json_is_needed(run, text):
    path = run / "config.json"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(UserError, match=r"config\.json|not a run|damaged"):
        load(run)


def test_metadata_is_readable(run):
    metadata = json.loads((run / "checkpoint" / "metadata.json").read_text())
    assert metadata["step"] == 1
    assert metadata["config"]["width"] == 8
    assert set(metadata["versions"]) == {"python", "numpy", "tinytensor"}
    assert set(metadata["sha256"]) == {"weights.safetensors", "optimizer.safetensors"}


@pytest.mark.parametrize("name", ["weights.safetensors", "optimizer.safetensors"])
def test_arrays_of_the_right_checksum_in_another_format(run, name):
    path, metadata = run / "checkpoint" / name, run / "checkpoint/metadata.json"
    path.write_bytes(b"not safetensors")
    described = json.loads(metadata.read_text())
    described["sha256"][name] = checksum(b"not safetensors")
    metadata.write_text(json.dumps(checkpoint.seal(described)))
    with pytest.raises(UserError, match=f"{name} is cut off or altered: its header would have"):
        read(run)


def test_metadata_that_cannot_be_read(run):
    (run / "checkpoint/metadata.json").unlink()
    with pytest.raises(UserError, match=r"cannot read .*metadata\.json: No such file"):
        read(run)


def test_a_system_that_cannot_sync_folders(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text(json.dumps(dataclasses.asdict(CONFIG)))
    monkeypatch.delattr("os.O_DIRECTORY")
    save(tmp_path, make(1))
    assert read(tmp_path).step == 1
