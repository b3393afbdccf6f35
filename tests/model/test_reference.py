"""The reference on PyTorch: its model.py is gpt/model.py but for imports, and weights, losses and gradients agree."""

from __future__ import annotations

import dataclasses
import doctest
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinytensor as tt
from gpt import train
from gpt.build import build
from gpt.config import RECIPES, GPTConfig
from gpt.run import metrics
from gpt.run.opening import prepare

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_torch_thread")

ROOT = Path(__file__).parents[2]
SMALL = GPTConfig(vocab_size=11, context=8, width=16, layers=2, heads=2)
VARIANTS = {
    "default": {},
    "learned": {"positions": "learned", "init": "gpt2"},
    "nanogpt": {
        name: getattr(RECIPES["nanogpt"], name) for name in ("positions", "activation", "bias", "tied", "init")
    },
    "tied": {"tied": True},
    "groups": {"heads": 4, "kv_heads": 2, "qk_norm": True, "norm_eps": 1e-3},
    "llama": {"norm": "rms", "activation": "swiglu", "bias": False, "kv_heads": 1},
    "by layer": {"attention_scale": "layer", "hidden": 24, "activation": "relu"},
    "undivided": {"attention_scale": "none", "activation": "silu", "norm": "rms"},
    "tanh": {"activation": "tanh", "positions": "learned", "norm_eps": 0.1},
    "bigram": {"model": "bigram"},
}
TINY = [
    "--layers=2", "--width=16", "--heads=2", "--context=16", "--batch-size=4", "--warmup=2", "--steps=12",
    "--eval-every=5", "--eval-windows=3", "--threads=2", "--grad-accumulation=2", "--dtype=float64",
]  # fmt: skip


@pytest.fixture
def text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("It was the best of times, it was the worst of times. " * 40)
    return "--data=text"


def shaken(model, seed):
    """A model with large random weights."""
    random = tt.Generator().manual_seed(seed)
    for p in model.parameters():
        tt.nn.init.normal_(p, std=0.3, generator=random)
    return model


@pytest.mark.parametrize("name", ["model.py", "cache.py", "bigram.py", "build.py"])
def test_they_differ_in_their_imports_alone(name: str) -> None:
    files = [(ROOT / folder / name).read_text("utf-8").splitlines() for folder in ("gpt", "reference_torch")]
    ours, theirs = ([line for line in lines if not line.startswith(("from ", "import "))] for lines in files)
    assert ours == theirs


def test_the_four_lines_of_attention_are_the_fused_function_on_both_sides() -> None:
    import gpt.model
    import reference_torch.model

    for module in (gpt.model, reference_torch.model):
        assert doctest.testmod(module) == (0, 3)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_loss_and_gradients_agree(variant: str, dtype: str) -> None:
    import reference_torch.build as reference

    config = dataclasses.replace(SMALL, **VARIANTS[variant])
    ours, theirs = build(config).to(getattr(tt, dtype)), reference.build(config).to(getattr(torch, dtype))
    shaken(ours, 0)  # large enough for every part to have a say
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict({name: torch.from_numpy(p.numpy()) for name, p in ours.state_dict().items()})
    ids, targets = np.random.default_rng(0).integers(0, 11, (2, 3, 8))

    logits, loss = ours(tt.from_numpy(ids), tt.from_numpy(targets))
    their_logits, their_loss = theirs(torch.from_numpy(ids), torch.from_numpy(targets))
    loss.backward()
    their_loss.backward()
    tolerance = 1e-12 if dtype == "float64" else 2e-5
    np.testing.assert_allclose(logits.detach().numpy(), their_logits.detach().numpy(), rtol=tolerance, atol=tolerance)
    assert loss.item() == pytest.approx(their_loss.item(), rel=tolerance)
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_weights_move_both_ways(variant: str, dtype: str) -> None:
    import reference_torch.build as reference
    from reference_torch.weights import to_tinytensor, to_torch

    config = dataclasses.replace(SMALL, **VARIANTS[variant])
    ours, again = (shaken(build(config), seed).to(getattr(tt, dtype)) for seed in (1, 2))
    theirs = reference.build(config).to(getattr(torch, dtype))
    before = {name: p.numpy().copy() for name, p in ours.state_dict().items()}
    to_torch(ours, theirs)
    for p in ours.parameters():  # no memory is shared
        tt.nn.init.zeros_(p)
    to_tinytensor(theirs, again)
    for p in theirs.parameters():
        torch.nn.init.zeros_(p)
    assert list(before) == list(theirs.state_dict()) == list(again.state_dict())
    for name, p in again.state_dict().items():
        assert p.dtype == getattr(tt, dtype)
        np.testing.assert_array_equal(p.numpy(), before[name], err_msg=name)
    if config.tied:
        assert again.head.weight is again.embedding.weight
        assert theirs.head.weight is theirs.embedding.weight


def test_weights_of_another_shape_are_refused() -> None:
    import reference_torch.build as reference
    from reference_torch.weights import to_tinytensor, to_torch

    narrow = dataclasses.replace(SMALL, width=8)
    with pytest.raises(RuntimeError, match=r"size mismatch for embedding\.weight"):
        to_torch(build(SMALL), reference.build(narrow))
    with pytest.raises(RuntimeError, match=r"size mismatch for embedding\.weight"):
        to_tinytensor(reference.build(narrow), build(SMALL))


@pytest.mark.programs
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_loop_gives_the_losses_of_gpt_train(variant: str, text: str) -> None:
    """Ours shares the batch over two threads, theirs does not: the sums differ in order, so in the last bits."""
    from reference_torch import train as reference

    values = [(name.replace("_", "-"), value) for name, value in VARIANTS[variant].items()]
    flags = [f"--{k}={v}" if not isinstance(v, bool) else f"--{'' if v else 'no-'}{k}" for k, v in values]
    if variant == "bigram":
        tiny = [flag for flag in TINY if not flag.startswith(("--layers", "--heads"))]
    else:
        tiny = TINY
    assert train.main([*tiny, *flags, text, "--out=run", "--quiet", "--no-plot"]) == 0
    ours = metrics.read(Path("run"))

    given = vars(reference.make_parser().parse_args([*tiny, *flags, text]))
    run = prepare(given.pop("recipe"), {k: v for k, v in given.items() if k != "quiet"}, True)
    rows = reference.train(run, reference.fresh_model(run), quiet=True)
    assert [row["step"] for row in rows if row["val_loss"] is not None] == [5, 10, 12]
    for row, expected in zip(rows, ours, strict=True):
        assert row["learning_rate"] == expected["learning_rate"]
        for name in ("train_loss", "grad_norm", *(["val_loss"] if expected["val_loss"] else [])):
            assert row[name] == pytest.approx(expected[name], rel=1e-11), (row["step"], name)


def test_the_command_ends_as_gpt_train_does(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    from reference_torch import train as reference

    printed = []
    for main, more in ((train.main, ["--out=run", "--no-plot"]), (reference.main, [])):
        assert main([*TINY, text, "--threads=1", *more]) == 0
        printed.append([line for line in capsys.readouterr().out.splitlines() if line.startswith(SAME)])
    assert printed[0] == printed[1]
    assert len(printed[0]) == 5
    assert reference.main([*TINY, text, "--threads=1", "--quiet", "--dropout=0.5"]) == 0
    assert capsys.readouterr() == ("", "")


SAME = ("text ", "model ", "baselines ", "validation loss ")


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--data=nowhere"], "cannot read"),
        (["--heads=3"], "--heads 3 does not divide --width"),
        (["--stepps=3"], "did you mean --steps?"),
        (["--resume=run"], "unrecognized arguments: --resume=run"),
        (["--learning-rate=1e300"], "the loss is"),
    ],
)
def test_errors_have_one_line(flags: list[str], message: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    from reference_torch import train as reference

    assert reference.main([*TINY, text, "--threads=1", "--quiet", *flags]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("reference_torch.train: ")
    assert error.count("\n") == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    from reference_torch import train as reference

    assert reference.main([*TINY, text, "--device=cuda"]) == 2
    assert capsys.readouterr().err == "reference_torch.train: --device cuda: PyTorch finds no GPU; take --device cpu\n"


@pytest.mark.parametrize("module", ["train", "lockstep"])
def test_without_pytorch_one_line_says_what_to_install(module: str, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", f"reference_torch.{module}", "--help"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "pip install torch" in done.stderr
