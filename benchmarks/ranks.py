"""A training step of several processes under mpiexec, beside as many threads of one process, and PyTorch's.

    python -m benchmarks.ranks
    python -m benchmarks.ranks --sizes 4,4,128,64,12 --threads 1 2 --engines threads ranks torch

threads     one process, with so many threads
ranks       so many processes with one thread each; one all-reduce a step
shared-out  the same, with AdamW's state shared out: reduce-scatter and all-gather
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
            return {
                "time_step": {"ms": timed(step), "state_mib": None, "computing": [], "waiting": [], "adding_up": []}
            }
    with ranks_step(size, sharded, profiled=False) as (step, shards):
        times = [] if shards.ranks.rank else timed(step)
    with ranks_step(size, sharded, profiled=True) as (step, shards):
        split = parts(step, shards.exchange) if shards.exchange is not None and not shards.ranks.rank else {}
    state = state_mib(shards.optimizer)
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
    engines=("threads", "ranks", "shared-out", "torch"),
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
