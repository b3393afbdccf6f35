"""Datasets, samplers and the loader that makes batches of them."""

from __future__ import annotations

from typing import Any

from tinytensor.utils.data.dataloader import DataLoader, default_collate
from tinytensor.utils.data.dataset import Dataset, Subset, TensorDataset, random_split
from tinytensor.utils.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
)

__all__ = [
    "BatchSampler",
    "DataLoader",
    "Dataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Subset",
    "TensorDataset",
    "default_collate",
    "random_split",
]


def __getattr__(name: str) -> Any:
    raise AttributeError(f"tinytensor.utils.data has no {name}: outside the subset of PyTorch that tinytensor covers")
