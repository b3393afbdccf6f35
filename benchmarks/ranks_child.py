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
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks.environment import environment
from tinytensor.distributed.ranks import ALONE, Ranks, found

WINDOWS = (1, 2, 4, 8)  # of a shard
SEQUENCE = 5  # steps between two barriers


class Trainer:
    """The parts of a step of gpt.train, and whole steps, on each rank.

    alone: the Shards of this rank, which exchange nothing; together: for each kind of scaling the Shards of all ranks.
    """

    def __init__(self, config: Any, ids: Any, alone: Any, together: dict[str, Any]) -> None:
        self.config, self.ids, self.alone, self.together, self.n = config, ids, alone, together, 0

    def batch(self, shards: Any, windows: int) -> Any:
        """Another batch of so many windows in each step; the rows of this rank."""
        from dataclasses import replace

        from gpt import data

        self.n += 1
        return data.batch(self.ids, replace(self.config, batch_size=windows), self.n, 0, shards.rows)

    def gradient(self, windows: int) -> None:
        """The gradient of the mean loss of so many windows on this rank."""
        self.alone.gradient([self.batch(self.alone, windows)], self.n)

    def update(self) -> None:
        """What a step does after its gradient: clipping, AdamW."""
        from tinytensor import nn

        shards = self.together["strong"]
        if shards.exchange is None:
            nn.utils.clip_grad_norm_(shards.parameters, self.config.grad_clip).item()
        else:
            shards.exchange.clip(self.config.grad_clip)
        shards.optimizer.step()

    def steps(self, scaling: str) -> None:
        """A sequence of whole steps."""
        from gpt.fast.gpu import fast_update
        from gpt.train import update

        shards = self.together[scaling]
        make = fast_update(shards, shards.optimizer) or functools.partial(update, shards, shards.optimizer)
        for _ in range(SEQUENCE):
            make([self.batch(shards, shards.config.batch_size)], self.n, 1e-3)


@contextmanager
def trainer(ranks: Ranks) -> Iterator[Trainer]:
    """The default model of gpt.config on random characters, one thread on each rank."""
    from dataclasses import replace

    from benchmarks.train_step import random_ids
    from gpt.build import build
    from gpt.config import TrainConfig
    from gpt.fast.shards import Shards
    from gpt.optimizer import make_optimizer
    from gpt.train import shard_gradient
    from tinytensor import manual_seed
    from tinytensor.buffers import keep_freed_memory

    keep_freed_memory()

    def shards_of(batch_size: int, ranks: Ranks) -> Any:
        manual_seed(0)  # the same weights on all ranks
        own = replace(config, batch_size=batch_size)
        model = build(own)
        return Shards(model, own, shard_gradient, make_optimizer(model, own), ranks)

    config = TrainConfig(threads=1)
    sizes = {"strong": config.batch_size, "weak": config.batch_size * ranks.size}
    with ExitStack() as stack:
        alone = stack.enter_context(shards_of(config.batch_size, ALONE))
        together = {name: stack.enter_context(shards_of(size, ranks)) for name, size in sizes.items()}
        yield Trainer(config, random_ids(), alone, together)


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
    return {
        **{f"shard {b}": functools.partial(training.gradient, b) for b in WINDOWS},
        **{f"steps {name}": functools.partial(training.steps, name) for name in training.together},
        "update": training.update,
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
        parameters = sum(p.numel() for p in training.alone.parameters)
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
