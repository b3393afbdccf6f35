"""A training step of the plain engine, and after each change that made it faster, one on top of the other.

    python -m benchmarks.ladder
    python -m benchmarks.ladder --sizes 4,4,128,64,12 --threads 1 --repeats 5

plain       operations one by one, in fresh memory each time, BLAS with all threads, AdamW for each parameter
fused       attention, layer norm, GELU, cross entropy and linear as one primitive each
memory      freed blocks are kept for the next step (buffers.keep_freed_memory)
shards      Python threads share the batch, each with one BLAS thread (gpt.fast.shards.Shards)
flat        parameters, gradients, moments are vectors (AdamW(fused=True)), updated by the same threads, as in gpt.train
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from benchmarks.cli import ENGINE, MEDIAN, MIN, PEAK, SIZE, SPREAD, THREADS, TO_TORCH, Benchmark, ratio_to
from benchmarks.harness import Case, Results, Size, timed
from benchmarks.plots import bars
from benchmarks.train_step import config_of, random_ids, steps_of, torch_step

RUNGS = ("plain", "fused", "memory", "shards", "flat")


@contextmanager
def rung_step(rung: str, size: Size, threads: int) -> Iterator[Callable[[], object]]:
    """The training step with the changes up to this rung."""
    from threadpoolctl import threadpool_limits

    from gpt.build import build
    from gpt.fast.shards import Shards
    from gpt.optimizer import parameter_groups
    from gpt.train import shard_gradient
    from tinytensor import buffers, optim

    has = RUNGS[: RUNGS.index(rung) + 1]
    if "memory" in has:
        buffers.keep_freed_memory()
    config, ids = config_of(size, threads if "shards" in has else 1), random_ids()
    model = build(config)
    optimizer = optim.AdamW(parameter_groups(model, config), fused="flat" in has)
    with (
        nullcontext() if "fused" in has else one_by_one(),
        Shards(model, config, shard_gradient, optimizer if "flat" in has else None) as shards,
        nullcontext() if "shards" in has else threadpool_limits(threads, user_api="blas"),
    ):
        yield steps_of(shards, optimizer, ids)


@contextmanager
def one_by_one() -> Iterator[None]:
    """A context that replaces fused primitives by their composed forms, which use smaller operations."""
    from tinytensor import tape
    from tinytensor.backend import is_array
    from tinytensor.nn import functional  # each of its files has imported `apply`
    from tinytensor.tensor import wrap

    def apply(primitive: Any, *inputs: Any, **static: Any) -> Any:
        if primitive.composed is None:
            return tape.apply(primitive, *inputs, **static)
        return primitive.composed(*inputs, **{k: wrap(x) if is_array(x) else x for k, x in static.items()})

    files: list[Any] = [file for name, file in sys.modules.items() if name.startswith(f"{functional.__name__}.")]
    files = [file for file in files if hasattr(file, "apply")]
    for file in files:
        file.apply = apply
    try:
        yield
    finally:
        for file in files:
            file.apply = tape.apply


def measure(case: Case) -> Results:
    size = Size.parse(case.size)
    how = torch_step(size, case.threads) if case.engine == "torch" else rung_step(case.engine, size, case.threads)
    with how as step:
        return {"time_step": {"ms": timed(step), "tokens": size.batch * size.context, "flops": size.flops()}}


BENCHMARK = Benchmark(
    name="ladder",
    text=__doc__,
    engines=(*RUNGS, "torch"),
    threads=(1, 2),
    sizes=("4,4,128,64,12",),
    check_size=Size.parse,
    repeats=3,
    columns=(SIZE, THREADS, ENGINE, MEDIAN, MIN, SPREAD, TO_TORCH, ratio_to("plain"), PEAK),
    draw=bars("milliseconds for a training step"),
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
