"""Datasets, samplers, and the DataLoader that makes batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytensor.subset import outside
from tinytensor.utils.data.dataloader import DataLoader, default_collate
from tinytensor.utils.data.dataset import Dataset, Subset, TensorDataset, random_split
from tinytensor.utils.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
)

if TYPE_CHECKING:
    from tinytensor.utils.data.distributed import DistributedSampler

__all__ = [
    "BatchSampler",
    "DataLoader",
    "Dataset",
    "DistributedSampler",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Subset",
    "TensorDataset",
    "default_collate",
    "random_split",
]


__getattr__ = outside("tinytensor.utils.data", {"DistributedSampler": "tinytensor.utils.data.distributed"})
