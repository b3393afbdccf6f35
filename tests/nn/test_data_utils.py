"""Datasets, samplers and the loader, beside PyTorch's."""

from __future__ import annotations

import itertools
import threading
import time
from collections import namedtuple

import numpy as np
import pytest

import tinytensor as tt
from tinytensor.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    default_collate,
    random_split,
)

torch = pytest.importorskip("torch")
Point = namedtuple("Point", "x y")


class Squares(Dataset):
    """(i, i²) as Tensors, n of them; may take its time, and may fail."""

    def __init__(self, n, wait=0.0, broken=None):
        self.n, self.wait, self.broken = n, wait, broken
        self.threads = set()

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        self.threads.add(threading.get_ident())
        if i == self.broken:
            raise KeyError("broken sample")
        time.sleep(self.wait * (i % 3))
        return tt.tensor(i), tt.tensor([i * i, tt.rand(1).item()])


def plain(batch):
    """Nested Tensors of either library as lists, with their dtypes."""
    if isinstance(batch, dict):
        return {k: plain(v) for k, v in batch.items()}
    if isinstance(batch, (list, tuple)):
        return type(batch).__name__, [plain(v) for v in batch]
    if isinstance(batch, (tt.Tensor, torch.Tensor)):
        return str(batch.dtype).split(".")[1], batch.tolist()
    return batch


SAMPLES = {
    "tensors": lambda lib: [lib.tensor([1.0, 2.0]), lib.tensor([3.0, 4.0])],
    "arrays": lambda lib: [np.arange(3), np.arange(3) * 2],
    "scalars": lambda lib: [np.float32(1), np.float32(2)],
    "floats": lambda lib: [1.5, 2],
    "integers": lambda lib: [1, 2],
    "bools": lambda lib: [True, False],
    "strings": lambda lib: ["a", "b"],
    "tuples": lambda lib: [(lib.ones(2), 1), (lib.zeros(2), 2)],
    "nested": lambda lib: [{"a": [1, 2.0], "b": (lib.ones(1), "s")}] * 2,
    "named": lambda lib: [Point(1, 2.0), Point(3, 4.0)],
}


@pytest.mark.parametrize("make", SAMPLES.values(), ids=SAMPLES.keys())
def test_collate(make):
    ours, theirs = default_collate(make(tt)), torch.utils.data.default_collate(make(torch))
    assert plain(ours) == plain(theirs)


def test_collate_errors():
    for collate, lib in ((default_collate, tt), (torch.utils.data.default_collate, torch)):
        with pytest.raises(TypeError, match="default_collate: batch must contain"):
            collate([object()])
        with pytest.raises(RuntimeError, match="equal size"):
            collate([[1], [1, 2]])
        with pytest.raises(RuntimeError, match="size"):
            collate([lib.ones(2), lib.ones(3)])


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("drop_last", [False, True])
def test_batches_in_order(workers, drop_last):
    loader = DataLoader(Squares(11, wait=0.001), batch_size=4, num_workers=workers, drop_last=drop_last)
    batches = list(loader)
    assert len(batches) == len(loader) == (2 if drop_last else 3)
    x, y = (tt.cat(parts) for parts in zip(*batches, strict=True))
    assert x.tolist() == list(range(len(x))) and x.dtype is tt.int64
    assert y[:, 0].tolist() == [i * i for i in range(len(x))]
    here = threading.get_ident()
    assert (here in loader.dataset.threads) == (workers == 0)


def test_workers_draw_the_same_numbers_however_many_they_are():
    def draws(workers):
        tt.manual_seed(3)
        return [y[:, 1].tolist() for _, y in DataLoader(Squares(9, wait=0.002), 2, num_workers=workers)]

    assert draws(1) == draws(4) and len({value for batch in draws(2) for value in batch}) == 9


def test_an_exception_in_a_worker_arrives():
    batches = iter(DataLoader(Squares(8, broken=5), batch_size=2, num_workers=2))
    assert [next(batches)[0].tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(KeyError, match="broken sample"):
        next(batches)


def test_leaving_early_stops_the_workers():
    before = threading.active_count()
    for _ in DataLoader(Squares(10**9), num_workers=2, shuffle=False):
        break
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.001)
    assert threading.active_count() == before


def test_shuffle_and_generator():
    def order(seed):
        loader = DataLoader(Squares(50), 7, shuffle=True, generator=tt.Generator().manual_seed(seed))
        return [tt.cat([x for x, _ in loader]).tolist() for _ in range(2)]

    first, second = order(1)
    assert sorted(first) == sorted(second) == list(range(50)) and first != second
    assert order(1) == [first, second] != order(2)


def test_other_ways_to_choose():
    data = Squares(6)
    loader = DataLoader(data, sampler=[4, 2, 0], batch_size=2)
    assert [x.tolist() for x, _ in loader] == [[4, 2], [0]] and len(loader) == 2
    loader = DataLoader(data, batch_sampler=[[5, 1], [3]])
    assert [x.tolist() for x, _ in loader] == [[5, 1], [3]] and len(loader) == 2
    singles = DataLoader(data, batch_size=None)
    assert [x.item() for x, _ in singles] == list(range(6)) and len(singles) == 6
    arrays = list(DataLoader([(np.ones(2), "a")], batch_size=None))
    assert isinstance(arrays[0][0], tt.Tensor) and arrays[0][1] == "a"
    assert list(DataLoader([1, 2, 3], 2, collate_fn=sum)) == [3, 3]


def test_errors_are_pytorchs():
    for module in (tt.utils.data, torch.utils.data):
        for settings in (
            {"sampler": [0], "shuffle": True},
            {"batch_sampler": [[0]], "shuffle": True},
            {"batch_sampler": [[0]], "batch_size": 3},
            {"batch_size": None, "drop_last": True},
            {"batch_size": 0},
            {"num_workers": -1},
        ):
            with pytest.raises(ValueError):
                module.DataLoader([1, 2], **settings)
        with pytest.raises(ValueError, match="num_samples should be a positive integer"):
            module.RandomSampler([])
        with pytest.raises(TypeError, match="replacement should be a boolean"):
            module.RandomSampler([1], replacement=1)
        with pytest.raises(ValueError, match="drop_last should be a boolean"):
            module.BatchSampler([1], 1, 3)
        with pytest.raises(AttributeError):
            _ = module.IterableDatasets
        with pytest.raises(NotImplementedError):
            module.Dataset()[0]
    with pytest.raises(TypeError):
        DataLoader([1], timeout=3)
    with pytest.warns(UserWarning, match="pin_memory"):
        DataLoader([1], pin_memory=True)


def test_a_huge_number_of_samples_costs_nothing():
    sampler = RandomSampler(Squares(10), replacement=True, num_samples=int(1e10))
    assert len(sampler) == int(1e10)
    loader = DataLoader(Squares(10), sampler=sampler, batch_size=64)
    drawn = [i for batch in itertools.islice(loader.batch_sampler, 100) for i in batch]
    counts = np.bincount(drawn, minlength=10)
    assert counts.sum() == 6400 and (abs(counts - 640) < 5 * np.sqrt(576)).all()


def test_samplers():
    data = range(5)
    assert list(SequentialSampler(data)) == [0, 1, 2, 3, 4] and len(SequentialSampler(data)) == 5
    assert sorted(RandomSampler(data)) == [0, 1, 2, 3, 4]
    twelve = list(RandomSampler(data, num_samples=12))
    assert len(twelve) == 12 and sorted(twelve[:5]) == sorted(twelve[5:10]) == [0, 1, 2, 3, 4]
    drawn = list(RandomSampler(data, replacement=True, num_samples=3000))
    assert len(drawn) == 3000 and set(drawn) == {0, 1, 2, 3, 4}
    assert list(BatchSampler(range(5), 2, True)) == [[0, 1], [2, 3]]
    assert list(BatchSampler(range(5), 2, False)) == [[0, 1], [2, 3], [4]]
    assert [len(BatchSampler(range(5), 2, d)) for d in (True, False)] == [2, 3]
    assert issubclass(BatchSampler, Sampler)


def test_tensor_dataset_subset_and_split():
    data = TensorDataset(tt.arange(10), tt.arange(10) * 2)
    assert len(data) == 10 and [t.item() for t in data[3]] == [3, 6]
    assert [t.item() for t in Subset(data, [7, 1])[1]] == [1, 2]
    with pytest.raises(AssertionError):
        TensorDataset(tt.ones(2), tt.ones(3))
    for lengths in ([7, 3], [0.7, 0.3]):
        parts = random_split(data, lengths, generator=tt.Generator().manual_seed(1))
        assert [len(p) for p in parts] == [7, 3]
        assert sorted(i for p in parts for i in p.indices) == list(range(10))
    assert [len(p) for p in random_split(range(10), [1 / 3] * 3)] == [4, 3, 3]
    assert [len(p) for p in torch.utils.data.random_split(range(10), [1 / 3] * 3)] == [4, 3, 3]
    with pytest.raises(ValueError):
        random_split(data, [1, 2])


def test_samples_without_batches_become_tensors():
    """batch_size=None: arrays become Tensors, wherever in a sample they are."""
    sample = {"a": np.ones(2), "b": [np.zeros(1), "text"], "c": (np.arange(3), 1), "d": Point(np.ones(1), 2)}
    results = []
    for lib, loader in ((torch, torch.utils.data.DataLoader), (tt, DataLoader)):
        (got,) = loader([sample], batch_size=None)
        assert isinstance(got["d"], Point)
        arrays = [got["a"], got["b"][0], got["c"][0], got["d"].x]
        assert all(isinstance(x, lib.Tensor) for x in arrays)
        results.append(
            ([x.tolist() for x in arrays], got["b"][1], got["c"][1], got["d"].y, type(got["b"]), type(got["c"]))
        )
    assert results[0] == results[1]


def test_what_a_subclass_has_to_define_says_so():
    for lib in (torch, tt):
        with pytest.raises((NotImplementedError, TypeError)):
            iter(lib.utils.data.Sampler())
    with pytest.raises(NotImplementedError):
        Dataset()[0]


def test_fractions_outside_of_0_and_1_are_refused():
    for split in (torch.utils.data.random_split, random_split):
        with pytest.raises(ValueError, match="Fraction"):
            split(range(4), [1.5, -0.5])
