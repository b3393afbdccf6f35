"""One training step: batch, forward, backward, clipping and AdamW, as in gpt.train and reference_torch.train.

    python -m benchmarks.train_step
    python -m benchmarks.train_step --sizes 6,6,384,256,4 --threads 2 --engines tinytensor torch

matmul is the floor: only the matrix products of the step, by NumPy's BLAS, with the batch split over threads as in
tinytensor.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from benchmarks.cli import ENGINE, MEDIAN, MIN, PEAK, SIZE, SPREAD, THREADS, TO_TORCH, Benchmark, ratio_to
from benchmarks.harness import Case, Results, Size, timed
from benchmarks.plots import bars

VOCABULARY = 65  # tiny Shakespeare's


def config_of(size: Size, threads: int, device: str = "cpu", cuda_graph: bool = False) -> Any:
    """The size as a configuration of gpt.train: learned positions, GELU by tanh, biases, an untied head."""
    from gpt.config import TrainConfig

    return TrainConfig(
        vocab_size=VOCABULARY, layers=size.layers, heads=size.heads, width=size.width, context=size.context,
        batch_size=size.batch, positions="learned", activation="gelu-tanh", threads=threads,
        device=device, cuda_graph=cuda_graph,
    )  # fmt: skip


def random_ids() -> Any:
    import numpy as np

    return np.random.default_rng(0).integers(0, VOCABULARY, 100_000)


@contextmanager
def tinytensor_step(
    size: Size, threads: int, device: str = "cpu", cuda_graph: bool = False
) -> Iterator[Callable[[], object]]:
    """The loop of gpt.train."""
    from gpt.build import build
    from gpt.fast.shards import Shards
    from gpt.optimizer import make_optimizer
    from gpt.train import shard_gradient
    from tinytensor.buffers import keep_freed_memory

    keep_freed_memory()
    config, ids = config_of(size, threads, device, cuda_graph), random_ids()
    model = build(config).to(device)
    optimizer = make_optimizer(model, config)
    with Shards(model, config, shard_gradient, optimizer) as shards:
        yield steps_of(shards, optimizer, ids)


def steps_of(shards: Any, optimizer: Any, ids: Any) -> Callable[[], object]:
    """A function that runs the next step of gpt.train's loop, and returns its loss."""
    from gpt import data
    from gpt.fast.gpu import fast_update
    from gpt.train import update

    rate = optimizer.param_groups[0]["lr"]
    update_weights = fast_update(shards, optimizer) or functools.partial(update, shards, optimizer)
    steps = iter(range(10**9))

    def step() -> object:
        n = next(steps)
        return update_weights([data.batch(ids, shards.config, n)], n, rate).loss

    return step


@contextmanager
def torch_step(size: Size, threads: int, device: str = "cpu") -> Iterator[Callable[[], object]]:
    """The loop of reference_torch.train: scaled_dot_product_attention, fused AdamW."""
    import torch
    from gpt import data
    from reference_torch.build import build
    from reference_torch.train import make_optimizer

    torch.set_num_threads(threads)
    config, ids = config_of(size, threads), random_ids()
    model = build(config).to(device)
    optimizer = make_optimizer(model, config)
    steps = iter(range(10**9))

    def step() -> float:
        x, y = (torch.from_numpy(part).to(device) for part in data.batch(ids, config, next(steps)))
        optimizer.zero_grad()
        _, loss = model(x, y)
        assert loss is not None
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip).item()
        optimizer.step()
        return float(loss.item())

    yield step


@contextmanager
def matmul_step(size: Size, threads: int) -> Iterator[Callable[[], object]]:
    """The products of a step, with its shapes and memory layouts; the batch is split over threads as in tinytensor."""
    from concurrent.futures import ThreadPoolExecutor

    shares = [size.batch // threads + (i < size.batch % threads) for i in range(threads)]
    parts = [products(replace(size, batch=share)) for share in shares]
    with ThreadPoolExecutor(threads) as pool:
        yield lambda: list(pool.map(lambda part: part(), parts))


def products(size: Size) -> Callable[[], None]:
    """A function that computes all products of a step, forward and backward."""
    import numpy as np

    L, H, C, T, B = size.layers, size.heads, size.width, size.context, size.batch
    shapes = [(3 * C, C), (C, C), (4 * C, C), (C, 4 * C)]  # qkv, projection, up, down: (O, I)

    def new(*shape: int) -> Any:
        return np.random.default_rng(0).standard_normal(shape, np.float32)

    linears = [(shape, L) for shape in shapes] + [((VOCABULARY, C), 1)]
    pairs = [(new(B * T, i), new(o, i), new(B * T, o), times) for (o, i), times in linears]
    q, w = new(B, H, T, C // H), new(B, H, T, T)

    def step() -> None:
        for x, weight, dy, times in pairs:
            for _ in range(times):
                x @ weight.T, dy @ weight, dy.T @ x
        for _ in range(L):
            q @ q.swapaxes(-1, -2), w @ q  # q kᵀ and w v
            q @ q.swapaxes(-1, -2), w.swapaxes(-1, -2) @ q, w @ q, w.swapaxes(-1, -2) @ q  # dw, dv, dq, dk

    return step


ENGINES = {"tinytensor": tinytensor_step, "torch": torch_step, "matmul": matmul_step}


def measure(case: Case) -> Results:
    size = Size.parse(case.size)
    with ENGINES[case.engine](size, case.threads) as step:
        return {"time_step": {"ms": timed(step), "tokens": size.batch * size.context, "flops": size.flops()}}


BENCHMARK = Benchmark(
    name="train_step",
    text=__doc__,
    engines=tuple(ENGINES),
    threads=(1, 2),
    sizes=("4,4,128,64,12", "6,6,384,256,4"),
    check_size=Size.parse,
    repeats=3,
    columns=(SIZE, THREADS, ENGINE, MEDIAN, MIN, SPREAD, TO_TORCH, ratio_to("matmul"), PEAK),
    draw=bars("milliseconds for a training step"),
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
