"""tinytensor.cuda.nccl without a GPU: threads are the ranks, and a stand-in for cupy.cuda.nccl reads and writes by address.

It has the arguments of CuPy 14's NcclCommunicator, and takes nothing but addresses, counts and NCCL's numbers, so a wrong
count, dtype, operation or order ends in wrong values.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tinytensor import devices
from tinytensor.cuda.nccl import NCCL
from tinytensor.distributed.ranks import Ranks

STREAM = 4711
UNIQUE = tuple(range(-64, 64))
# NCCL's numbers, from nccl.h
TYPES = {"NCCL_UINT8": 1, "NCCL_INT32": 2, "NCCL_INT64": 4, "NCCL_FLOAT32": 7, "NCCL_FLOAT64": 8}
OPERATIONS = {"NCCL_SUM": 0, "NCCL_PROD": 1, "NCCL_MAX": 2, "NCCL_MIN": 3}
DTYPES = {1: np.uint8, 2: np.int32, 4: np.int64, 7: np.float32, 8: np.float64}
PUT_TOGETHER = {0: np.add, 1: np.multiply, 2: np.maximum, 3: np.minimum}


class Here(threading.local):
    device = 0


here = Here()


class OnGPU(np.ndarray):
    """An array with an address and a device."""

    device = SimpleNamespace(id=0)

    @property
    def data(self) -> Any:  # type: ignore[override]
        return SimpleNamespace(ptr=self.ctypes.data)


class Device:
    def __init__(self, id: int | None = None) -> None:
        self.id = here.device if id is None else id
        self.pci_bus_id = f"0000:{self.id}"

    def use(self) -> None:
        here.device = self.id


class Meeting:
    """What the threads of a test share."""

    def __init__(self, size: int) -> None:
        self.barrier, self.values = threading.Barrier(size, timeout=60), [None] * size

    def collect(self, rank: int, value: Any) -> list[Any]:
        self.values[rank] = value
        self.barrier.wait()
        found = list(self.values)
        self.barrier.wait()
        return found


class Thread(Ranks):
    """A rank."""

    def __init__(self, rank: int, meeting: Meeting, hosts: list[str]) -> None:
        self.rank, self.size, self.meeting, self.hosts = rank, len(hosts), meeting, hosts
        self.local_rank = hosts[:rank].count(hosts[rank])

    def collect(self, value: Any) -> list[Any]:
        return self.meeting.collect(self.rank, value)

    def share(self, value: Any, source: int = 0) -> Any:
        return self.meeting.collect(self.rank, value)[source]


def memory(address: int, count: int, kind: int) -> np.ndarray:
    dtype = np.dtype(DTYPES[kind])
    return np.frombuffer((ctypes.c_byte * (count * dtype.itemsize)).from_address(address), dtype)


def stand_in(meeting: Meeting, count: int, calls: list[str]) -> Any:
    """A module cupy, with so many GPUs."""

    class NcclCommunicator:
        def __init__(self, ndev: int, commId: tuple[int, ...], rank: int) -> None:
            assert (ndev, commId) == (len(meeting.values), UNIQUE)
            self.size, self.rank = ndev, rank

        def allReduce(self, sendbuf: int, recvbuf: int, count: int, datatype: int, op: int, stream: int) -> None:
            self.reduced("allReduce", sendbuf, recvbuf, count, count, datatype, op, stream, 0)

        def reduceScatter(
            self, sendbuf: int, recvbuf: int, recvcount: int, datatype: int, op: int, stream: int
        ) -> None:
            start = self.rank * recvcount
            self.reduced(
                "reduceScatter", sendbuf, recvbuf, self.size * recvcount, recvcount, datatype, op, stream, start
            )

        def broadcast(self, sendbuff: int, recvbuff: int, count: int, datatype: int, root: int, stream: int) -> None:
            assert stream == STREAM and count < 2**31
            calls.append("broadcast")
            memory(recvbuff, count, datatype)[:] = meeting.collect(self.rank, memory(sendbuff, count, datatype).copy())[
                root
            ]

        def allGather(self, sendbuf: int, recvbuf: int, count: int, datatype: int, stream: int) -> None:
            assert stream == STREAM
            calls.append("allGather")
            parts = meeting.collect(self.rank, memory(sendbuf, count, datatype).copy())
            memory(recvbuf, self.size * count, datatype)[:] = np.concatenate(parts)

        def reduced(
            self,
            name: str,
            source: int,
            target: int,
            sent: int,
            taken: int,
            kind: int,
            op: int,
            stream: int,
            start: int,
        ) -> None:
            assert stream == STREAM
            calls.append(f"{name} {np.dtype(DTYPES[kind])}")
            whole = PUT_TOGETHER[op].reduce(meeting.collect(self.rank, memory(source, sent, kind).copy()))
            memory(target, taken, kind)[:] = whole[start : start + taken]

    nccl = SimpleNamespace(
        available=True, get_unique_id=lambda: UNIQUE, NcclCommunicator=NcclCommunicator, **TYPES, **OPERATIONS
    )
    cuda = SimpleNamespace(
        nccl=nccl, Device=Device, runtime=SimpleNamespace(getDeviceCount=lambda: count),
        get_current_stream=lambda: SimpleNamespace(ptr=STREAM),
    )  # fmt: skip
    return SimpleNamespace(cuda=cuda, empty=lambda shape, dtype: np.empty(shape, dtype).view(OnGPU))


def on_ranks(
    monkeypatch: pytest.MonkeyPatch, program: Callable[[NCCL], Any], hosts: list[str], gpus: int = 1
) -> tuple[list[Any], list[str]]:
    """What the program returns on each rank, or the exception that ends it; and NCCL's calls."""
    meeting, calls, found = Meeting(len(hosts)), [], [None] * len(hosts)
    cupy = stand_in(meeting, gpus, calls)
    monkeypatch.setattr(devices, "cupy", lambda: cupy)

    def run(rank: int) -> None:
        try:
            found[rank] = program(NCCL(Thread(rank, meeting, hosts)))
        except Exception as error:
            found[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(len(hosts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found, calls


THREE = ["a", "b", "c"]


def drawn(dtype: str, rank: int, *shape: int) -> Any:
    x = np.asarray(np.random.default_rng(rank).standard_normal(shape) * 3)
    return np.asarray(x > 0 if dtype == "bool" else x.astype(dtype)).view(OnGPU)


@pytest.mark.parametrize("op", ["sum", "prod", "min", "max"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "int32", "uint8"])
def test_all_reduce(monkeypatch: pytest.MonkeyPatch, dtype: str, op: str) -> None:
    xs = [drawn(dtype, rank, 2, 3) for rank in range(3)]
    wide = [x.astype("float32" if dtype == "float16" else dtype) for x in xs]
    function = {"sum": np.add, "prod": np.multiply, "min": np.minimum, "max": np.maximum}[op]
    expected = function.reduce(wide).astype(dtype)
    found, calls = on_ranks(monkeypatch, lambda nccl: nccl.all_reduce(xs[nccl.ranks.rank], op), THREE)
    assert found == [None] * 3
    assert all(np.array_equal(x, expected) for x in xs)
    assert calls == [f"allReduce {wide[0].dtype}"] * 3


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "int32", "uint8", "bool"])
@pytest.mark.parametrize("shape", [(2, 4), (3, 3), ()])
def test_what_is_moved(monkeypatch: pytest.MonkeyPatch, dtype: str, shape: tuple[int, ...]) -> None:
    xs, parts = ([drawn(dtype, rank + seed, *shape) for rank in range(3)] for seed in (0, 5))
    last, wholes = xs[2].copy(), [np.zeros((3, *shape), dtype).view(OnGPU) for _ in range(3)]

    def program(nccl: NCCL) -> None:
        rank = nccl.ranks.rank
        nccl.broadcast(xs[rank], 2)
        nccl.all_gather(parts[rank], wholes[rank])
        nccl.all_gather(wholes[rank][rank : rank + 1], wholes[rank])  # in its own place

    found, calls = on_ranks(monkeypatch, program, THREE)
    assert found == [None] * 3
    assert all(np.array_equal(x, last) for x in xs)
    assert all(np.array_equal(whole, np.stack(parts)) for whole in wholes)
    assert sorted(calls) == ["allGather"] * 6 + ["broadcast"] * 3


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64"])
def test_reduce_scatter(monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    wholes, parts = [drawn(dtype, rank, 6, 5) for rank in range(3)], [drawn(dtype, 9, 2, 5) for _ in range(3)]
    wide = "float32" if dtype == "float16" else dtype
    expected = np.add.reduce([whole.astype(wide) for whole in wholes]).astype(dtype)
    on_ranks(monkeypatch, lambda nccl: nccl.reduce_scatter(wholes[nccl.ranks.rank], parts[nccl.ranks.rank]), THREE)
    assert np.array_equal(np.concatenate(parts), expected)


def test_each_rank_takes_the_gpu_of_its_number_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = on_ranks(monkeypatch, lambda nccl: (nccl.device, here.device), ["a", "b", "a", "a", "b"], gpus=3)
    assert found == [(0, 0), (0, 0), (1, 1), (2, 2), (1, 1)]


def test_two_ranks_on_one_gpu_are_refused_on_all_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = on_ranks(monkeypatch, lambda nccl: None, ["a", "b", "b"])
    assert {str(error) for error in found} == {
        "rank 1 on b and rank 2 on b have the same GPU, 0000:0: start one rank for each GPU"
    }
    assert all(isinstance(error, RuntimeError) for error in found)


def test_an_array_on_another_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    x = drawn("float32", 0, 2)
    found, calls = on_ranks(monkeypatch, lambda nccl: nccl.ranks.rank and nccl.broadcast(x), ["a", "a"], gpus=2)
    assert isinstance(found[1], RuntimeError) and "set_device(1)" in str(found[1])
    assert not calls


def test_an_array_with_steps_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = on_ranks(monkeypatch, lambda nccl: nccl.all_reduce(drawn("float32", 0, 4)[::2]), ["a"])
    assert isinstance(found[0], ValueError) and "contiguous" in str(found[0])


def test_cupy_without_nccl_says_so_on_all_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    real = stand_in

    def without(*args: Any) -> Any:
        cupy = real(*args)
        cupy.cuda.nccl = SimpleNamespace(available=False)
        return cupy

    monkeypatch.setitem(globals(), "stand_in", without)
    found, _ = on_ranks(monkeypatch, lambda nccl: None, ["a", "b"])
    assert all(isinstance(error, RuntimeError) and "no NCCL on rank 0 on a" in str(error) for error in found)
