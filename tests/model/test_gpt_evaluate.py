"""The loss over a whole split: every token once; and text from a model."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import tqdm
from hypothesis import given
from hypothesis import strategies as st
from profiles import cases

import tinytensor
from gpt import evaluate, generate
from gpt.completion import encode_prompt
from gpt.config import GPTConfig
from gpt.evaluate import mean_loss, windows
from gpt.model import GPT
from gpt.run.checkpoint import read, restore_model, save
from gpt.sampling import candidates, sample
from gpt.tokenizers import CharTokenizer
from gpt.train import main as train

CONFIG = GPTConfig(vocab_size=7, context=8, width=8, layers=1, heads=2)
TEXT = "a stitch in time saves nine. " * 40
TINY = [
    "--layers=1", "--width=16", "--heads=2", "--context=16", "--batch-size=4", "--threads=1",
    "--steps=3", "--eval-every=3", "--no-plot", "--quiet",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    (folder / "text").write_text(TEXT)
    assert train([*TINY, "--data", str(folder / "text"), "--out", str(folder / "run")]) == 0
    return folder / "run"


@cases(100)
@given(st.integers(2, 300), st.integers(1, 40))
def test_every_token_but_the_first_is_predicted_once(length, context):
    ids = np.arange(length)
    parts = list(windows(ids, context))
    targets = np.concatenate([y.ravel() for _, y in parts])
    assert targets.tolist() == list(range(1, length))
    assert all(np.array_equal(x + 1, y) for x, y in parts)
    assert all(x.shape[1] <= context for x, _ in parts)


@cases(100)
@given(st.integers(2, 300), st.integers(1, 20), st.integers(1, 30))
def test_a_part_of_the_split_is_evenly_spaced(length, context, limit):
    parts = list(windows(np.arange(length), context, limit))
    starts = np.concatenate([x[:, 0] for x, _ in parts])
    full = (length - 1) // context
    if limit < full:
        assert len(starts) == limit
        gaps = np.diff(starts) // context
        assert gaps.size == 0 or gaps.max() - gaps.min() <= 1
    else:
        assert sum(y.size for _, y in parts) == length - 1


def test_mean_loss_is_the_brute_force_mean():
    model = GPT(CONFIG)
    ids = np.random.default_rng(0).integers(0, 7, 3 * 8 + 6)
    losses = []
    for i in range(1, len(ids)):
        start = (i - 1) // 8 * 8
        logits, _ = model(tinytensor.tensor([ids[start:i].tolist()]))
        row = logits.detach().numpy()[0, -1].astype(np.float64)
        losses.append(np.log(np.exp(row).sum()) - row[ids[i]])
    loss, predictions = mean_loss(model, ids)
    assert predictions == len(ids) - 1
    assert loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert model.training


def test_an_evaluation_drops_nothing():
    ids = np.random.default_rng(0).integers(0, 7, 30)
    model, sober = GPT(dataclasses.replace(CONFIG, dropout=0.5)), GPT(CONFIG)
    sober.load_state_dict(model.state_dict())
    assert mean_loss(model, ids) == mean_loss(model, ids) == mean_loss(sober, ids)
    assert model.training


def test_json(run, capsys):
    assert evaluate.main([str(run), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result) == {"loss", "bits_per_byte", "tokens", "checkpoint", "step"}
    assert result["tokens"] == len(TEXT) - int(0.9 * len(TEXT)) - 1
    assert result["bits_per_byte"] == pytest.approx(result["loss"] / math.log(2))


def test_a_changed_text_is_noticed(run, capsys):
    text = run.parent / "text"
    text.write_text(TEXT + "in time")
    try:
        assert evaluate.main([str(run)]) == 2
        assert "text has changed since" in capsys.readouterr().err
        assert evaluate.main([str(run), "--data", str(text)]) == 0
        assert evaluate.main([str(run), "--data", ""]) == 2
    finally:
        text.write_text(TEXT)


def test_text_output_has_the_baselines(run, capsys):
    assert evaluate.main([str(run)]) == 0
    out = capsys.readouterr().out
    assert "nats per token" in out and "bits per byte" in out and "bigram" in out


def test_a_long_evaluation_shows_how_far_it_is(run, monkeypatch, capsys):
    """On a terminal, after two seconds; here at once. Not beside JSON."""
    made, make = [], tqdm.tqdm.__init__

    def at_once(self, *args, **kwargs):
        made.append(kwargs.pop("delay"))
        make(self, *args, **{**kwargs, "mininterval": 0})

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(tqdm.tqdm, "__init__", at_once)
    assert evaluate.main([str(run)]) == 0
    said = capsys.readouterr()
    assert made == [2]
    assert re.search(r"validation   0 % .*validation +[1-9]\d* % █", said.err)
    assert "validation 1" not in said.out
    assert evaluate.main([str(run), "--json"]) == 0
    assert made == [2]


@pytest.mark.parametrize("broken", ["__init__", "update"])
def test_a_bar_that_breaks_costs_no_evaluation(broken, run, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(tqdm.tqdm, broken, lambda *_, **__: 1 / 0)
    assert evaluate.main([str(run)]) == 0
    assert "bits per byte" in capsys.readouterr().out


def test_another_text(run, tmp_path, capsys):
    (tmp_path / "other").write_text("nine vest. massive a " * 30)
    assert evaluate.main([str(run), "--data", str(tmp_path / "other"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tokens"] == 62
    (tmp_path / "other").write_text("Nine! " * 100)
    assert evaluate.main([str(run), "--data", str(tmp_path / "other")]) == 2
    error = capsys.readouterr().err
    assert "the characters '!', 'N' (the first at offset 0), which the model's vocabulary" in error
    assert error.count("\n") == 1


# ------------------------------------------------------------------------------------ generation

LOGITS = np.log(np.array([0.1, 0.4, 0.2, 0.3]))


def distribution(**how):
    tokens, probabilities = candidates(tinytensor.from_numpy(LOGITS), **{"temperature": 1.0, **how})
    return dict(zip(tokens.tolist(), probabilities.tolist(), strict=True))


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({}, {1: 0.4, 3: 0.3, 2: 0.2, 0: 0.1}),
        ({"temperature": 0.5}, {1: 16 / 30, 3: 9 / 30, 2: 4 / 30, 0: 1 / 30}),
        ({"temperature": 0}, {1: 1.0}),
        ({"temperature": 1e-320}, {1: 1.0, 3: 0.0, 2: 0.0, 0: 0.0}),
        ({"temperature": 1e-6}, {1: 1.0, 3: 0.0, 2: 0.0, 0: 0.0}),
        ({"top_k": 2}, {1: 4 / 7, 3: 3 / 7}),
        ({"top_k": 9}, {1: 0.4, 3: 0.3, 2: 0.2, 0: 0.1}),
        ({"top_p": 0.69}, {1: 4 / 7, 3: 3 / 7}),
        ({"top_p": 0.71}, {1: 4 / 9, 3: 3 / 9, 2: 2 / 9}),
        ({"top_p": 0.0}, {1: 1.0}),
        ({"top_p": 1.0}, {1: 0.4, 3: 0.3, 2: 0.2, 0: 0.1}),
        ({"top_k": 3, "top_p": 0.5}, {1: 4 / 7, 3: 3 / 7}),
    ],
)
def test_candidates(how, expected):
    assert distribution(**how) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("temperature", [1e-50, 1e-320])
def test_a_tiny_temperature_in_float32(temperature):
    tokens, probabilities = candidates(tinytensor.tensor([1.0, 3.0, 2.0]), temperature)
    assert tokens[0].item() == 1
    assert probabilities.tolist() == [1.0, 0.0, 0.0]


class Constant(tinytensor.nn.Module):
    """A model that predicts LOGITS whatever it sees, and notes how long a window it saw."""

    def __init__(self):
        super().__init__()
        self.config = CONFIG
        self.logits = tinytensor.nn.Parameter(tinytensor.from_numpy(LOGITS))
        self.longest = 0

    def forward(self, ids, targets=None):
        self.longest = max(self.longest, ids.shape[1])
        return self.logits.expand(1, ids.shape[1], 4), None


def test_sampled_frequencies_and_the_window():
    model = Constant()
    generator = tinytensor.Generator().manual_seed(0)
    tokens = list(sample(model, [0], 3000, generator=generator, use_cache=False))
    shares = np.bincount(tokens, minlength=4) / 3000
    np.testing.assert_allclose(shares, np.exp(LOGITS), atol=0.03)  # three standard deviations
    assert model.longest == CONFIG.context


def test_greedy_takes_the_most_probable():
    model = GPT(CONFIG)
    tokens = list(sample(model, [1, 2], 5, temperature=0))
    logits, _ = model(tinytensor.tensor([[1, 2, *tokens[:-1]]]))
    assert logits.argmax(-1)[0, 1:].tolist() == tokens


def test_no_prompt_is_a_new_line():
    assert encode_prompt(CharTokenizer("\nab"), "") == [0]
    assert encode_prompt(CharTokenizer("ab"), "") == [0]
    assert encode_prompt(CharTokenizer("\nab"), "ba") == [2, 1]


def test_generate_streams_and_repeats(run, capsys):
    line = [str(run), "--prompt", "in time", "--tokens", "40", "--top-k", "5", "--top-p", "0.9"]
    texts = []
    for seed in ("1", "1", "2"):
        assert generate.main([*line, "--seed", seed]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != texts[2]
    assert all(text.startswith("in time") and len(text) == 7 + 40 + 1 for text in texts)


def test_a_terminal_without_the_characters(tmp_path):
    (tmp_path / "text").write_text("é" * 400, "utf-8")
    assert train([*TINY, "--data", str(tmp_path / "text"), "--out", str(tmp_path / "run")]) == 0
    done = subprocess.run(
        [sys.executable, "-m", "gpt.generate", str(tmp_path / "run"), "--tokens", "3"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONIOENCODING": "ascii"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("\\xe9" * 3 + "\n", 0)
    assert "Traceback" not in done.stderr


def test_a_prompt_outside_the_vocabulary_is_named(run, capsys):
    assert generate.main([str(run), "--prompt", "ROMEO:"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "--prompt has the characters ':', 'E', 'M', 'O', 'R'" in captured.err
    assert "near it has 'e', 'm'" in captured.err
    assert captured.err.count("\n") == 1


def test_many_unknown_characters_are_named_in_a_short_line(run, capsys):
    assert generate.main([str(run), "--prompt", "".join(map(chr, range(0x4E00, 0x5E00)))]) == 2
    error = capsys.readouterr().err
    assert "and 4088 more" in error and "leave them out" in error
    assert len(error) < 300


@given(st.text(st.sampled_from("aeéèñ̃́̈ö"), min_size=1), st.sampled_from(["NFC", "NFD"]), st.sampled_from(["NFC", "NFD"]))
def test_a_prompt_is_spelt_as_the_text(text, ours, theirs):
    """In whatever form the accents of text and prompt are, the model reads the same letters."""
    tokenizer = CharTokenizer.from_text(unicodedata.normalize(ours, text))
    ids = encode_prompt(tokenizer, unicodedata.normalize(theirs, text))
    assert unicodedata.normalize("NFC", tokenizer.decode(ids)) == unicodedata.normalize("NFC", text)


def test_a_text_in_both_forms(capsys):
    tokenizer = CharTokenizer.from_text("caf\u00e9 man\u0303ana")
    assert tokenizer.decode(tokenizer.encode("cafe\u0301")) == "caf\u00e9"
    assert tokenizer.decode(tokenizer.encode("ma\u00f1ana")) == "man\u0303ana"


def test_a_prompt_has_the_line_ends_of_the_text():
    tokenizer = CharTokenizer("\nab")
    assert encode_prompt(tokenizer, "a\r\nb") == encode_prompt(tokenizer, "a\nb") == [1, 0, 2]


def test_the_seed_is_told_and_repeats_the_text(run, capsys):
    line = [str(run), "--tokens", "40"]
    assert generate.main(line) == 0
    first = capsys.readouterr()
    seed = re.search(r"--seed (\d+) writes the same text again", first.err)[1]
    assert generate.main([*line, "--seed", seed]) == 0
    again = capsys.readouterr()
    assert again.out == first.out
    assert "--seed" not in again.err
    assert generate.main([*line, "--temperature", "0"]) == 0
    assert "--seed" not in capsys.readouterr().err  # there is one such text


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("flags", [["--temperature", "0"], [], ["--no-cache"]])
def test_predictions_that_are_not_finite_are_refused(number, flags, run, monkeypatch, capsys):
    """From weights that are finite but too large, or from a spoilt file, which `read` refuses."""

    def spoilt(checkpoint, device):
        model = restore_model(checkpoint, device)
        model.head.weight.data[:] = number
        return model

    monkeypatch.setattr("gpt.run.checkpoint.restore_model", spoilt)
    for command, line in ((generate.main, [str(run), *flags]), (evaluate.main, [str(run), "--json"])):
        assert command(line) == 2
        said = capsys.readouterr()
        assert "not finite" in said.err
        assert "NaN" not in said.out and "Infinity" not in said.out


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_spoilt_weights_are_refused(number, run, tmp_path, capsys):
    """The checksum is right: they were spoilt before they were saved."""
    spoilt = tmp_path / "spoilt"
    spoilt.mkdir()
    saved = read(run)
    saved.weights["head.weight"][0, 0] = number
    save(spoilt, saved)
    (spoilt / "config.json").write_bytes((run / "config.json").read_bytes())
    for command, line in ((generate.main, ["--temperature=0"]), (generate.main, []), (evaluate.main, ["--json"])):
        assert command([str(spoilt), *line]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert "impossible numbers in head.weight" in said.err


def test_generate_and_evaluate_need_no_optimizer(run, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    for path in copy.rglob("optimizer.safetensors"):
        path.unlink()
    for flags in ([], ["--last"]):
        assert generate.main([str(copy), "--tokens=3", *flags]) == 0
        assert evaluate.main([str(copy), *flags]) == 0


def test_a_tilde_is_the_home_folder(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(run.parent))
    monkeypatch.chdir(tmp_path)
    line = [each for each in TINY if each != "--no-plot"]
    assert train([*line, "--steps=1", "--data=~/text", "--out=~/made", "--no-plot"]) == 0
    assert train(["--resume=~/made", "--steps=2", "--quiet", "--no-plot"]) == 0
    assert train([*line, "--init=~/made", "--steps=1", "--data=~/text", "--out=~/more", "--no-plot"]) == 0
    assert generate.main(["~/made", "--tokens=3"]) == 0
    assert evaluate.main(["~/made", "--data=~/text"]) == 0
    assert read(run.parent / "made").step == 2
    assert not list(tmp_path.iterdir())
    for flags in (["--out="], ["--resume="]):
        assert train([*line, *flags]) == 2
        assert "it must be a path" in capsys.readouterr().err


@pytest.mark.parametrize("main", [evaluate.main, generate.main])
def test_what_is_not_a_run_folder(main, tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "is not a run folder" in error
    assert error.count("\n") == 1
