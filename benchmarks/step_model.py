"""The time of a step of data-parallel training on n ranks, by formulas and by a simulation of its steps.

A rank computes the gradient of b windows, all ranks add their gradients up, and each updates the weights:

    T(n)  =  C(b) s(n)  +  E(n)  +  U            C(b) = fixed + per_window b

    s(n)  the slowest of n ranks: 1 + v z(n). v is the standard deviation of a rank's time as a share of it, z(n) the
          expected largest of n normal numbers, Φ⁻¹((n − 3/8) / (n + 1/4)) (Blom 1958)
    E(n)  what the all-reduce of m bytes takes longer than the computation. In k buckets it begins while the backward,
          2/3 of C, still runs: bucket i is ready at C (1/3 + 2/3 i/k), and starts when the one before it has arrived
    U     clipping and AdamW on all parameters, on every rank

Strong scaling keeps the batch: b = B/n. Weak scaling keeps b: the batch grows with n. A larger batch needs fewer steps,
but not in proportion: S = S_min (1 + B_crit/B) (McCandlish et al. 2018, arXiv:1812.06162), so the time to a loss is T S.

What changes it (Plan):

    overlap       the all-reduce overlaps with the backward, in the best number of buckets (Li et al. 2020, arXiv:2006.15704)
    hierarchical  first in the node, then among nodes
    compression   so many times fewer bytes of gradient; what it costs in quality is not modelled
    zero          1, 2: reduce-scatter of gradients, U/n, all-gather of weights: as many bytes as an all-reduce.
                  3: weights are gathered twice a step: 1.5 times as many (Rajbhandari et al. 2020, arXiv:1910.02054)
    tensor        t ranks of a node share each layer: C, m, U divided by t, 4 all-reduces of b T C numbers for each
                  layer (Shoeybi et al. 2019, arXiv:1909.08053)
    pipeline      p ranks have a p-th of the layers each: the same divided by p, but with one window at a time the
                  pipeline is full for b of b + p − 1 (Huang et al. 2019, arXiv:1811.06965). t p ranks are in a node
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

from benchmarks.collectives import Cluster, all_reduce

BACKWARD = 2 / 3  # of the operations of a step: Size.flops
BUCKET = 2**20  # bytes of the smallest bucket
COUNTS = tuple(2**i for i in range(13))  # ranks: 1 to 4,096


@dataclass(frozen=True)
class Job:
    """A model on a kind of rank. Seconds and bytes of one rank; a window has `tokens` tokens.

    `windows` are the batch of strong scaling, `per_rank` those of a rank in weak scaling, `critical` is B_crit in
    windows. `activation` are the bytes of what a layer passes on for a window.
    """

    name: str
    parameters: int
    bytes: float
    fixed: float
    per_window: float
    update: float
    spread: float
    tokens: int
    windows: int
    per_rank: int
    critical: float
    layers: int = 0
    activation: float = 0.0

    def compute(self, windows: float) -> float:
        """C(b)."""
        return self.fixed + self.per_window * windows


@dataclass(frozen=True)
class Plan:
    """How the ranks share the work; without arguments, as gpt.train does: one all-reduce after the backward."""

    overlap: bool = False
    hierarchical: bool = False
    compression: float = 1.0
    zero: int = 0
    tensor: int = 1
    pipeline: int = 1


BASE = Plan()


def slowest(n: int, spread: float) -> float:
    """s(n): the expected time of the slowest of n ranks over that of one."""
    return 1 + spread * NormalDist().inv_cdf((n - 0.375) / (n + 0.25))


def finished(compute: float, buckets: int, seconds: float) -> float:
    """When the last of k buckets has arrived. Each takes that many seconds, and they go one after another."""
    end = 0.0
    for i in range(1, buckets + 1):
        ready = compute * (1 - BACKWARD + BACKWARD * i / buckets)
        end = max(end, ready) + seconds
    return end


def bubble(stages: int, windows: float) -> float:
    """How much longer a pipeline takes than its work: (b + p − 1) / b."""
    return (windows + stages - 1) / windows


def zero_bytes(parameters: float, n: int, stage: int) -> float:
    """The bytes of weights, gradients and optimizer on a rank, in mixed precision: 2, 2 and 12 for each parameter.

    Stage 1 shares the optimizer's among n ranks, 2 the gradients as well, 3 the weights as well.
    """
    kept = (2, 2, 12)
    shared = sum(kept[3 - stage :]) if stage else 0
    return parameters * (sum(kept) - shared + shared / n)


def exchange(job: Job, cluster: Cluster, n: int, plan: Plan, compute: float) -> tuple[int, float]:
    """How many buckets there are, and the seconds of each: all-reduces, or reduce-scatters for a sharded optimizer.

    With overlap, their number is the best power of two that leaves each at least BUCKET bytes.
    """
    size = job.bytes / plan.compression / (plan.tensor * plan.pipeline)
    # A reduce-scatter and an all-gather are half of an all-reduce each; stage 3 gathers once more.
    share = {0: 1, 1: 0.5, 2: 0.5, 3: 1.5}[plan.zero]
    most = max(1, int(size / BUCKET)) if plan.overlap else 1
    choices = [(2**i, share * cluster.all_reduce(n, size / 2**i, plan.hierarchical)) for i in range(most.bit_length())]
    return min(choices, key=lambda choice: finished(compute, *choice))


def model_parallel(job: Job, cluster: Cluster, windows: float, plan: Plan) -> float:
    """Seconds that ranks of one group lose to each other: all-reduces of a shared layer, messages of a pipeline."""
    inner = cluster.inner
    layers = 4 * job.layers / plan.pipeline * all_reduce(plan.tensor, windows * job.activation, inner)
    hops = 2 * (windows + plan.pipeline - 1) * inner.message(job.activation) if plan.pipeline > 1 else 0.0
    return layers + hops


def after(job: Job, cluster: Cluster, n: int, plan: Plan) -> float:
    """Seconds after the gradients have arrived: the update, of a part if it is sharded, and the gathering of weights."""
    parts = plan.tensor * plan.pipeline
    gathered = cluster.all_reduce(n, job.bytes / parts, plan.hierarchical) / 2 if plan.zero in (1, 2) else 0.0
    return job.update / parts / (n if plan.zero else 1) + gathered


def timeline(job: Job, cluster: Cluster, ranks: int, windows: float, plan: Plan = BASE) -> Callable[[float], float]:
    """A function that returns the seconds of a step whose slowest rank takes so many times as long as usual.

    `windows` are those of a rank. A group of tensor · pipeline ranks has as many for each of them.
    """
    parts = plan.tensor * plan.pipeline
    groups, of_group = max(1, ranks // parts), windows * parts
    own = cluster.parted(parts)
    compute = job.fixed + job.per_window * of_group / parts * bubble(plan.pipeline, of_group)
    compute += model_parallel(job, cluster, of_group, plan)
    buckets, seconds = exchange(job, own, groups, plan, compute)
    rest = after(job, own, groups, plan)
    return lambda factor: finished(compute * factor, buckets, seconds) + rest


def step(job: Job, cluster: Cluster, ranks: int, windows: float, plan: Plan = BASE) -> float:
    """T(n) on paper."""
    return timeline(job, cluster, ranks, windows, plan)(slowest(ranks, job.spread))


def simulate(
    job: Job, cluster: Cluster, ranks: int, windows: float, plan: Plan = BASE, steps: int = 200, seed: int = 0
) -> list[float]:
    """The seconds of simulated steps. In each, every rank draws how long it takes, and all wait for the slowest.

    The draws are log-normal, with mean 1 and standard deviation `job.spread`.
    """
    import numpy as np

    sigma = math.sqrt(math.log1p(job.spread**2))
    draws: Any = np.random.default_rng(seed).lognormal(-(sigma**2) / 2, sigma, (steps, ranks))
    seconds = timeline(job, cluster, ranks, windows, plan)
    return [seconds(float(factor)) for factor in draws.max(1)]


def strong(job: Job, cluster: Cluster, n: int, plan: Plan = BASE) -> float | None:
    """The seconds of a step of the same batch on n ranks; None if a group would have no whole window."""
    windows = job.windows / n
    return step(job, cluster, n, windows, plan) if windows * plan.tensor * plan.pipeline >= 1 else None


def steps_of(job: Job, windows: float) -> float:
    """S / S_min: how many steps a batch of that many windows needs, 1 + B_crit/B."""
    return 1 + job.critical / windows


def to_loss(job: Job, cluster: Cluster, n: int, plan: Plan = BASE) -> float:
    """The seconds to a loss, over S_min, in weak scaling: the batch has per_rank windows for each rank."""
    return step(job, cluster, n, job.per_rank, plan) * steps_of(job, job.per_rank * n)


def stop(seconds: Sequence[float]) -> int:
    """The index of the last of COUNTS whose ranks are half used: n ranks are at least n/2 times as fast as one."""
    return max(i for i, (n, each) in enumerate(zip(COUNTS, seconds)) if seconds[0] / each >= n / 2)


def parts(job: Job, cluster: Cluster, n: int, windows: float) -> dict[str, float]:
    """The seconds of T(n), without overlap, by what they are for. Bandwidth is what the bytes take without latency."""
    ideal, whole = job.compute(windows), cluster.flat(n, job.bytes)
    instant = replace(cluster, inner=replace(cluster.inner, latency=0.0), outer=replace(cluster.outer, latency=0.0))
    bandwidth = instant.flat(n, job.bytes)
    return {
        "computing": ideal - job.fixed,
        "fixed part of computing": job.fixed,
        "waiting for the slowest": ideal * (slowest(n, job.spread) - 1),
        "latency": whole - bandwidth,
        "bandwidth": bandwidth,
        "update": job.update,
    }
