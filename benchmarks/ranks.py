"""A training step of several processes under mpiexec, beside as many threads of one process, and PyTorch's.

    python -m benchmarks.ranks
    python -m benchmarks.ranks --sizes 4,4,128,64,12 --threads 1 2 --engines threads ranks torch

threads     one process, with so many threads
ranks       so many processes with one thread each; one all-reduce a step
shared-out  the same, with AdamW's state shared out: reduce-scatter and all-gather
buckets     so many processes, with nn.parallel.DistributedDataParallel: gradients leave in buckets of 1 MiB while the
            backward goes on
one-bucket  the same with one bucket for all gradients, when the backward has ended
torch       one process of PyTorch, with so many threads

The last columns say where rank 0 spends a step: computing, waiting for the other ranks, and adding up with them. They are
measured in steps of their own, in which the ranks wait for each other first.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.cli import ENGINE, MEDIAN, MIN, PEAK, SIZE, SPREAD, TO_TORCH, Benchmark, Column, number, ratio_to
from benchmarks.harness import Case, Results, Size, timed
from benchmarks.plots import bars
from benchmarks.train_step import config_of, random_ids, steps_of, tinytensor_step, torch_step

PROFILED = 30  # steps
BUCKETS = {"buckets": 1.0, "one-bucket": 1e6}  # MiB
NO_PARTS: dict[str, list[float]] = {"computing": [], "waiting": [], "adding_up": []}


@contextmanager
def ranks_step(size: Size, sharded: bool, profiled: bool) -> Iterator[tuple[Callable[[], object], Any]]:
    """The step of gpt.train on these ranks, and its Shards. The first rank makes steps; the others follow until it ends."""
    from gpt.build import build
    from gpt.fast.shards import Shards
    from gpt.optimizer import make_optimizer
    from gpt.ranks.sharded import make_sharded
    from gpt.run.interrupt import Interrupt
    from gpt.train import shard_gradient
    from tinytensor import manual_seed
    from tinytensor.buffers import keep_freed_memory
    from tinytensor.distributed.ranks import found

    keep_freed_memory()
    ranks, interrupt, config, ids = found(), Interrupt(), config_of(size, 1), random_ids()
    manual_seed(0)
    model = build(config)
    optimizer = make_sharded(model, config, ranks) if sharded and ranks.size > 1 else make_optimizer(model, config)
    with Shards(model, config, shard_gradient, optimizer, ranks, interrupt) as shards:
        step = steps_of(shards, optimizer, ids)
        if shards.exchange is not None:
            shards.exchange.is_profiled = profiled
        while ranks.rank and interrupt.signal is None:
            step()
        yield step, shards
        if ranks.size > 1 and not ranks.rank:
            interrupt.received = signal.SIGTERM
            step()


@contextmanager
def ddp_step(size: Size, bucket_mib: float) -> Iterator[tuple[Callable[[], object], Any]]:
    """The same step with DistributedDataParallel, and the ranks. An all-reduce tells the others whether one more follows."""
    import numpy as np

    from gpt import data
    from gpt.build import build
    from gpt.fast.shards import rows_of
    from gpt.fast.threads import one_blas_thread
    from gpt.optimizer import make_optimizer
    from tinytensor import distributed, from_numpy, manual_seed, nn
    from tinytensor.buffers import keep_freed_memory
    from tinytensor.distributed.ranks import found

    keep_freed_memory()
    if not distributed.is_initialized():
        distributed.init_process_group("mpi")
    ranks, config, ids, steps = found(), config_of(size, 1), random_ids(), iter(range(10**9))
    manual_seed(0)
    model = build(config)
    wrapped, optimizer = (
        nn.parallel.DistributedDataParallel(model, bucket_cap_mb=bucket_mib),
        make_optimizer(model, config),
    )
    rows, goes_on = rows_of(config.batch_size, ranks.rank, ranks.size), np.ones(1, np.int32)

    def step() -> object:
        ranks.all_reduce(goes_on, "min")
        if not goes_on[0]:
            return None
        x, y = (from_numpy(part) for part in data.batch(ids, config, next(steps), 0, rows))
        optimizer.zero_grad()
        _, loss = wrapped(x, y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip).item()
        optimizer.step()
        return loss.item()

    with one_blas_thread():
        while ranks.rank and step() is not None:
            pass
        yield step, ranks
        if not ranks.rank:
            goes_on[0] = 0
            step()


def parts(step: Callable[[], object], exchange: Any) -> dict[str, list[float]]:
    """Milliseconds of this rank for waiting, adding up, and all else, in each of PROFILED steps."""
    spent: dict[str, list[float]] = {"waiting": [], "adding_up": [], "computing": []}

    def clocked(name: str, function: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            started = time.perf_counter()
            function()
            spent[name].append(1e3 * (time.perf_counter() - started))

        return run

    exchange.wait, exchange.reduce = clocked("waiting", exchange.wait), clocked("adding_up", exchange.reduce)
    for _ in range(PROFILED):
        started = time.perf_counter()
        step()
        whole = 1e3 * (time.perf_counter() - started)
        spent["computing"].append(whole - spent["waiting"][-1] - spent["adding_up"][-1])
    return spent


def measure(case: Case) -> Results:
    size, sharded = Size.parse(case.size), case.engine == "shared-out"
    if case.engine in ("threads", "torch"):
        with (tinytensor_step if case.engine == "threads" else torch_step)(size, case.threads) as step:
            return {"time_step": {"ms": timed(step), "state_mib": None, **NO_PARTS}}
    if case.engine in BUCKETS:
        with ddp_step(size, BUCKETS[case.engine]) as (step, ranks):
            return {"time_step": {"ms": [] if ranks.rank else timed(step), "state_mib": None, **NO_PARTS}}
    with ranks_step(size, sharded, profiled=False) as (step, shards):
        times = [] if shards.ranks.rank else timed(step)
        state = state_mib(shards.optimizer)
    with ranks_step(size, sharded, profiled=True) as (step, shards):
        split = parts(step, shards.exchange) if shards.exchange is not None and not shards.ranks.rank else {}
    return {
        "time_step": {
            "ms": times,
            "state_mib": state,
            **{name: split.get(name, []) for name in ("computing", "waiting", "adding_up")},
        }
    }


def state_mib(optimizer: Any) -> float:
    """MiB of AdamW's moments on this rank."""
    if hasattr(optimizer, "m"):  # shared out
        return float(optimizer.m.nbytes + optimizer.v.nbytes) / 2**20
    moments = [x.array for state in optimizer.state.values() for name, x in state.items() if name != "step"]
    return float(sum(x.nbytes for x in moments)) / 2**20


def workers(row: Any) -> object:
    return row["threads"]


BENCHMARK = Benchmark(
    name="ranks",
    text=__doc__,
    engines=("threads", "ranks", "shared-out", *BUCKETS, "torch"),
    threads=(1, 2),
    sizes=("2,4,128,128,8", "4,4,128,64,12", "6,6,384,256,4"),
    check_size=Size.parse,
    repeats=3,
    columns=(
        SIZE, Column("workers", workers), ENGINE, MEDIAN, MIN, SPREAD, ratio_to("threads"), TO_TORCH,
        number("computing", "computing"), number("waiting", "waiting"), number("adding up", "adding_up"),
        PEAK, number("moments MiB", "state_mib", ".1f"),
    ),
    draw=bars("milliseconds for a training step"),
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
