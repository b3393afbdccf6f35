"""The panel's explanations: each number is what its formula gives, and what all numbers pass back adds up to the gradients."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pages import ALL, masked, modules, node, subject, unmasked, written

pytestmark = pytest.mark.page
HERE = Path(__file__).resolve().parent
HALF = 2e-3  # gradients of values are in half precision in the page: 2⁻¹¹ of each number, some of which are summed
OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "all": ALL,
    "gpt2": {"positions": "learned", "tied": True, "bias": False, "activation": "gelu"},
    "others": {"activation": "relu", "norm_eps": 0.1, "hidden": 20, "kv_heads": 1, "attention_scale": "none"},
    "rms": {"norm": "rms", "activation": "silu", "qk_norm": True},
    "tanh": {"activation": "tanh", "heads": 1},
    "bigram": {"model": "bigram"},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_number_of_the_pass_is_explained(name: str, tmp_path: Path, record_property: Any) -> None:
    written(subject("not to be", **OPTIONS[name]), tmp_path / "page.html")
    shutil.copy(HERE / "derive.mjs", tmp_path)
    found = json.loads(node(tmp_path / "derive.mjs", modules(tmp_path)))
    held(found, record_property, name)


@pytest.mark.parametrize("attention", [masked, unmasked], ids=["where, softmax, where", "softmax"])
def test_the_weights_may_take_one_call_or_three(
    attention: Any, tmp_path: Path, record_property: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("tinytensor.nn.functional.attention.attention_composed", attention)
    written(subject("not to be"), tmp_path / "page.html")
    shutil.copy(HERE / "derive.mjs", tmp_path)
    found = json.loads(node(tmp_path / "derive.mjs", modules(tmp_path)))
    held(found, record_property, "attention")
    calls = ["where", "softmax", "where"] if attention is masked else ["softmax"]
    assert found["made"]["blocks.1.attention.weights"] == {"calls": calls, "formula": "y = eˣ / Σ eˣ"}


def held(found: Any, record_property: Any, name: str) -> None:
    """Every number, every gradient and every shown formula of a page is right."""
    assert found["forward"] <= 1e-12
    assert found["calculated"] > 50 and found["wrong"] == [], found["wrong"][:5]  # also on a calculator
    worst = max((x, value) for value, x in found["values"].items()) if found["values"] else (0.0, "")
    record_property("said", f"derive.js, {name}: a gradient differs by {worst[0]:.1e} of its largest, of {worst[1]}")
    assert "head.output" in found["values"] and worst[0] <= HALF, worst
    assert max(found["parameters"].values()) <= 1e-12, found["parameters"]  # sums of the same numbers in another order
    assert set(found["norms"]) == set(found["engine"])
    for parameter, norm in found["engine"].items():
        assert found["norms"][parameter] == pytest.approx(norm, rel=HALF), parameter
