"""The lock step: the two engines agree in everything, and a planted error is found and named where it is."""

from __future__ import annotations

import contextlib
import functools
import re

import numpy as np
import pytest

import tinytensor as tt
from gpt.config import TrainConfig
from gpt.run.opening import prepare
from tinytensor.optim import AdamW
from tinytensor.optim.adam import adam_update, adamw_update
from tinytensor.primitive import PRIMITIVES

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_torch_thread")

from reference_torch import lockstep  # noqa: E402  (it needs PyTorch)
from reference_torch.sides import Pair  # noqa: E402

TINY = {
    "layers": 2, "width": 16, "heads": 2, "context": 8, "batch_size": 4, "steps": 3, "warmup": 1,
    "threads": 1, "dtype": "float64",
}  # fmt: skip
VARIANTS = {
    "default": {},
    "learned": {"positions": "learned", "init": "gpt2"},  # the key's bias has no gradient but rounding
    "nanogpt": {"recipe": "nanogpt"},
    "tied": {"tied": True, "grad_accumulation": 2, "grad_clip": 0.0},
    "bigram": {"model": "bigram"},
}


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text"
    path.write_text("It was the best of times, it was the worst of times. " * 40)
    return str(path)


def begin(text, recipe="default", **changes):
    config = {**TINY, **changes, "data": text}
    if config.get("model") == "bigram":
        del config["layers"], config["heads"]
    return prepare(recipe, config, True)


def run(text, **changes):
    return lockstep.compare(begin(text, **changes), quiet=True)


# ------------------------------------------------------------------------------------------- agreement


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_engines_agree(variant, dtype, text):
    begun = begin(text, dtype=dtype, **{"steps": 20, **VARIANTS[variant]})
    first = {name: p.numpy().copy() for name, p in begun.model.state_dict().items()}
    report = lockstep.compare(begun, quiet=True)
    assert report.divergence == ""
    assert len(report.losses) == 20 * begun.config.grad_accumulation
    # It compared two trainings: the loss fell, and every matrix moved.
    assert report.losses[-1][1] < report.losses[0][1] - 0.05
    assert all((p.numpy() != first[name]).any() for name, p in begun.model.state_dict().items())

    records = set(report.records)
    for name, _ in begun.model.named_modules():
        if name and not name.endswith("blocks"):  # the list of blocks is never called
            assert (name, "output") in records
    for name, _ in begun.model.named_parameters():
        assert {(name, kind) for kind in ("gradient", "exp_avg", "exp_avg_sq", "parameter")} <= records
    rest = {("model", "logits"), ("model", "loss"), ("model", "gradient of logits"), ("all parameters", lockstep.NORM)}
    assert rest <= records
    assert all(r.relative <= report.allowed(r.kind, 1.0) for r in report.records.values() if r.kind != "loss")
    assert report.worst().relative > 0


def test_the_order_is_that_of_computation(text):
    names = [": ".join(key) for key in run(text, steps=1, layers=1).records]
    expected = [
        "embedding: output",
        "blocks.0.attention_norm: output",
        "blocks.0.attention.projection: input",  # what attention mixed
        "blocks.0.feed_forward_norm: input",  # the residual
        "norm: output",
        "model: logits",
        "model: loss",
        "model: gradient of logits",
        "head.weight: gradient",
        "head: gradient of input",
        "norm.weight: gradient",
        "norm: gradient of input",
        "blocks.0.feed_forward.activation: gradient of input",
        "blocks.0.attention.qkv: gradient of output",
        "embedding.weight: gradient",
        "all parameters: norm of the gradient",
        "embedding.weight: exp_avg",
        "head.weight: exp_avg_sq",
        "embedding.weight: parameter",
    ]
    assert [name for name in names if name in expected] == expected


# -------------------------------------------------------------------------------------- planted errors


@contextlib.contextmanager
def planted(name, **changes):
    """Within, the primitive's forward or backward is change(right one, *arguments)."""
    row = PRIMITIVES[name]
    right = {which: getattr(row, which) for which in changes}
    try:
        for which, change in changes.items():
            setattr(row, which, functools.partial(change, right[which]))
        yield
    finally:
        for which, function in right.items():
            setattr(row, which, function)


def scaled(i, factor=1.001):
    """The i-th result, times a factor."""

    def change(right, *args, **static):
        results = list(right(*args, **static))
        results[i] = None if results[i] is None else results[i] * factor
        return tuple(results)

    return change


def without_mean_term(right, dy, xhat, rstd, w, has_bias, **static):
    rows = dy.reshape(xhat.shape) * w
    mean = rows.mean(1, keepdims=True) * rstd[:, None]
    dx, dw, db = right(dy, xhat, rstd, w, has_bias, **static)
    return dx + mean.reshape(*dy.shape[:-1], 1), dw, db


def without_accumulation(right, dy, *saved):
    dw = np.zeros_like(right(dy, *saved)[0])
    ids = next(s for s in saved if isinstance(s, np.ndarray) and s.dtype.kind == "i")
    dw[ids.reshape(-1)] = dy.reshape(-1, dy.shape[-1])  # a character's last occurrence wins
    return (dw,)


def one_element(right, *args, **static):
    """A single output, far from the first, is off by a millionth."""
    y, saved = right(*args, **static)
    y[1, 5, 7] += 1e-6
    return y, saved


def not_a_number(right, *args, **static):
    y, saved = right(*args, **static)
    y[3, 2, 1] = np.nan
    return y, saved


def in_float32(right, *args, **static):
    y, saved = right(*args, **static)
    return y.astype(np.float32).astype(np.float64), saved


GPT2 = {"init": "gpt2"}  # no weight is zero, so an error anywhere shows at the first step
KERNELS = {
    "layer norm: dx": ("layer_norm", {"backward": scaled(0)}, "norm, gradient of input"),
    "layer norm: dw": ("layer_norm", {"backward": scaled(1)}, "norm.weight, gradient"),
    "layer norm: db": ("layer_norm", {"backward": scaled(2)}, "norm.bias, gradient"),
    "layer norm: no mean": ("layer_norm", {"backward": without_mean_term}, "norm, gradient of input"),
    "layer norm: rounded": ("layer_norm", {"forward": in_float32}, "blocks.0.attention_norm, output"),
    "gelu": ("gelu_tanh", {"forward": scaled(0, 1 + 1e-6)}, "blocks.0.feed_forward.activation, output"),
    "gelu: dx": ("gelu_tanh", {"backward": scaled(0)}, "blocks.1.feed_forward.activation, gradient of input"),
    "linear: dx": ("linear", {"backward": scaled(0)}, "head, gradient of input"),
    "linear: dw": ("linear", {"backward": scaled(1)}, "head.weight, gradient"),
    "linear: db": ("linear", {"backward": scaled(2)}, "blocks.1.feed_forward.projection.bias, gradient"),
    "attention": ("attention", {"forward": scaled(0)}, "blocks.0.attention.projection, input"),
    "attention: dq": ("attention", {"backward": scaled(0)}, "blocks.1.attention.qkv, gradient of output"),
    "attention: dk": ("attention", {"backward": scaled(1)}, "blocks.1.attention.qkv, gradient of output"),
    "attention: dv": ("attention", {"backward": scaled(2)}, "blocks.1.attention.qkv, gradient of output"),
    "rotary: dx": ("rotary", {"backward": scaled(0, -1)}, "blocks.1.attention.qkv, gradient of output"),
    "cross entropy": ("cross_entropy", {"forward": scaled(0)}, "model, loss"),
    "cross entropy: dx": ("cross_entropy", {"backward": scaled(0)}, "model, gradient of logits"),
    "embedding: dw": ("embedding", {"backward": without_accumulation}, "embedding.weight, gradient"),
}


@pytest.mark.parametrize("error", KERNELS)
def test_an_error_in_a_kernel_is_named(error, text):
    name, changes, expected = KERNELS[error]
    with planted(name, **changes):
        report = run(text, **GPT2)
    assert report.divergence.startswith(f"step 1: {expected} diverges first"), report.divergence
    assert list(report.records)[-1] == tuple(expected.split(", "))  # nothing after it was compared


def test_an_error_behind_zero_weights_is_named_when_it_can_be_seen(text):
    """The default recipe's projections begin at zero, so GELU's gradient is zero at first, right or wrong."""
    with planted("gelu_tanh", backward=scaled(0)):
        report = run(text)
    assert report.divergence.startswith("step 2: blocks.1.feed_forward.activation, gradient of input diverges first")


def test_the_place_and_both_values_are_named(text):
    with planted("gelu_tanh", forward=one_element):
        message = run(text).divergence
    found = re.search(
        r"diverges first at \[1, 5, 7\]: (\S+) in tinytensor, (\S+) in PyTorch; they differ by 1.0e-06", message
    )
    assert found, message
    assert float(found[1]) - float(found[2]) == pytest.approx(1e-6)


def test_what_is_not_a_number_is_named(text):
    with planted("gelu_tanh", forward=not_a_number):
        message = run(text).divergence
    assert message.startswith(
        "step 1: blocks.0.feed_forward.activation, output diverges first at [3, 2, 1]: nan in tinytensor"
    )


def test_another_dtype_or_shape_is_named():
    x = np.ones((2, 3))
    for y, shown in ((x.astype("float32"), "float32 (2, 3)"), (x.T, "float64 (3, 2)"), (x[:0], "float64 (0, 3)")):
        report = lockstep.Report(TrainConfig())
        report.add(Pair("norm", "output", y, x), 1)
        assert report.divergence == f"step 1: norm, output: {shown} in tinytensor, float64 (2, 3) in PyTorch"


def test_a_gradient_that_is_missing_is_named(text):
    begun = begin(text)
    begun.model.norm.bias.requires_grad = False
    message = lockstep.compare(begun, quiet=True).divergence
    assert message.startswith("step 1: norm.bias, gradient: "), message


def updated(function, **changes):
    """An update of AdamW with other settings: each is change(value)."""

    def update(*arrays, **settings):
        function(*arrays, **{**settings, **{name: change(settings[name]) for name, change in changes.items()}})

    return staticmethod(update)


def decay_in_the_gradient(p, g, m, v, scratch, **settings):
    adam_update(p, g, m, v, scratch, np.empty_like(p), **settings)


UPDATES = {
    "bias correction one step late": (updated(adamw_update, step=lambda t: t + 1), "embedding.weight, parameter"),
    "no bias correction": (updated(adamw_update, step=lambda t: 1e9), "embedding.weight, parameter"),
    "epsilon": (updated(adamw_update, eps=lambda eps: 2 * eps), "embedding.weight, parameter"),
    "decay by half": (updated(adamw_update, weight_decay=lambda d: d / 2), "embedding.weight, parameter"),
    "decay in the gradient": (staticmethod(decay_in_the_gradient), "embedding.weight, exp_avg"),
    "beta1": (updated(adamw_update, beta1=lambda b: b + 1e-6), "embedding.weight, exp_avg"),
    "beta2": (updated(adamw_update, beta2=lambda b: b + 1e-6), "embedding.weight, exp_avg_sq"),
}


@pytest.mark.parametrize("error", UPDATES)
def test_an_error_in_the_update_is_named(error, text, monkeypatch):
    update, expected = UPDATES[error]
    monkeypatch.setattr(AdamW, "update", update)
    assert run(text).divergence.startswith(f"step 1: {expected} diverges first")


def test_decayed_vectors_are_named(text):
    begun = begin(text)
    begun.optimizer.param_groups[1]["weight_decay"] = 0.1
    message = lockstep.compare(begun, quiet=True).divergence
    assert message.startswith("step 1: blocks.0.attention_norm.weight, parameter diverges first")


def test_wrong_clipping_is_named(text, monkeypatch):
    clip = tt.nn.utils.clip_grad_norm_
    monkeypatch.setattr(tt.nn.utils, "clip_grad_norm_", lambda p, limit: clip(p, limit) * 1.001)
    assert run(text).divergence.startswith("step 1: all parameters, norm of the gradient diverges first: ")
    monkeypatch.setattr(tt.nn.utils, "clip_grad_norm_", lambda p, limit: clip(p, limit * 1.001))
    assert run(text).divergence.startswith("step 1: embedding.weight, exp_avg diverges first")


def report_of(kind, ours, theirs, dtype="float64", step=1):
    report = lockstep.Report(TrainConfig(dtype=dtype, learning_rate=1e-3))
    report.add(Pair("w", kind, np.array(ours, dtype), np.array(theirs, dtype)), step)
    return report


@pytest.mark.parametrize(
    "kind, dtype, apart, ok",
    [
        ("loss", "float64", 0.9e-9, True),
        ("loss", "float64", 1.1e-9, False),
        ("loss", "float32", 0.9e-3, True),
        ("loss", "float32", 1.1e-3, False),
        ("output", "float64", 3.9e-9, True),  # the largest value is 4
        ("output", "float64", 4.1e-9, False),
        ("output", "float32", 0.39, True),
        ("output", "float32", 0.41, False),
        ("parameter", "float64", 4.1e-9, False),
        ("parameter", "float32", 0.4019, True),  # two learning rates more
        ("parameter", "float32", 0.4021, False),
    ],
)
def test_the_tolerances(kind, dtype, apart, ok):
    theirs = 2.0 if kind == "loss" else [2.0, -4.0]
    report = report_of(kind, theirs + np.array(apart), theirs, dtype, step=7)
    assert (report.divergence == "") is ok
    assert report.divergence.startswith("" if ok else f"step 7: w, {kind} diverges first")


def test_a_difference_from_zeros_is_a_divergence():
    message = report_of("gradient", [0.0, 1e-300], [0.0, 0.0]).divergence
    assert message.startswith("step 1: w, gradient diverges first at [1]: 1e-300 in tinytensor, 0.0 in PyTorch")


# ------------------------------------------------------------------------------------------ the command

FLAGS = ["--layers=1", "--width=8", "--heads=2", "--context=8", "--batch-size=2", "--steps=4", "--threads=1"]


def test_the_command(text, capsys):
    assert lockstep.main([*FLAGS, f"--data={text}"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^step 1/4 .* largest difference \d\.\de-\d\d$", out, re.M)
    row = r"^blocks\.0\.feed_forward\.up\.weight +exp_avg_sq +32 × 8 +\d\.\de-\d\d +\d\.\de-\d\d +[1-4]$"
    assert re.search(row, out, re.M)
    assert re.search(r"^\d+ tensors, float64: the largest difference is \d\.\de-1\d of the tensor's largest", out, re.M)
    assert re.search(r"^loss curves: 4 batches, .* largest difference \d\.\de[+-]\d\d, in batch \d; ", out, re.M)


def test_the_command_says_what_diverged(text, capsys):
    with planted("layer_norm", backward=scaled(0)):
        assert lockstep.main([*FLAGS, f"--data={text}"]) == 1
    out, error = capsys.readouterr()
    assert error.startswith("reference_torch.lockstep: step 1: norm, gradient of input diverges first at [")
    assert error.count("\n") == 1
    assert "norm                              gradient of input" in out
    assert "loss curves" not in out


def test_quiet_says_nothing(text, capsys):
    assert lockstep.main([*FLAGS, f"--data={text}", "--quiet", "--recipe=nanogpt", "--dtype=float32"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--dtype=float16"], "--dtype float16: there is no loss scale for PyTorch; take float32 or float64"),
        (["--dropout=0.1"], "--dropout 0.1: the two engines draw different random numbers; leave it out"),
        (["--device=cuda"], "unrecognized arguments: --device=cuda"),
        (["--data=nowhere"], "cannot read"),
        (["--stepss=3"], "did you mean --steps?"),
    ],
)
def test_errors_have_one_line(flags, message, capsys):
    assert lockstep.main([*FLAGS, *flags]) == 2
    error = capsys.readouterr().err
    assert error.startswith("reference_torch.lockstep: ")
    assert message in error
    assert error.count("\n") == 1


def test_help_has_its_own_defaults(capsys):
    with pytest.raises(SystemExit):
        lockstep.main(["--help"])
    words = " ".join(capsys.readouterr().out.split())
    for default in ("(default: 200)", "(default: python-docs)", "(default: float64)"):
        assert default in words
    assert "--eval-every" not in words
