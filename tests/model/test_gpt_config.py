"""The configuration, its command line, and how impossible values are refused."""

from __future__ import annotations

import dataclasses
import math

import pytest

from gpt.cli import new_config
from gpt.config import NEWER, RECIPES, GPTConfig, TrainConfig, flag, from_dict
from gpt.errors import UserError
from gpt.generate import main as generate
from gpt.job import make_parser
from gpt.optimizer import learning_rate
from gpt.train import main as train

REFUSED = {
    "--layers 0": "--layers 0: it must be a whole number from 1",
    "--layers 1001 --width 2": "--layers 1001: it must be a whole number from 1 to 1,000",
    "--data=": "no text is named: --data takes shakespeare",
    "--data python-docs --width 1000000": "GiB to train, and this process may use",
    "--width -8": "--width -8: it must be a whole number",
    "--context 1.5": "--context 1.5: it must be a whole number",
    "--steps many": "--steps many: it must be a whole number",
    "--dropout 1": "--dropout 1.0: it must be a number of at least 0 and below 1",
    "--learning-rate 0": "--learning-rate 0.0: it must be a number above 0",
    "--learning-rate nan": "--learning-rate nan",
    "--weight-decay inf": "--weight-decay inf",
    "--grad-clip -1": "--grad-clip -1.0: it must be a number of at least 0",
    "--seed -1": "--seed -1: it must be a whole number from 0",
    "--dtype float8": "--dtype float8: it must be one of float16, float32, float64",
    "--tf32": "--tf32 rounds a GPU's products of float32, not those of --device cpu --dtype float32; take --no-tf32",
    "--model rnn": "--model rnn: it must be one of gpt, bigram",
    "--recipe gpt5": "choose from",
    "--heads 3": "with this width, heads can be 1, 2, 4, 8, 16, 32, 64",
    "--width 12 --heads 4": "--positions rotary turns pairs of numbers",
    "--heads 4 --kv-heads 3": "--kv-heads 3 does not divide --heads 4: with these heads, it can be 1, 2, 4",
    "--activation elu": "--activation elu: it must be one of gelu-tanh, gelu, relu, silu, tanh, swiglu",
    "--norm-eps 0": "--norm-eps 0.0: it must be a number above 0",
    "--batch-size 2 --threads 3": "at most as many threads as the batch has windows",
    "--wdth 64": "unrecognized arguments: --wdth 64; did you mean --width?",
    "--unheard-of": "unrecognized arguments: --unheard-of; see python -m gpt.train --help",
    "-n 4": "unrecognized arguments: -n 4; several processes train by mpiexec -n N",
    "--steps": "argument --steps: expected one argument",
    "--model bigram --heads 2": "--heads: --model bigram has no transformer",
    "--resume x --out y": "--out and --resume",
    "--resume x --recipe nanogpt": "--recipe and --resume",
}


@pytest.mark.parametrize("line", REFUSED)
def test_an_impossible_value_is_refused_with_what_would_be_right(line, capsys):
    assert train(line.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("gpt.train: ")
    assert error.count("\n") == 1
    assert REFUSED[line] in error


@pytest.mark.parametrize("line", ["--temperature -1", "--temperature nan", "--top-k 0", "--top-p 1.5", "--tokens x"])
def test_generate_refuses_as_well(line, capsys):
    assert generate(["run", *line.split()]) == 2
    error = capsys.readouterr().err
    assert line.split()[0] in error
    assert "is not a" in error
    assert error.count("\n") == 1


def test_a_device_that_is_not_there_says_what_is_missing(monkeypatch, capsys):
    monkeypatch.setattr("tinytensor.cuda.is_available", lambda: False)
    assert train(["--device", "cuda"]) == 2
    error = capsys.readouterr().err
    assert "pip install" in error or "no NVIDIA GPU" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("line", ["--cuda-graph", "--cuda-graph --device cuda --threads 2"])
def test_a_graph_that_cannot_be_recorded_is_refused(line, capsys):
    assert train(line.split()) == 2
    error = capsys.readouterr().err
    assert "--cuda-graph records" in error and error.count("\n") == 1


def test_help_has_every_field_with_its_default_and_unit():
    text = " ".join(make_parser().format_help().split())
    for each in dataclasses.fields(TrainConfig):
        if "group" in each.metadata:
            assert flag(each.name) in text
            assert f"(default: {each.metadata['shown'] or each.default})" in text
    assert "[steps]" in text


def test_from_python_an_impossible_value_is_a_value_error():
    with pytest.raises(ValueError, match="--layers"):
        GPTConfig(layers=0)
    with pytest.raises(UserError, match="--bias 1: it must be true or false"):
        GPTConfig(bias=1)
    with pytest.raises(UserError, match=r"--width 8\.0"):
        GPTConfig(width=8.0)


def test_json_round_trip_and_its_errors():
    config = RECIPES["nanogpt"]
    values = dataclasses.asdict(config)
    assert from_dict(values, "here") == config
    with pytest.raises(UserError, match=r"here.*missing \['width'\], unexpected \['wide'\]"):
        from_dict({"wide" if k == "width" else k: v for k, v in values.items()}, "here")
    with pytest.raises(UserError, match="here: --heads 7 does not divide"):
        from_dict({**values, "heads": 7}, "here")
    with pytest.raises(UserError, match="not a run's configuration"):
        from_dict([], "here")


@pytest.mark.parametrize("gelu, activation", [("tanh", "gelu-tanh"), ("exact", "gelu")])
def test_a_configuration_of_before_has_its_names_of_then(gelu, activation):
    values = {k: v for k, v in dataclasses.asdict(TrainConfig(width=8)).items() if k not in NEWER and k != "activation"}
    assert from_dict({**values, "gelu": gelu}, "here") == TrainConfig(width=8, activation=activation)
    with pytest.raises(UserError, match="unexpected"):
        from_dict({**values, "gelu": "sharp"}, "here")


def test_a_flag_changes_its_recipe_and_nothing_else():
    config = new_config("nanogpt", {"steps": 3})
    assert config == dataclasses.replace(RECIPES["nanogpt"], steps=3)


def test_nanogpt_recipe_has_its_schedule():
    """The learning rate of nanoGPT's train.py, written down from its description."""
    config = RECIPES["nanogpt"]
    for step in (0, 50, 99, 100, 101, 1000, 1999):
        if step < 100:
            expected = 1e-3 * (step + 1) / 101
        else:
            ratio = (step - 100) / (2000 - 100)
            expected = 1e-4 + 0.5 * (1 + math.cos(math.pi * ratio)) * (1e-3 - 1e-4)
        assert learning_rate(step, config) == pytest.approx(expected, rel=1e-12)


def test_linear_schedule_rises_stays_and_falls():
    config = TrainConfig(
        steps=100, warmup=9, decay=0.5, learning_rate=1.0, final_learning_rate=0.2,
        decay_shape="linear",
    )  # fmt: skip
    rates = [learning_rate(step, config) for step in range(101)]
    assert rates[:9] == pytest.approx([(step + 1) / 10 for step in range(9)])
    assert rates[9:51] == [1.0] * 42
    assert rates[75] == pytest.approx(0.6)
    assert rates[100] == pytest.approx(0.2)


def test_no_warmup_no_decay_is_constant():
    config = TrainConfig(steps=10, warmup=0, decay=0.0, learning_rate=0.5)
    assert {learning_rate(step, config) for step in range(10)} == {0.5}
