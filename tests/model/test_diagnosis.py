"""What gpt.doctor measures, beside slow definitions; its rules on records made by hand; and the command."""

from __future__ import annotations

import json
import math
import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import cases

import tinytensor
from gpt import doctor, prepare
from gpt.config import TrainConfig
from gpt.diagnosis import check, learning_rate, measures, probe, range_test, records, report, rules
from gpt.diagnosis.attention import attention_saturated
from gpt.diagnosis.check import Check, explained, findings
from gpt.diagnosis.layers import by_block
from gpt.diagnosis.patient import admit
from gpt.diagnosis.recorded import Recorded
from gpt.model import GPT, attention
from gpt.run import failure
from gpt.run.baselines import Baselines
from gpt.train import main as train
from tinytensor.nn.hooks import has_hooks

pytestmark = pytest.mark.programs
BASE = Baselines(uniform=math.log(65), unigram=3.3, bigram=2.5, fivegram=1.6)
TINY = [
    "--layers=1", "--width=16", "--heads=2", "--context=16", "--batch-size=4", "--threads=1", "--steps=6", "--eval-every=3",
    "--warmup=2", "--no-plot",
]  # fmt: skip

# ------------------------------------------------------------------------------------------------------- measures


@cases(150)
@given(st.data())
def test_repeated_text_is_found_exactly(data):
    """Against a set of all sequences, with few tokens, so that there are many repeats; in pieces, too."""
    V = data.draw(st.integers(1, 4))
    train, validation = (
        np.array(data.draw(st.lists(st.integers(0, V - 1), min_size=1, max_size=60))) for _ in range(2)
    )
    length = data.draw(st.integers(1, min(len(train), len(validation), 9)))
    there = {tuple(train[i : i + length]) for i in range(len(train) - length + 1)}
    expected = np.zeros(len(validation), bool)
    for i in range(len(validation) - length + 1):
        if tuple(validation[i : i + length]) in there:
            expected[i : i + length] = True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measures, "PIECE", data.draw(st.sampled_from([1, 5, 1 << 20])))
        assert measures.repeated(train, validation.astype(np.uint8), length).tolist() == expected.tolist()


def test_an_equal_hash_is_no_repeat(monkeypatch):
    """With a poor hash all sequences that end alike have the same one."""
    monkeypatch.setattr(measures, "BASE", 1 << 63)
    assert not measures.repeated(np.array([1, 2, 3, 9, 9]), np.array([4, 5, 9, 9]), 4).any()


def test_entropy_is_a_share_of_the_most():
    uniform = np.tril(np.ones((5, 5))) / np.arange(1, 6)[:, None]
    assert measures.entropy(uniform) == pytest.approx(np.ones(4))
    assert measures.entropy(np.eye(5)) == pytest.approx(np.zeros(4))
    half = np.array([[1.0, 0, 0], [1, 0, 0], [0, 0.5, 0.5]])
    assert measures.entropy(half) == pytest.approx([0, math.log(2) / math.log(3)])


@pytest.mark.parametrize(
    "activation, on, dead",
    [("relu", 0.001, 0.0), ("gelu", -0.17, -0.004), ("silu", 0.05, 0.009), ("tanh", 0.9, -0.9999)],
)
def test_what_counts_as_off(activation, on, dead):
    assert measures.off(np.array([on, dead]), activation).tolist() == [False, True]


def test_the_update_ratio_is_that_of_adamw():
    """Against the step that the optimizer makes, without decay."""
    random = np.random.default_rng(0)
    weight = tinytensor.nn.Parameter(tinytensor.from_numpy(random.normal(size=(5, 7))))
    optimizer = tinytensor.optim.AdamW([weight], lr=0.01, betas=(0.9, 0.95), weight_decay=0.0)
    for _ in range(4):
        before = weight.detach().numpy().copy()
        weight.grad = tinytensor.from_numpy(random.normal(size=(5, 7)))
        optimizer.step()
    state = {key: np.asarray(value.numpy()) for key, value in optimizer.state[weight].items()}
    ratio = measures.update_ratio(before, state["exp_avg"], state["exp_avg_sq"], 4, 0.01, np.array([0.9, 0.95]))
    moved = weight.detach().numpy() - before
    assert ratio == pytest.approx(measures.norm(moved) / measures.norm(before), rel=1e-5)
    assert measures.update_ratio(np.zeros(3), np.ones(3), np.ones(3), 1, 0.1, np.array([0.9, 0.95])) == math.inf


def test_spikes_stand_far_above_the_steps_before():
    losses = 2 + 0.05 * np.random.default_rng(0).normal(size=200)
    assert measures.spikes(losses).tolist() == []
    losses[[90, 150]] += 1.5
    assert measures.spikes(losses).tolist() == [90, 150]
    losses[60:120] += np.tile([1.0, -1.0], 30)  # where all steps differ, one is no spike
    assert 90 not in measures.spikes(losses).tolist()
    assert measures.spikes(losses[:20]).tolist() == []


# ---------------------------------------------------------------------------------------------------------- probe


@pytest.mark.parametrize(
    "more", [{}, {"kv_heads": 1, "qk_norm": True}, {"positions": "learned", "attention_scale": "layer"}]
)
def test_the_weights_of_attention_are_those_that_the_model_uses(more):
    """Mixing the values by them gives what the fused call returns."""
    model = GPT(TrainConfig(vocab_size=11, width=16, heads=4, context=12, layers=2, **more))
    random = np.random.default_rng(0)
    module = model.blocks[1].attention
    found = []
    module.projection.register_forward_pre_hook(lambda _, args: found.append(probe.array(args[0])))
    x = tinytensor.from_numpy(random.normal(size=(3, 12, 16)).astype(np.float32))
    module(x)
    H, G, D = 4, module.groups, 4
    v = probe.array(module.qkv(x)).reshape(3, 12, H + 2 * G, D)[:, :, H + G :].transpose(0, 2, 1, 3)
    mixed = probe.attention_weights(module, x) @ v.repeat(H // G, axis=1)
    assert mixed.transpose(0, 2, 1, 3).reshape(3, 12, 16) == pytest.approx(found[0], abs=1e-5)


def test_the_probe_leaves_the_model_as_it_was_and_has_its_gradient():
    model = GPT(TrainConfig(vocab_size=11, width=16, heads=2, context=8, layers=1, dropout=0.5))
    random = np.random.default_rng(0)
    x, y = random.integers(0, 11, (2, 3, 8))
    found = probe.probe(model, [(x[:2], y[:2]), (x[2:], y[2:])])
    assert all(p.grad is None for p in model.parameters())
    assert not has_hooks(model.modules())
    _, loss = model(tinytensor.from_numpy(x), tinytensor.from_numpy(y))
    loss.backward()
    assert found.loss == pytest.approx(loss.item(), rel=1e-6)
    for name, parameter in model.named_parameters():
        assert found.gradients[name] == pytest.approx(measures.norm(parameter.grad.numpy()), rel=1e-4, abs=1e-7)
    assert found.tokens == 24 and found.dead["blocks.0.feed_forward"].shape == (64,)
    assert found.entropies["blocks.0.attention"].shape == (2, 3 * 7)


def test_what_depends_on_the_future_and_what_knows_no_order(monkeypatch):
    ids = np.random.default_rng(0).integers(0, 11, (4, 8))
    model = GPT(TrainConfig(vocab_size=11, width=16, heads=2, context=8, layers=1, init="gpt2"))
    assert probe.depends_on_the_future(model, ids) == 0
    assert probe.knows_order(model, ids, np.random.default_rng(1)) > 1e-3
    monkeypatch.setattr("gpt.model.rotary", lambda x, past=0: x)
    assert probe.knows_order(model, ids, np.random.default_rng(1)) < 1e-5

    def sees_all(q, k, v, *_, **__):
        weights = (q @ k.transpose(-2, -1)).softmax(-1)
        return weights @ v

    monkeypatch.setattr("gpt.model.F.scaled_dot_product_attention", sees_all)
    assert probe.depends_on_the_future(model, ids) > 1e-3
    assert attention(*tinytensor.ones(3, 1, 1, 4, 2)).shape == (1, 1, 4, 2)


def test_blocks_have_the_norm_of_all_their_gradients():
    norms = by_block({"head.weight": 9.0, "blocks.0.a.weight": 3.0, "blocks.0.b.bias": 4.0, "blocks.11.a.weight": 1.0})
    assert norms == {"blocks.0": 5.0, "blocks.11": 1.0}


# ---------------------------------------------------------------------------------------------------------- rules


def run_of(train_losses, every=20, val=None, failure="", **flags):
    """A record of a run with these losses, evaluated every so many steps at `val`, by default at the training loss."""
    config = TrainConfig(vocab_size=65, steps=max(1, len(train_losses)), warmup=0, **flags)
    rows = [
        {
            "step": i, "train_loss": float(loss), "learning_rate": 1e-3, "grad_norm": 1.0, "seconds": 1.0,
            "tokens_per_second": 1.0, "val_loss": None if i % every else float(loss if val is None else val[i // every - 1]),
        }
        for i, loss in enumerate(train_losses, 1)
    ]  # fmt: skip
    return Recorded(config, len(rows), rows, BASE, failure)


FALLING = 1.7 + 2.4 * np.exp(-np.arange(200) / 40)


def odd(run):
    return {each.name: each for each in records.recorded(run) if each.odd}


def test_a_run_that_learns_has_no_finding():
    assert odd(run_of(FALLING)) == {}


@pytest.mark.parametrize(
    "run, name, words",
    [
        (
            run_of(FALLING + np.where(np.arange(200) == 0, 1.7, 0)),
            "initial-loss",
            "5.800; equal chances for 65 tokens have ln V = ",
        ),
        (run_of(np.full(200, 3.31)), "learned-nothing", "best validation loss is 3.310, the unigram's 3.300"),
        (run_of(0.3 + 3.7 * np.exp(-np.arange(200) / 20)), "too-good", "0.300, 0.19 times the 5-gram's 1.600"),
        (
            run_of(FALLING, val=[2.0, 1.9, 2.0, 2.1, 2.2, 2.3, 2.4, 2.5, 2.6, 2.7]),
            "overfitting",
            "lowest at step 40, 1.900, and is 2.700 at step 200",
        ),
        (run_of(FALLING + np.where(np.arange(200) == 99, 2, 0)), "spikes", ": 1, the first at step 100"),
        (run_of(FALLING, grad_clip=0.01), "gradient-size", "is 1 after the warmup, and --grad-clip 0.01"),
        (run_of(FALLING, failure="step 7: the loss is nan; …"), "not-finite", "the loss is nan"),
        (run_of(FALLING, failure="cannot save step 7: No space left"), "stopped", "No space left"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_each_rule_of_a_record(run, name, words):
    found = odd(run)
    assert list(found) == [name]
    assert words in found[name].said


def test_what_is_no_finding():
    assert "overfitting" not in odd(run_of(np.full(200, 2.0), val=[1.9] + [2.0] * 9))  # training does not fall either
    assert "overfitting" not in odd(run_of(FALLING[:30], every=10, val=[2, 2.2, 2.3]))  # too early to tell
    assert "learned-nothing" not in odd(run_of(np.linspace(4.2, 3.25, 200)))  # it still falls
    assert "learned-nothing" not in odd(run_of(np.full(30, 3.3)))  # too early to tell
    assert odd(run_of([])) == {}
    random = run_of(np.full(200, 3.3))
    random.baselines = replace(BASE, fivegram=3.25)
    assert odd(random) == {}  # a text without order
    certain = run_of(0.01 + FALLING - 1.7)
    certain.baselines = replace(BASE, fivegram=0.1)
    assert odd(certain) == {}  # a text that counting alone predicts


def test_a_finding_that_follows_from_another_is_none():
    def found(name):
        return Check(name, True, 1.0, f"{name} is odd", "none", "mend it")

    checks = [
        found("dead-units"),
        found("no-gradient"),
        found("learning-rate-high"),
        replace(found("overlap"), odd=False),
    ]
    assert [each.name for each in findings(checks)] == ["learning-rate-high"]
    assert explained(checks) == {"dead-units": "learning-rate-high", "no-gradient": "learning-rate-high"}
    assert [each.name for each in findings(checks[:2])] == ["dead-units"]
    assert report.in_a_line(checks) == "learning-rate-high: learning-rate-high is odd"
    assert report.in_a_line([found("spikes"), found("overlap")]) == "spikes: spikes is odd (and overlap)"
    assert report.in_a_line([]) == ""


def test_what_explains_what_is_no_circle():
    def reached(name, seen):
        for below in check.EXPLAINS.get(name, ()):
            assert below not in seen
            reached(below, {*seen, below})

    for name in check.EXPLAINS:
        reached(name, {name})


def test_the_range_test_reads_off_where_the_loss_is_lowest_and_has_risen():
    rates = np.geomspace(1e-6, 10, 141)
    losses = 4 - 2 / (1 + (1e-3 / rates)) + 3 / (1 + (0.3 / rates) ** 4)
    lowest, risen = range_test.read_off(rates, losses)
    assert rates[losses.argmin()] <= lowest <= 3 * rates[losses.argmin()]
    assert lowest < 0.3 / 2 < risen < 1
    assert range_test.read_off(rates[:3], np.array([4.0, math.nan, math.nan]))[0] == rates[0]


@pytest.mark.parametrize(
    "ratio, saturated, lost, found",
    [
        (0.027, 0.99, False, True), (0.027, 0.1, False, False), (0.015, 0.99, False, False),
        (0.05, 0.1, False, False), (0.05, 0.1, True, True), (0.027, 0.1, True, False),
    ],
)  # fmt: skip
def test_large_updates_and_what_they_do_are_a_finding(ratio, saturated, lost, found, monkeypatch):
    """Saturated attention makes updates that are near the upper end a finding, and follows from it."""
    entropies = {"blocks.0.attention": np.where(np.arange(100) < 100 * saturated, 0.0, 0.5)[None]}
    run = run_of(np.full(200, 2.6) if lost else FALLING, learning_rate=0.03)
    patient = SimpleNamespace(run=run, probe=probe.Probe(entropies=entropies))
    monkeypatch.setattr(learning_rate, "ratio", lambda _: ratio)
    checks = [rule(patient) for rule in (learning_rate.learning_rate_high, attention_saturated)]
    assert checks[0].odd == found and checks[0].value == ratio
    if found and saturated > 0.7:
        assert [each.name for each in findings(checks)] == ["learning-rate-high"]
        assert "--learning-rate 0.03, and 99% of the queries" in checks[0].said
        assert checks[0].advice.startswith("--learning-rate 3e-03;")


@pytest.mark.parametrize(
    "rate, words",
    [
        (0.031, "too high"), (0.02, "near the highest that works"), (0.003, "in the range that works"), (5e-5, "too low"),
    ],
)  # fmt: skip
def test_the_range_test_ends_with_a_verdict(rate, words, monkeypatch):
    patient = SimpleNamespace(run=run_of(FALLING, learning_rate=rate))
    monkeypatch.setattr(range_test, "losses", lambda _: (np.array([1e-6]), np.array([4.0])))
    monkeypatch.setattr(range_test, "read_off", lambda *_: (0.03, 0.5))
    found = range_test.range_test(patient)
    assert found.odd == words.startswith("too") and f"--learning-rate {rate:g} is {words}:" in found.said
    assert found.advice == "--learning-rate 3.0e-03"
    high = Check("learning-rate-high", True, 0.03, "updates are large", "small ones", "--learning-rate 3e-03")
    for everything in (False, True):
        for checks in ([found], [high, found], [replace(high, odd=False), found]):
            shown = report.text(patient.run, checks, everything)
            assert shown.count(f"is {words}:") == 1
            assert ("try:    --learning-rate 3.0e-03" in shown) == found.odd


def test_a_flag_and_its_value_are_on_one_line():
    for width in range(60, 130):
        found = Check(
            "spikes", True, 1.0, "s" * width, "none", f"{'x' * (width - 30)} (--layers, --width), --patience 3"
        )
        assert "--patience 3" in "\n".join(report.entry(found, "advice")) and "\N{NO-BREAK SPACE}" not in found.advice


def test_the_report_says_once_where_to_look_and_what_the_other_checks_are():
    odd_ones = [Check(name, True, 1.0, "s", "n", "a") for name in ("dead-units", "attention-saturated")]
    fine = Check("spikes", False, 0.0, "s", "n", "a")
    shown = report.text(run_of(FALLING), [*odd_ones, fine], True, "a run")
    assert shown.count("python -m gpt.inspect 'a run' shows where") == 1 and "the other checks:" in shown
    shown = report.text(run_of(FALLING), [fine], True, "a run")
    assert "gpt.inspect" not in shown and "all checks:" in shown and "other" not in shown
    assert "gpt.inspect" not in report.text(run_of(FALLING), [replace(fine, odd=True)], True)


# -------------------------------------------------------------------------------------------------------- command


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("doctor")
    (folder / "text").write_text("".join(np.random.default_rng(0).choice(list("abcdef gh\n"), 3000)))
    line = [
        *TINY,
        "--data",
        str(folder / "text"),
        "--out",
        str(folder / "run"),
        "--quiet",
        "--steps=24",
        "--eval-every=12",
    ]
    assert train(line) == 0
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_it_reports_and_writes_nothing(folder, capsys):
    before = contents(folder)
    assert doctor.main([str(folder / "run"), "--deep", "--all"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.startswith("step        24 of 24\nlosses      training ")
    assert "range-test" in said.out and "learning-rate-high" in said.out
    assert contents(folder) == before


@pytest.mark.parametrize(
    "line",
    [
        ["--context=1"], ["--context=2"], ["--dtype=float16"], ["--steps=1"], ["--grad-clip=0"], ["--dropout=0.3"],
        ["--activation=swiglu", "--kv-heads=1", "--qk-norm"], ["--tied", "--no-bias", "--positions=learned", "--init=gpt2"],
        ["--eval-every=100", "--grad-accumulation=2"], ["--steps=50", "--context=2"], ["--steps=50", "--batch-size=1"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_runs_of_every_kind_can_be_examined(line, folder, tmp_path, capsys):
    """A text without repeats and a few steps: nothing is odd yet."""
    assert train([*TINY, "--data", str(folder / "text"), "--out", str(tmp_path / "run"), "--quiet", *line]) == 0
    assert doctor.main([str(tmp_path / "run"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["findings"] == []


def test_a_corpus_that_does_not_fit_into_memory_can_be_examined(folder, tmp_path, capsys):
    assert prepare.main([str(folder / "text"), "--tokenizer=bytes", "--out", str(tmp_path / "corpus"), "--quiet"]) == 0
    assert train([*TINY, "--data", str(tmp_path / "corpus"), "--out", str(tmp_path / "run"), "--quiet"]) == 0
    assert doctor.main([str(tmp_path / "run")]) == 0
    assert "nothing odd in" in capsys.readouterr().out


def test_json_has_every_check(folder, capsys):
    assert doctor.main([str(folder / "run"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["step"] == found["steps"] == 24
    names = [each["name"] for each in found["checks"]]
    assert len(names) == len(set(names)) >= 12 and "overlap" in names and "range-test" not in names
    assert set(found["baselines"]) == {"5-gram", "bigram", "unigram", "uniform"}
    assert found["findings"] == [each["name"] for each in found["checks"] if each["odd"]]


def test_help_names_every_check(capsys, folder):
    with pytest.raises(SystemExit):
        doctor.main(["--help"])
    words = capsys.readouterr().out.replace("learning-rate-high, -low", "learning-rate-high learning-rate-low")
    words = words.replace("attention-saturated, -uniform", "attention-saturated attention-uniform")
    for each in rules.examine(admit(folder / "run"), deep=True):
        assert each.name in words


@pytest.mark.parametrize(
    "wrong, words",
    [
        (["nowhere"], "nowhere is not a run folder"),
        (["hf:gpt2"], "hf:gpt2 has no record of its training"),
        (["run", "--data", "other"], "was trained on another text"),
        (["run", "--device", "cuda"], "--device cuda"),
        (["half", "--deep"], "--deep trains without a loss scale, and half is in float16"),
        (["cut"], "weights.safetensors is cut off or altered"),
        (["rows"], "line 2 is no row of a run"),
        (["fifo"], "failure.txt is a FIFO, and must be a file"),
    ],
)
def test_what_is_wrong_is_one_line_and_status_2(wrong, words, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("other").write_text("another text " * 40)
    for name in ("run", "cut", "rows", "fifo"):
        shutil.copytree(folder / "run", name)
    (tmp_path / "text").write_text("to be or not to be. " * 40)
    assert train([*TINY, "--data=text", "--out=half", "--dtype=float16", "--quiet"]) == 0
    weights = Path("cut/checkpoint/weights.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1])
    rows = Path("rows/metrics.jsonl")
    rows.write_text(rows.read_text().replace('"step": 2', '"step": "2"'))
    os.mkfifo("fifo/failure.txt")
    assert doctor.main(wrong) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and said.err.startswith("gpt.doctor: ")
    assert words in said.err


def test_a_training_ends_with_what_is_odd_about_it(tmp_path, capsys, monkeypatch):
    """One line more, after all others; without an oddity none; quiet ones say nothing."""
    (tmp_path / "text").write_text("to be or not to be. " * 60)
    line = [*TINY, "--data", str(tmp_path / "text")]
    assert train([*line, "--out", str(tmp_path / "a")]) == 0
    assert "odd " not in capsys.readouterr().out
    monkeypatch.setattr("gpt.diagnosis.initial_loss.ABOVE", -9.0)
    assert train([*line, "--out", str(tmp_path / "b")]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("odd             initial-loss: the loss of the first step is ")
    assert last.endswith(f"python -m gpt.doctor {tmp_path / 'b'} says what to try")
    assert train([*line, "--out", str(tmp_path / "c"), "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_an_error_that_stops_a_training_is_kept_until_it_goes_on(folder, tmp_path, capsys):
    run = tmp_path / "run"
    assert train([*TINY, "--data", str(folder / "text"), "--out", str(run), "--learning-rate=1e300", "--quiet"]) == 2
    said = capsys.readouterr().err
    assert failure.read(run) == said.removeprefix("gpt.train: ").strip()
    assert doctor.main([str(run)]) == 0
    out = capsys.readouterr().out
    assert "1 finding in" in out and "not-finite" in out
    with failure.kept(run):
        assert failure.read(run) == ""


def test_a_run_whose_optimizer_lacks_a_parameter_can_be_examined(folder, tmp_path, capsys):
    """As that of a run in which a parameter was frozen: it never had a gradient."""
    from gpt.run import checkpoint

    run = tmp_path / "run"
    shutil.copytree(folder / "run", run)
    saved = checkpoint.read(run)
    saved.optimizer = {name: array for name, array in saved.optimizer.items() if not name.startswith("head.")}
    checkpoint.save(run, saved)
    assert doctor.main([str(run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    said = next(each["said"] for each in found["checks"] if each["name"] == "no-gradient")
    assert "no-gradient" in found["findings"] and said.startswith("head.weight: no gradient")


def test_weights_that_an_update_never_changed_are_found(folder, tmp_path):
    """Their gradients are there, and they are what the seed drew."""
    patient = admit(folder / "run")
    assert rules.layers.no_gradient(patient).said.startswith("all ")
    patient.weights = {**patient.weights, "head.weight": patient.first["head.weight"]}
    assert rules.layers.no_gradient(patient).said.startswith("head.weight: ")


def test_without_a_run_the_newest_one_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    end = "; see python -m gpt.doctor --help\n"
    assert doctor.main([]) == 2
    assert capsys.readouterr().err == f"gpt.doctor: the following arguments are required: RUN{end}"
    for age, name in enumerate(["a new one", "old", "older"]):
        Path("runs", name, "checkpoint").mkdir(parents=True)
        os.utime(Path("runs", name, "checkpoint"), (1e9 - age, 1e9 - age))
    Path("runs", "no run").mkdir()
    assert doctor.main([]) == 2
    assert capsys.readouterr().err.endswith(f"; the newest here is 'runs/a new one'{end}")
    assert doctor.main(["run", "--data"]) == 2  # another usage error
    assert capsys.readouterr().err == f"gpt.doctor: argument --data: expected one argument{end}"
