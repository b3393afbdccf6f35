"""Shards: a batch shared by threads, which work at the same time on the same weights with gradients of their own.

NumPy lets other threads run while it computes. So N threads with one BLAS thread each use N cores for every operation;
a BLAS with N threads uses them for matrix products alone. Neither the split nor the order of the sums depends on which
thread is faster, so the result does not either.
"""

from __future__ import annotations

import copy
import functools
import operator
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeAlias, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController, threadpool_limits

from gpt.build import Model
from gpt.config import TrainConfig
from gpt.data import Batch, Ids
from tinytensor import Tensor, from_numpy, manual_seed
from tinytensor.backend import Array
from tinytensor.nn import flat
from tinytensor.optim import Optimizer
from tinytensor.random import seed_rows

Item = TypeVar("Item")
Result = TypeVar("Result")
Batches: TypeAlias = Sequence[Batch] | Sequence[tuple[Tensor, Tensor]]  # inputs and targets, (B, T) each
# shard_gradient(model, x, y, share, scale): see gpt/train.py
ShardGradient: TypeAlias = Callable[[Model, Tensor, Tensor, float, "Tensor | None"], Tensor]

BLOCK = 1 << 17  # numbers that a thread adds at a time


def usable_cores() -> int:
    """Return the number of cores that this process may use; containers and taskset can make it small."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def one_blas_thread() -> threadpool_limits:
    """A context in which BLAS starts no threads of its own.

    BLAS's threads wait for each other in busy loops. Where other work shares the cores, this makes small products many
    times slower.
    """
    return threadpool_limits(1, user_api="blas")


def one_blas_thread_each(items: Iterator[Item]) -> Iterator[Item]:
    """Yield the items. BLAS has one thread while one is computed; between them it has as many as the caller set."""
    blas: Any = ThreadpoolController()
    end: Any = object()
    if all(each["num_threads"] == 1 for each in blas.select(user_api="blas").info()):  # setting it takes 20 us
        yield from items
        return
    while True:
        with blas.limit(limits=1, user_api="blas"):
            item = next(items, end)
        if item is end:
            return
        yield item


def ordered_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    threads: int,
    each: Callable[[Result], object] | None = None,
) -> list[Result]:
    """Return [function(item) for item in items], computed by several threads. Calls each(result) in that order.

    Two items for each thread wait at most: all of them together may not fit into memory.
    """
    results: list[Result] = []
    waiting: deque[Future[Result]] = deque()

    def take() -> None:
        results.append(waiting.popleft().result())
        if each is not None:
            each(results[-1])

    with one_blas_thread(), ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                if len(waiting) > 2 * threads:
                    take()
                waiting.append(pool.submit(function, item))
            while waiting:
                take()
        finally:
            for each_left in waiting:
                each_left.cancel()
    return results


class Shards:
    """Computes gradients with `config.threads` threads: thread n takes shard n of every batch.

    Each thread has a copy of the model, which shares the weights' memory but not the gradients. The first copy is the
    model itself. Within the context BLAS has one thread, and the optimizer, if given, works on the same threads.
    """

    def __init__(
        self, model: Model, config: TrainConfig, shard_gradient: ShardGradient, optimizer: Optimizer | None = None
    ) -> None:
        self.config, self.shard_gradient, self.optimizer = config, shard_gradient, optimizer
        self.models = [model] + [copy.deepcopy(model) for _ in range(config.threads - 1)]
        self.parameters, *self.copies = [list(each.parameters()) for each in self.models]

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

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Return [function(item) for item in items]. Thread n computes the items with index n modulo `threads`."""
        items, threads = list(items), len(self.models)
        jobs = [self._pool.submit(lambda n: [function(x) for x in items[n::threads]], n) for n in range(1, threads)]
        try:
            parts = [[function(x) for x in items[::threads]]]  # the calling thread works as well
        finally:
            wait(jobs)
        parts += [job.result() for job in jobs]
        return [parts[i % threads][i // threads] for i in range(len(items))]

    def gradient(self, batches: Batches, step: int | None, scale: Tensor | None = None) -> Tensor:
        """Return the mean loss of the batches. Leaves its gradient, times the scale, in the model's parameters.

        Dropout draws the random numbers of that step; for None it goes on with the numbers that come next (see `seed`).
        """
        for parameters in self.copies:
            flat.share_parameters(self.parameters, parameters)
        losses = self.map(lambda shard: self._shard(shard, batches, step, scale), range(len(self.models)))
        for total, *others in zip(*map(flat.gradients, [self.parameters, *self.copies]), strict=True):
            self._add_up(total.reshape(-1), [other.reshape(-1) for other in others])
        return functools.reduce(operator.add, losses)

    def _shard(self, shard: int, batches: Batches, step: int | None, scale: Tensor | None) -> Tensor:
        """Leave the gradient of one shard of every batch in this thread's copy; return its part of the mean loss."""
        for parameter in [self.parameters, *self.copies][shard]:
            parameter.grad = None
        if step is not None:
            self.seed(step, shard)
        losses = []
        for ids, targets in batches:
            rows = rows_of(len(ids), shard, len(self.models))
            x, y = self._part(ids, rows), self._part(targets, rows)  # (B / threads, T) each
            share = len(x) / len(ids) / len(batches)
            losses.append(self.shard_gradient(self.models[shard], x, y, share, scale))
        return functools.reduce(operator.add, losses)  # a Tensor: nobody waits for a GPU to read it

    def _part(self, ids: Ids | Tensor, rows: slice) -> Tensor:
        part = ids[rows] if isinstance(ids, Tensor) else from_numpy(ids[rows])
        return part.to(self.config.device)

    def _add_up(self, total: Array, others: list[Array]) -> None:
        """total += Σ others. Each thread adds blocks of its own."""

        def add(start: int) -> None:
            block = slice(start, start + BLOCK)
            for other in others:
                total[block] += other[block]

        self.map(add, range(0, total.size if others else 0, BLOCK))

    def seed(self, step: int, shard: int = 0) -> None:
        """Let dropout in this thread draw the masks of that step.

        A mask belongs to (seed, step, row of the batch): it does not depend on the number of threads.
        """
        if not self.config.dropout:
            return
        seed = seed_of(self.config.seed, step)
        if self.config.device == "cpu":
            rows = rows_of(self.config.batch_size, shard, len(self.models))
            seed_rows(seed, range(rows.start, rows.stop))
        else:  # one shard: the GPU draws all masks
            manual_seed(seed)


def rows_of(length: int, shard: int, shards: int) -> slice:
    """Return which of `length` rows belong to the shard. Sizes differ by one at most; the first shards are the larger."""
    size, larger = divmod(length, shards)
    start = shard * size + min(shard, larger)
    return slice(start, start + size + (shard < larger))


def seed_of(*numbers: int) -> int:
    """Make one seed of several numbers, so that a resumed run drops the same activations."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]) >> 1
