"""A batch split over threads: each has its own gradients and shares the weights' memory.

NumPy lets other threads run while it computes, so N threads with one BLAS thread each use N cores
for every operation, where a BLAS with N threads uses them for matrix products alone. The split and
the order of the sums are fixed, so the result does not depend on which thread is faster.
"""

from __future__ import annotations

import copy
import functools
import operator
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from gpt.config import TrainConfig
from gpt.data import Ids
from gpt.model import GPT, Bigram
from gpt.optimizer import make_scaler
from tinytensor import Tensor, manual_seed
from tinytensor.amp import GradScaler
from tinytensor.backend import Array
from tinytensor.nn import Parameter
from tinytensor.nn.flat import Flat, gradients
from tinytensor.optim import Optimizer
from tinytensor.tensor import wrap

Batch = tuple[Ids, Ids]
A = TypeVar("A")
B = TypeVar("B")


def usable_cores() -> int:
    """Cores that this process may run on, which containers and taskset can make few."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def one_blas_thread() -> threadpool_limits:
    """A context without BLAS's own threads, which wait for each other busily: on cores that are
    shared with other work that makes small products many times slower."""
    return threadpool_limits(1, user_api="blas")


def ordered_map(function: Callable[[A], B], items: Iterable[A], threads: int) -> list[B]:
    """[function(item) for item in items], on several threads."""
    with one_blas_thread(), ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, items))


BLOCK = 1 << 17  # elements that a thread adds at a time


class Shards:
    """`threads` copies of a model with the same parameters, not the same gradients.

    Within the context BLAS is held to one thread, and the optimizer, if given, shares its work among the same threads.
    The first copy is the model itself. Gradients are those of the loss times the scaler's scale.
    """

    def __init__(
        self,
        model: GPT | Bigram,
        config: TrainConfig,
        optimizer: Optimizer | None = None,
        scaler: GradScaler | None = None,
    ) -> None:
        self.config, self.optimizer = config, optimizer
        self.scaler = scaler or make_scaler(config)
        self.models = [model] + [copy.deepcopy(model) for _ in range(config.threads - 1)]
        self.parameters = [list(each.parameters()) for each in self.models]

    def __enter__(self) -> Shards:
        self._blas = one_blas_thread()
        self._pool = ThreadPoolExecutor(max(1, len(self.models) - 1))
        if self.optimizer is not None:
            self.optimizer.map = self.map
        return self

    def __exit__(self, *_: object) -> None:
        if self.optimizer is not None:
            self.optimizer.map = map
        self._pool.shutdown()
        self._blas.restore_original_limits()

    def map(self, function: Callable[[A], B], items: Iterable[A]) -> list[B]:
        """[function(item) for item in items]; thread n takes every item with index n modulo `threads`."""
        items, threads = list(items), len(self.models)
        jobs = [self._pool.submit(lambda n: [function(x) for x in items[n::threads]], n) for n in range(1, threads)]
        try:
            parts = [[function(x) for x in items[::threads]]]  # this thread works as well
        finally:
            wait(jobs)
        parts += [job.result() for job in jobs]
        return [parts[i % threads][i // threads] for i in range(len(items))]

    def gradient(self, batches: Sequence[Batch], step: int | None) -> Tensor:
        """Return the batches' mean loss, and leave its gradient in the model's parameters.

        Dropout draws the numbers of that step; for None those that follow (see `seed`).
        """
        for twins in self.parameters[1:]:
            share(self.parameters[0], twins)
        losses = self.map(lambda shard: self._shard(shard, batches, step), range(len(self.models)))
        for total, *others in zip(*map(gradients, self.parameters), strict=True):
            self._add_up(total.reshape(-1), [other.reshape(-1) for other in others])
        return functools.reduce(operator.add, losses)

    def _add_up(self, total: Array, others: list[Array]) -> None:
        """total += Σ others, each thread in blocks of its own."""

        def add(start: int) -> None:
            block = slice(start, start + BLOCK)
            for other in others:
                total[block] += other[block]

        self.map(add, range(0, total.size if others else 0, BLOCK))

    def seed(self, step: int, shard: int = 0) -> None:
        """Let this thread draw the numbers of that step and shard, for dropout."""
        if self.config.dropout:
            manual_seed(seed_of(self.config.seed, step, 0, shard))

    def _shard(self, shard: int, batches: Sequence[Batch], step: int | None) -> Tensor:
        """One thread's part of every batch, weighted by its share of the tokens."""
        model = self.models[shard]
        losses: list[Tensor] = []
        for parameter in self.parameters[shard]:
            parameter.grad = None
        if step is not None:
            self.seed(step, shard)
        for ids, targets in batches:
            x, y = (wrap(np.array_split(each, len(self.models))[shard]) for each in (ids, targets))  # (B / threads, T)
            _, loss = model(x.to(self.config.device), y.to(self.config.device))
            part = len(x) / len(ids) / len(batches)
            loss = loss if part == 1 else loss * part
            self.scaler.scale(loss).backward()
            losses.append(loss.detach())
        return functools.reduce(operator.add, losses)  # where they lie: nobody waits for a GPU


def seed_of(*numbers: int) -> int:
    """A seed from several numbers, so that resumed runs drop the same activations."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]) >> 1


def share(parameters: Sequence[Parameter], twins: Sequence[Parameter]) -> None:
    """Let the twins have the parameters' memory, and their gradients the same layout."""
    pairs = list(zip(parameters, twins, strict=True))
    if all(twin.array is p.array for p, twin in pairs):
        return
    twin_of = dict(pairs)
    for flat in {p._flat: None for p in parameters if p._flat is not None}:
        Flat([twin_of[p] for p in flat.parameters], like=flat)
    for p, twin in pairs:
        twin.data = p.data
