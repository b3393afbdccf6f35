"""What mpiexec starts for benchmarks.many_ranks: exchanges, gradients of shards, updates and whole steps, timed.

    mpiexec -n 2 python -m benchmarks.ranks_child '{"repeats": 20, "sizes": [4, 65536]}'

Rank 0 prints one JSON line. All ranks begin a repetition together, after a barrier. Between the steps of a sequence there
is none: their all-reduce is one.
"""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.environment import environment
from tinytensor.distributed.ranks import Ranks, found

WINDOWS = (1, 2, 4, 8)  # of a shard
SEQUENCE = 5  # steps between two barriers


class Trainer:
    """A step of gpt.train on each rank: the gradient of its windows, one all-reduce of all gradients, the update."""

    def __init__(self, ranks: Ranks, config: Any, shards: Any, optimizer: Any, ids: Any) -> None:
        import numpy as np

        self.ranks, self.config, self.shards, self.optimizer, self.ids = ranks, config, shards, optimizer, ids
        self.n, self.buffer = 0, np.empty(sum(p.numel() for p in shards.parameters), np.float32)

    def gradient(self, windows: int) -> None:
        """The gradient of the mean loss of so many windows, other ones on each rank and in each step."""
        from dataclasses import replace

        from gpt import data

        self.n += 1
        seed = self.config.seed + self.ranks.rank
        batch = data.batch(self.ids, replace(self.config, batch_size=windows, seed=seed), self.n)
        self.shards.gradient([batch], self.n)

    def copied(self, back: bool) -> None:
        """Copy the gradients into one buffer, or back."""
        from tinytensor.nn import flat

        start = 0
        for part in flat.gradients(self.shards.parameters):
            ours, theirs = part.reshape(-1), self.buffer[start : start + part.size]
            if back:
                ours[:] = theirs
            else:
                theirs[:] = ours
            start += part.size

    def update(self, reduce: bool = False) -> None:
        """What a step does after its gradient: two copies with the exchange between them, clipping, AdamW."""
        from tinytensor import nn

        self.copied(back=False)
        if reduce:
            self.ranks.all_reduce(self.buffer)
            self.buffer /= self.ranks.size
        self.copied(back=True)
        nn.utils.clip_grad_norm_(self.shards.parameters, self.config.grad_clip).item()
        self.optimizer.step()

    def steps(self, windows: int) -> None:
        """A sequence of whole steps."""
        for _ in range(SEQUENCE):
            self.gradient(windows)
            self.update(reduce=True)


@contextmanager
def trainer(ranks: Ranks) -> Iterator[Trainer]:
    """The default model of gpt.config on random characters, one thread."""
    from benchmarks.train_step import random_ids
    from gpt.build import build
    from gpt.config import TrainConfig
    from gpt.fast.threads import Shards
    from gpt.optimizer import make_optimizer
    from gpt.train import shard_gradient
    from tinytensor.buffers import keep_freed_memory

    keep_freed_memory()
    config = TrainConfig(threads=1)
    model = build(config)
    optimizer = make_optimizer(model, config)
    with Shards(model, config, shard_gradient, optimizer) as shards:
        yield Trainer(ranks, config, shards, optimizer, random_ids())


Call = Callable[[], object]
Times = list[tuple[float, ...]]  # of each repetition, the seconds of each rank


def passes(ranks: Ranks, calls: dict[str, Call], repeats: int) -> dict[str, Times]:
    """The seconds of every call on every rank. The calls take turns, so that other work on the machine slows all."""
    own: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(repeats + 1):
        for name, call in calls.items():
            ranks.barrier()
            started = time.perf_counter()
            call()
            if i:  # the first pass warms up
                own[name].append(time.perf_counter() - started)
    return {name: list(zip(*ranks.collect(own[name]), strict=True)) for name in calls}


def training_calls(training: Trainer) -> dict[str, Call]:
    """Shards of some sizes, the update, and sequences of steps: of the same batch for all ranks, and of one for each."""
    batch, size = training.config.batch_size, training.ranks.size
    steps = {"strong": batch // size, "weak": batch}
    return {
        **{f"shard {b}": functools.partial(training.gradient, b) for b in WINDOWS},
        "update": training.update,
        **{f"steps {name}": functools.partial(training.steps, b) for name, b in steps.items()},
    }


def exchange_calls(ranks: Ranks, sizes: list[int]) -> dict[str, Call]:
    """Each operation on arrays of some sizes; the bytes are those of the whole array."""
    import numpy as np

    calls: dict[str, Call] = {}
    for size in sizes if ranks.size > 1 else ():
        part = np.zeros(max(1, size // 4 // ranks.size), np.float32)
        whole = np.zeros(part.size * ranks.size, np.float32)
        calls[f"all_reduce {whole.nbytes}"] = functools.partial(ranks.all_reduce, whole)
        calls[f"reduce_scatter {whole.nbytes}"] = functools.partial(ranks.reduce_scatter, whole, part)
        calls[f"all_gather {whole.nbytes}"] = functools.partial(ranks.all_gather, part, whole)
    x, y = np.zeros(sizes[-1] // 4, np.float32), np.zeros(sizes[-1] // 4, np.float32)
    calls[f"addition {x.nbytes}"] = functools.partial(np.add, x, y, out=x)
    return calls


def measure(ranks: Ranks, sizes: list[int], repeats: int) -> dict[str, Any]:
    """Everything that is measured on that many ranks."""
    with trainer(ranks) as training:
        times = passes(ranks, {**training_calls(training), **exchange_calls(ranks, sizes)}, repeats)
        parameters = training.buffer.size
    for name in times:
        if name.startswith("steps "):
            times[name] = [tuple(seconds / SEQUENCE for seconds in each) for each in times[name]]
    return {"ranks": ranks.size, "parameters": parameters, "times": times, "environment": environment()}


def main(argument: str) -> int:
    ranks = found()
    answer = measure(ranks, **json.loads(argument))
    if ranks.rank == 0:
        print(json.dumps(answer), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
