"""DistributedSampler: each rank visits its own part of a dataset."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sized

import numpy as np

from tinytensor.distributed.world import get_rank, get_world_size
from tinytensor.utils.data.sampler import Sampler, T_co


class DistributedSampler(Sampler[T_co]):
    """The indices rank, rank + num_replicas, … of an order that all ranks share, shuffled anew for each `set_epoch`.

    All ranks get the same number: the first indices come again at the end, or with drop_last the last ones are left out.
    The order is that of PyTorch for the same seed and epoch. num_replicas and rank: None for those of the process group.
    ValueError for a rank that does not exist.
    """

    def __init__(
        self,
        dataset: Sized,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        self.num_replicas = get_world_size() if num_replicas is None else num_replicas
        self.rank = get_rank() if rank is None else rank
        if not 0 <= self.rank < self.num_replicas:
            raise ValueError(f"Invalid rank {rank}, rank should be in the interval [0, {self.num_replicas - 1}]")
        self.dataset, self.shuffle, self.seed, self.drop_last = dataset, shuffle, seed, drop_last
        self.epoch = 0
        whole, rest = divmod(len(dataset), self.num_replicas)
        self.num_samples = whole if drop_last or not rest else whole + 1
        self.total_size = self.num_samples * self.num_replicas

    def __iter__(self) -> Iterator[T_co]:
        count = len(self.dataset)
        indices = permutation(count, self.seed + self.epoch) if self.shuffle else list(range(count))
        if not self.drop_last and count:
            indices *= math.ceil(self.total_size / count)
        return iter(indices[self.rank : self.total_size : self.num_replicas])  # type: ignore[arg-type]

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Shuffle by seed + epoch from now on: call it on all ranks before each epoch."""
        self.epoch = epoch


def permutation(count: int, seed: int) -> list[int]:
    """The numbers 0 … count − 1 in the order in which PyTorch's randperm has them after manual_seed(seed).

    Each place swaps with one of those from it on, by the next 32 bits of a Mersenne twister.
    """
    bits = np.random.RandomState(seed % 2**32).randint(0, 2**32, count, np.uint32).astype(np.int64)
    places = np.arange(count)
    order = list(range(count))
    for i, j in enumerate((places + bits % (count - places)).tolist()):
        order[i], order[j] = order[j], order[i]
    return order


__all__ = ["DistributedSampler"]
