"""DataLoader: batches of a dataset, collated into Tensors."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tinytensor.creation import from_numpy, tensor
from tinytensor.dtypes import float64
from tinytensor.functions.shape import stack
from tinytensor.random import Generator, manual_seed, randint
from tinytensor.tensor import Tensor
from tinytensor.utils.data.sampler import BatchSampler, RandomSampler, SequentialSampler


def default_collate(batch: Sequence[Any]) -> Any:
    """A list of samples → one sample with a batch dimension in front.

    Tensors and arrays (of one shape) are stacked, numbers become a Tensor (float: float64, int: int64), strings stay a
    list; dicts, tuples and lists are collated field by field.
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return stack(list(batch))
    if isinstance(first, (np.ndarray, np.generic)):
        return from_numpy(np.stack(batch))
    if isinstance(first, float):
        return tensor(list(batch), dtype=float64)
    if isinstance(first, int):
        return tensor(list(batch))
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        return {key: default_collate([sample[key] for sample in batch]) for key in first}
    if isinstance(first, (tuple, list)):
        if any(len(sample) != len(first) for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        fields = [default_collate(field) for field in zip(*batch, strict=True)]
        return type(first)(*fields) if hasattr(first, "_fields") else fields
    raise TypeError(
        f"default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {type(first)}"
    )


class DataLoader:
    """Iterates over batches of `batch_size` samples, in order or shuffled; batch_size=None: over single samples.

    A `sampler` determines the order of indices instead, a `batch_sampler` the lists of indices. num_workers is a number
    of threads that load ahead, in order; random numbers that a dataset draws there depend on the batch, not on timing.
    ValueError for arguments that exclude each other.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        generator: Generator | None = None,
    ) -> None:
        if num_workers < 0:
            raise ValueError("num_workers option should be non-negative")
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last"
                )
            batch_size = None
        elif batch_size is None and drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")
        if pin_memory:
            warnings.warn("pin_memory=True: host memory is not pinned here", stacklevel=2)
        if sampler is None and batch_sampler is None:
            in_order = SequentialSampler(dataset)
            sampler = RandomSampler(dataset, generator=generator) if shuffle else in_order
        if batch_size is not None:
            assert sampler is not None
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop_last
        self.sampler, self.batch_sampler = sampler, batch_sampler
        self.num_workers, self.pin_memory, self.generator = num_workers, pin_memory, generator
        batched = batch_sampler is not None
        self.collate_fn = collate_fn or (default_collate if batched else _as_tensor)

    def __len__(self) -> int:
        return len(self._indices())  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        if self.num_workers == 0:
            return map(self._load, self._indices())
        return self._load_ahead()

    def _indices(self) -> Iterable[Any]:
        indices = self.sampler if self.batch_sampler is None else self.batch_sampler
        assert indices is not None
        return indices

    def _load(self, index: Any) -> Any:
        if self.batch_sampler is None:
            return self.collate_fn(self.dataset[index])
        return self.collate_fn([self.dataset[i] for i in index])

    def _load_ahead(self) -> Iterator[Any]:
        """`_load` in threads, up to two batches ahead for each thread."""
        from concurrent.futures import ThreadPoolExecutor  # its import is slow, and few need it

        seed = int(randint(2**62, (1,), generator=self.generator).item())

        def load(number: int, index: Any) -> Any:
            manual_seed(seed + number)  # the generator of this thread
            return self._load(index)

        waiting: deque[Any] = deque()
        pool = ThreadPoolExecutor(self.num_workers)
        try:
            for number, index in enumerate(self._indices()):
                waiting.append(pool.submit(load, number, index))
                if len(waiting) > 2 * self.num_workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _as_tensor(sample: Any) -> Any:
    """Convert a single sample (batch_size=None): arrays to Tensors, tuples to lists, as in PyTorch."""
    if isinstance(sample, np.ndarray):
        return from_numpy(sample)
    if isinstance(sample, Mapping):
        return {key: _as_tensor(value) for key, value in sample.items()}
    if isinstance(sample, tuple):
        fields = [_as_tensor(value) for value in sample]
        return type(sample)(*fields) if hasattr(sample, "_fields") else fields
    if isinstance(sample, list):
        return [_as_tensor(value) for value in sample]
    return sample
