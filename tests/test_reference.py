"""gpt/model.py and reference_torch/model.py are the same file but for their imports, and give the same numbers."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import tinytensor as tt
from gpt.config import RECIPES, GPTConfig
from gpt.model import build

torch = pytest.importorskip("torch")

ROOT = Path(__file__).parent.parent
SMALL = GPTConfig(vocab_size=11, context=8, width=16, layers=2, heads=2)
VARIANTS = {
    "default": {},
    "learned": {"positions": "learned", "init": "gpt2"},
    "nanogpt": {name: getattr(RECIPES["nanogpt"], name) for name in ("positions", "gelu", "bias", "tied", "init")},
    "bigram": {"model": "bigram"},
}


def test_they_differ_in_their_imports_alone() -> None:
    files = [(ROOT / folder / "model.py").read_text("utf-8").splitlines() for folder in ("gpt", "reference_torch")]
    ours, theirs = ([line for line in lines if not line.startswith(("from ", "import "))] for lines in files)
    assert ours == theirs


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_loss_and_gradients_agree(variant: str, dtype: str) -> None:
    import reference_torch.model as reference

    config = dataclasses.replace(SMALL, **VARIANTS[variant])
    ours, theirs = build(config).to(getattr(tt, dtype)), reference.build(config).to(getattr(torch, dtype))
    for p in ours.parameters():  # large enough for every part to have a say
        tt.nn.init.normal_(p, std=0.3)
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
