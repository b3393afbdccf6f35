"""Pages about small models whose parameters are random, and about hostile texts."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from gpt.build import build
from gpt.config import TrainConfig
from gpt.inspection import write
from gpt.inspection.collect import collect
from gpt.inspection.subject import Subject
from gpt.tokenizers import CharTokenizer

PAGE = Path(write.__file__).resolve().parent / "page"
TEXT = "to be, or not to be"
ALPHABET = "".join(sorted(set(TEXT + "see\n")))
SMALL: dict[str, Any] = {"layers": 2, "width": 16, "heads": 4, "context": 32}
ALL: dict[str, Any] = {
    "norm": "rms", "bias": False, "activation": "swiglu", "kv_heads": 2, "qk_norm": True, "attention_scale": "layer",
    "tied": True, "positions": "learned",
}  # fmt: skip


def subject(text: str = TEXT, patch: str | None = None, alphabet: str = ALPHABET, **options: Any) -> Subject:
    """A model none of whose parts is zero, the identity or symmetric, and a text."""
    random = np.random.default_rng(1)
    config = TrainConfig(**{**SMALL, "vocab_size": len(alphabet), "data": "a corpus", **options})
    model = build(config).eval()
    for name, p in model.named_parameters():
        std = 0.4 if p.ndim == 1 else 1.5 * p.shape[-1] ** -0.5
        values = random.normal(0, std, p.shape) + ("norm.weight" in name)
        p.data.copy_(tt.from_numpy(values.astype(np.float32)))
    tokenizer = CharTokenizer(alphabet)
    ids = tokenizer.encode(text)
    given = Subject("runs/small", "the last weights", model, config, tokenizer, ids, len(ids))
    given.patch = None if patch is None else tokenizer.encode(patch)
    given.train, given.step, given.command = tokenizer.encode(alphabet * 40), 100, "python -m gpt.inspect"
    return given


def masked(q: Any, k: Any, v: Any, mask: Any, *, scale: float, causal: bool, point: Any, dropout: Any = None) -> Any:
    """Attention whose weights take three calls: a row that sees nothing would have weights 0."""
    a = q @ k.transpose(-2, -1) * scale
    a = point("scores", a.masked_fill(a.new_ones(a.shape).triu(1) != 0, -np.inf))
    closed = (a == -np.inf).all(-1, keepdim=True)
    return point("weights", a.masked_fill(closed, 0.0).softmax(-1).masked_fill(closed, 0.0)) @ v


def unmasked(q: Any, k: Any, v: Any, mask: Any, *, scale: float, causal: bool, point: Any, dropout: Any = None) -> Any:
    """Attention whose weights are one call of softmax."""
    a = q @ k.transpose(-2, -1) * scale
    a = point("scores", a.masked_fill(a.new_ones(a.shape).triu(1) != 0, -np.inf))
    return point("weights", a.softmax(-1)) @ v


def written(given: Subject, path: Path) -> Path:
    """The page of a subject."""
    path.write_text(write.page(*collect(given)), "utf-8")
    return path


def node(*arguments: str | Path) -> str:
    """What a program under Node prints. Skips where there is no node."""
    if shutil.which("node") is None:
        pytest.skip("no node: install it to run the page's JavaScript outside of a browser")
    ended = subprocess.run(["node", *map(str, arguments)], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def modules(folder: Path) -> Path:
    """The page's scripts in a folder in which Node takes them for ES modules."""
    for file in PAGE.glob("*.js"):
        shutil.copy(file, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    return folder
