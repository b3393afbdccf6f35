"""The exchange of ranks on the real CuPy, beside NumPy's: python tests/cuda/ranks.py [--emulated]

There is one device and one process: the second rank is played by TWICE, whose sum is twice what the first one has. So this
shows where the numbers lie and what a step asks of the device, and NCCL itself has no part in it.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import gpu  # first: before cupy is imported
import numpy as np

import tinytensor as tt
from gpt import data
from gpt.config import RECIPES, TrainConfig
from gpt.fast.gpu import fast_update
from gpt.fast.half import make_scaler
from gpt.fast.shards import Shards
from gpt.model import GPT
from gpt.optimizer import Outcome, make_optimizer
from gpt.train import shard_gradient
from tinytensor.backend import array_module
from tinytensor.distributed.ranks import Ranks

STEPS = 6
LIMITS = {"float32": 1e-5, "float16": 2e-2}  # of each loss and norm
SMALL = {"vocab_size": 11, "context": 8, "width": 16, "layers": 1, "heads": 2, "threads": 1, "batch_size": 4}
IDS = np.random.default_rng(0).integers(0, 11, 500)


class Twice(Ranks):
    """The first of two ranks that have the same."""

    size, sharing, hosts = 2, 2, ("a", "b")

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, int]] = []

    def all_reduce(self, x: Any, op: str = "sum") -> None:
        assert op == "sum"
        self.calls.append((array_module(x).__name__, str(x.dtype), x.size))
        x *= 2


def train(config: TrainConfig) -> tuple[list[Outcome], Twice, int]:
    """The outcomes of STEPS updates, what was exchanged, and the number of parameters."""
    tt.manual_seed(0)
    model, ranks = GPT(config).to(config.device, dtype=getattr(tt, config.dtype)), Twice()
    optimizer, scaler = make_optimizer(model, config), make_scaler(config)
    outcomes = []
    with Shards(model, config, shard_gradient, optimizer, ranks) as shards:
        step_once = fast_update(shards, optimizer, scaler)
        assert step_once is not None
        for step in range(STEPS):
            outcomes.append(step_once([data.batch(IDS, config, step, 0, shards.rows)], step, 1e-3))
        assert shards.exchange is not None
        assert shards.exchange.agreed() is None
    return outcomes, ranks, sum(p.numel() for p in model.parameters())


def agree(dtype: str) -> bool:
    """Train on both and compare; whether they agree."""
    config = dataclasses.replace(RECIPES["default"], **SMALL, dtype=dtype)
    expected, _, count = train(config)
    found, ranks, _ = train(dataclasses.replace(config, device="cuda"))
    pairs = list(zip(found, expected, strict=True))
    apart = max(abs(a - b) / abs(b) for x, y in pairs for a, b in zip(x, y, strict=True))
    print(f"{dtype}: {STEPS} updates of one of two ranks: {apart:.1e} apart, exchanged {ranks.calls[0]} each")
    once = ranks.calls == [("cupy", "float32", count + count % 2 + 4)] * STEPS
    return once and apart <= LIMITS[dtype]


def main() -> int:
    """Compare both precisions; 0 if all agree and nothing was left undone."""
    found = [agree(dtype) for dtype in LIMITS]
    troubles = gpu.troubles()
    print("".join(f"emulator: {what}: {n}\n" for what, n in troubles.items()), end="")
    return int(not all(found) or bool(troubles))


if __name__ == "__main__":
    gpu.finish(main())
