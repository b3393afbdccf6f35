"""Shards: the gradient of a batch as a sum over parts of it, whoever computes them.

A shard is some windows of a batch. Threads work on shards at the same time, on the same weights with gradients of their
own; micro-steps do so one after the other (--grad-accumulation); and so do ranks, the processes that mpiexec has started,
perhaps on other hosts, with weights of their own that stay equal. The gradient is the sum in each case: of a thread over
its micro-steps, of a rank over its threads, of all over the ranks.

NumPy lets other threads run while it computes. So N threads with one BLAS thread each use N cores for every operation;
a BLAS with N threads uses them for matrix products alone. Neither the split nor the order of the sums depends on which
thread is faster, so the result does not either.
"""

from __future__ import annotations

import copy
import functools
import operator
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np

from gpt.build import Model
from gpt.config import TrainConfig
from gpt.data import Batch, Ids
from gpt.fast.threads import one_blas_thread
from gpt.run.interrupt import Interrupt
from tinytensor import Tensor, from_numpy, manual_seed
from tinytensor.backend import Array
from tinytensor.distributed.ranks import ALONE, Ranks
from tinytensor.nn import flat
from tinytensor.optim import Optimizer
from tinytensor.random import seed_rows

if TYPE_CHECKING:
    from gpt.ranks.exchange import Exchange

Item = TypeVar("Item")
Result = TypeVar("Result")
Batches: TypeAlias = Sequence[Batch] | Sequence[tuple[Tensor, Tensor]]  # inputs and targets, (B, T) each
# shard_gradient(model, x, y, share, scale): see gpt/train.py
ShardGradient: TypeAlias = Callable[[Model, Tensor, Tensor, float, "Tensor | None"], Tensor]

BLOCK = 1 << 17  # numbers that a thread adds at a time


class Shards:
    """Computes gradients with `config.threads` threads on each of the ranks: each takes one shard of every batch.

    Each thread has a copy of the model, which shares the weights' memory but not the gradients. The first copy is the
    model itself. Within the context BLAS has one thread, and the optimizer, if given, works on the same threads.
    """

    def __init__(
        self,
        model: Model,
        config: TrainConfig,
        shard_gradient: ShardGradient,
        optimizer: Optimizer | None = None,
        ranks: Ranks = ALONE,
        interrupt: Interrupt | None = None,
    ) -> None:
        self.config, self.shard_gradient, self.optimizer, self.ranks = config, shard_gradient, optimizer, ranks
        self.models = [model] + [copy.deepcopy(model) for _ in range(config.threads - 1)]
        self.parameters, *self.copies = [list(each.parameters()) for each in self.models]
        self.exchange: Exchange | None = None
        if ranks.size > 1:
            from gpt.ranks.exchange import Exchange  # one process needs none of it

            self.exchange = Exchange(ranks, self.parameters, optimizer, interrupt or Interrupt())
        threads = range(len(self.models))
        self.shards = [
            rows_of(config.batch_size, ranks.rank * len(threads) + n, ranks.size * len(threads)) for n in threads
        ]
        self.rows = slice(self.shards[0].start, self.shards[-1].stop)  # of a batch: those that this rank has

    def __enter__(self) -> Shards:
        self._blas = one_blas_thread()
        self._pool = ThreadPoolExecutor(max(1, len(self.models) - 1))
        if self.optimizer is not None:
            self.optimizer.map = self.map
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self.exchange is not None:
            self.exchange.agree()
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
        """Return the mean loss of the batches. Leaves its gradient, times the scale, in the model's parameters (in a
        ShardedAdamW, which has a piece of them, in its `gradient`).

        Of each batch it takes the windows `rows`, those of this rank. Dropout draws the random numbers of that step; for
        None it goes on with the numbers that come next (see `seed`).
        """
        for parameters in self.copies:
            flat.share_parameters(self.parameters, parameters)
        losses = self.map(lambda shard: self._shard(shard, batches, step, scale), range(len(self.models)))
        for total, *others in zip(*map(flat.gradients, [self.parameters, *self.copies]), strict=True):
            self._add_up(total.reshape(-1), [other.reshape(-1) for other in others])
        loss = functools.reduce(operator.add, losses)
        return loss if self.exchange is None else self.exchange.add_up(loss)

    def _shard(self, shard: int, batches: Batches, step: int | None, scale: Tensor | None) -> Tensor:
        """Leave the gradient of one shard of every batch in this thread's copy; return its part of the mean loss."""
        for parameter in [self.parameters, *self.copies][shard]:
            parameter.grad = None
        if step is not None:
            self.seed(step, shard)
        rows = self.shards[shard]
        own = slice(rows.start - self.rows.start, rows.stop - self.rows.start)
        share = (rows.stop - rows.start) / self.config.batch_size / len(batches)
        losses = []
        for ids, targets in batches:
            x, y = self._part(ids, own), self._part(targets, own)  # (B / shards, T) each
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

        A mask belongs to (seed, step, row of the batch): it does not depend on the number of threads and ranks. On GPUs it
        does on that of the ranks: one seed draws all masks of a GPU.
        """
        if not self.config.dropout:
            return
        if self.config.device == "cpu":
            rows = self.shards[shard]
            seed_rows(seed_of(self.config.seed, step), range(rows.start, rows.stop))
        else:  # one shard on each GPU
            manual_seed(seed_of(self.config.seed, step, *[self.ranks.rank] * (self.ranks.rank > 0)))


def rows_of(length: int, shard: int, shards: int) -> slice:
    """Return which of `length` rows belong to the shard. Sizes differ by one at most; the first shards are the larger."""
    size, larger = divmod(length, shards)
    start = shard * size + min(shard, larger)
    return slice(start, start + size + (shard < larger))


def seed_of(*numbers: int) -> int:
    """Make one seed of several numbers, so that a resumed run drops the same activations."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]) >> 1
