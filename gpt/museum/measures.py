"""Numbers that a process with a bug measures of itself: gradients of given weights, sums of attention weights.

python -c "from gpt.museum.child import main; main()" NAME gpt.museum.measures KIND RUN FILE.npz
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from gpt import cli, corpus
from gpt.corpora.progress import on_stderr
from gpt.diagnosis.patient import batches
from gpt.run import checkpoint
from tinytensor import from_numpy, manual_seed
from tinytensor.backend import Array
from tinytensor.ops.attention import attention_forward


def gradients(run: Path) -> dict[str, Array]:
    """Return the gradient of every parameter of the run's last weights, on windows that are evenly spaced over its text."""
    saved = checkpoint.read(run, partial=True)
    model = checkpoint.restore_model(saved, "cpu")
    text = checkpoint.read_corpus(saved, run, on_stderr("gpt.museum"))
    train_ids, _ = corpus.split(text, saved.tokenizer, saved.config.context, fixed=True)
    manual_seed(saved.config.seed)
    x, y = batches(train_ids, saved.config.context)[0]
    _, loss = model(from_numpy(x), from_numpy(y))
    assert loss is not None
    loss.backward()
    return {
        name: np.zeros_like(p.array) if p.grad is None else p.grad.array.copy() for name, p in model.named_parameters()
    }


def sums(run: Path) -> dict[str, Array]:
    """Return the sum of the attention weights of each query: attention mixes values of 1 to it. Mean and range over heads."""
    config = checkpoint.read(run, names=()).config
    T, D = config.context, config.width // config.heads
    q, k = np.random.default_rng(config.seed).standard_normal((2, 32, T, D)).astype(np.float32)
    y, _ = attention_forward(q, k, np.ones_like(k), None, scale=D**-0.5, causal=True)
    return {"sums": y[..., 0]}


KINDS: dict[str, Callable[[Path], dict[str, Array]]] = {"gradients": gradients, "sums": sums}


@cli.command("gpt.museum.measures")
def main(argv: list[str]) -> int:
    kind, run, file = argv
    np.savez(file, **KINDS[kind](Path(run)))
    return 0
