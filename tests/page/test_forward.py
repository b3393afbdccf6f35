"""The page's forward pass under Node, held to tinytensor.trace: every value, for every option of the model, with edits."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from gpt.bigram import Bigram
from gpt.config import GPTConfig
from gpt.model import GPT

pytestmark = pytest.mark.page
HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "gpt" / "inspection" / "page"
LIMIT = 1e-5  # float64 there, float32 here
SMALL = {"vocab_size": 13, "context": 24, "width": 24, "layers": 2, "heads": 4}
OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "learned": {"positions": "learned"},
    "rms": {"norm": "rms"},
    "no bias": {"bias": False},
    "rms without bias": {"norm": "rms", "bias": False},
    "large epsilon": {"norm_eps": 0.3},
    **{name: {"activation": name} for name in ("gelu", "relu", "silu", "tanh", "swiglu")},
    "odd hidden": {"hidden": 37, "activation": "swiglu"},
    "two groups": {"kv_heads": 2},
    "one group": {"kv_heads": 1, "qk_norm": True},
    "qk norm": {"qk_norm": True},
    "scaled by layer": {"attention_scale": "layer"},
    "not scaled": {"attention_scale": "none"},
    "tied": {"tied": True},
    "one head": {"heads": 1},
    "gpt2": {"positions": "learned", "activation": "gelu-tanh", "tied": True, "init": "gpt2"},
    "all": {
        "norm": "rms", "bias": False, "activation": "swiglu", "kv_heads": 2, "qk_norm": True,
        "attention_scale": "layer", "tied": True, "positions": "learned",
    },
    "bigram": {"model": "bigram"},
}  # fmt: skip


@dataclass
class Cases:
    """Models with their tokens and the engine's values, as files that Node reads."""

    folder: Path
    rows: list[dict[str, Any]] = field(default_factory=list)
    bytes: bytearray = field(default_factory=bytearray)
    exact: bool = False  # values are in float64; weights are in float32 in a page

    def place(self, x: np.ndarray, exact: bool = False) -> dict[str, Any]:
        self.bytes += bytes(-len(self.bytes) % 8)
        offset = len(self.bytes)
        self.bytes += np.ascontiguousarray(x, np.float64 if exact else np.float32).tobytes()
        return {"shape": list(x.shape), "offset": offset, "size": int(x.size), "bits": 64 if exact else 32}

    def add(self, model: Any, ids: np.ndarray, edits: list[tuple[str, int, list[float]]] = []) -> None:  # noqa: B006
        with tt.no_grad(), tt.trace(model) as t:
            for name, index, values in edits:
                t.patch(name, tt.tensor(values) if len(values) > 1 else values[0], (0, index))
            model(tt.tensor(ids[None]))
        named = {
            name: x.array for name, x in t.values.items() if "." in name.rstrip(".01")
        }  # the model's own have no path
        values = {
            name: x if name.startswith("position") else x[0] for name, x in named.items()
        }  # without the batch axis
        lenses = {}
        if model.config.model == "gpt":
            x = t["blocks.0"]
            values["lens"] = model.head(model.norm(x)).array[0]
            lenses = {"blocks.0.output": {"name": "lens"}}
        self.rows.append(
            {
                "config": asdict(model.config),
                "ids": ids.tolist(),
                "weights": {name: self.place(p.array) for name, p in model.named_parameters()},
                "values": {name: self.place(x, self.exact) for name, x in values.items()},
                "edits": [{"name": name, "index": i, "values": values} for name, i, values in edits],
                "lens": lenses,
            }
        )

    def run(self) -> list[dict[str, float | None]]:
        if shutil.which("node") is None:
            pytest.skip("no node")
        (self.folder / "package.json").write_text('{"type": "module"}')
        shutil.copy(PAGE / "forward.js", self.folder)
        (self.folder / "cases.json").write_text(json.dumps(self.rows))
        (self.folder / "bytes.bin").write_bytes(self.bytes)
        command = ["node", str(HERE / "forward.mjs"), str(self.folder)]
        ended = subprocess.run(command, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        found: list[dict[str, float | None]] = json.loads(ended.stdout)
        return found


def made(**options: Any) -> Any:
    """A model none of whose parts is zero, the identity or symmetric, as it would be untrained."""
    config = GPTConfig(**{**SMALL, **options})
    model = Bigram(config) if config.model == "bigram" else GPT(config)
    random = np.random.default_rng(7)
    for name, parameter in model.named_parameters():
        noise = random.normal(size=parameter.shape).astype(np.float32)
        std = 0.4 if parameter.array.ndim == 1 else parameter.shape[-1] ** -0.5
        parameter.array[...] = noise * std + ("norm.weight" in name)
    return model.eval()


def tokens(count: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, SMALL["vocab_size"], count)


def worst(found: dict[str, float | None]) -> tuple[float, str]:
    assert None not in found.values(), [name for name, x in found.items() if x is None]
    return max((x, name) for name, x in found.items() if x is not None)


@pytest.mark.parametrize("name", OPTIONS)
def test_every_value_is_the_engines(name: str, tmp_path: Path, record_property: Any) -> None:
    cases = Cases(tmp_path)
    for count in (1, 2, 23):
        cases.add(made(**OPTIONS[name]), tokens(count))
    found = max(worst(each) for each in cases.run())
    record_property("said", f"forward.js, {name}: largest difference {found[0]:.1e}, of {found[1]}")
    assert found[0] <= LIMIT, found


@pytest.mark.parametrize("name", OPTIONS)
def test_what_differs_is_the_rounding_of_float32(name: str, tmp_path: Path) -> None:
    """The engine in float64 with the same weights: the page's numbers to the last digits."""
    cases, model = Cases(tmp_path), made(**OPTIONS[name])
    cases.exact = True
    cases.add(model.double(), tokens(23))
    found = worst(cases.run()[0])
    assert found[0] <= 1e-12, found


EDITS: dict[str, list[tuple[str, int, list[float]]]] = {
    "a head": [("blocks.0.attention.weights", 1, [0.0])],
    "several heads": [("blocks.0.attention.weights", 0, [0.0]), ("blocks.1.attention.weights", 3, [0.0]),
                      ("blocks.1.attention.weights", 0, [0.0])],
    "a residual": [("blocks.0.output", 4, np.linspace(-1, 1, 24).tolist())],
    "an embedding": [("embedding.output", 0, np.linspace(2, -1, 24).tolist())],
    "the input of a module": [("blocks.1.attention_norm.input", 2, [0.25])],
    "the input of a block": [("blocks.1.input", 2, [0.25])],
    "weights of the future": [("blocks.1.attention.weights", 2, [0.05])],
    "scores": [("blocks.0.attention.scores", 2, [0.5])],
    "logits": [("head.output", 3, [1.0])],
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
@pytest.mark.parametrize("options", ["default", "all"])
def test_edits_are_the_engines(name: str, options: str, tmp_path: Path) -> None:
    cases = Cases(tmp_path)
    model = made(**OPTIONS[options])
    cases.add(model, tokens(9))
    cases.add(model, tokens(9), EDITS[name])
    plain, edited = cases.run()
    assert max(worst(plain), worst(edited))[0] <= LIMIT
    before, after = (case["values"]["head.output"] for case in cases.rows)
    logits = [np.frombuffer(cases.bytes, np.float32, at["size"], at["offset"]) for at in (before, after)]
    assert np.abs(logits[0] - logits[1]).max() > 1e-3  # the edit does something


def test_the_whole_context_of_the_default_model(tmp_path: Path, record_property: Any) -> None:
    config = GPTConfig(vocab_size=65, context=256)
    model = GPT(config).eval()
    random = np.random.default_rng(1)
    for parameter in model.parameters():
        if parameter.array.ndim == 2:
            parameter.array[...] = random.normal(size=parameter.shape) * parameter.shape[-1] ** -0.5
    cases = Cases(tmp_path)
    cases.add(model, random.integers(0, 65, 256))
    found = worst(cases.run()[0])
    record_property("said", f"forward.js, 256 tokens: largest difference {found[0]:.1e}, of {found[1]}")
    assert found[0] <= LIMIT, found
