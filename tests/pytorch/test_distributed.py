"""torch.distributed without mpiexec: a world of one rank, what is refused, samplers. With more ranks: tests/ranks."""

from __future__ import annotations

import copy
import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
import tinytensor.distributed as dist
from tinytensor.distributed import world
from tinytensor.distributed.ranks import found
from tinytensor.nn.parallel import DistributedDataParallel as DDP
from tinytensor.utils.data import DistributedSampler
from tinytensor.utils.data.distributed import permutation


@pytest.fixture
def alone() -> Iterator[None]:
    """A world of one rank, for which mpi4py is not imported."""
    dist.init_process_group("mpi")
    yield
    if dist.is_initialized():
        dist.destroy_process_group()


@pytest.mark.parametrize("dtype", [tt.float64, tt.float16, tt.int32, tt.uint8, tt.bool])
def test_one_rank_gets_what_it_gives(alone: None, dtype: tt.dtype) -> None:
    x = tt.tensor([[0, 1], [2, 3]]).to(dtype).t()
    before, y = x.clone(), tt.zeros(2, 2).to(dtype)
    for op in (dist.ReduceOp.SUM, dist.ReduceOp.PRODUCT, dist.ReduceOp.MIN, dist.ReduceOp.MAX):
        dist.all_reduce(x, op)
        dist.reduce(x, 0, op)
        dist.reduce_scatter_tensor(y, x, op)
        assert tt.equal(x, before) and tt.equal(y, before)
    calls = (
        lambda: dist.broadcast(x, 0), lambda: dist.all_gather([y], x), lambda: dist.gather(x, [y]),
        lambda: dist.all_gather_into_tensor(y, x), lambda: dist.scatter(y, [x]), lambda: dist.reduce_scatter(y, [x]),
    )  # fmt: skip
    for call in calls:
        y.copy_(before if call is calls[0] else tt.zeros(2, 2))
        call()
        assert tt.equal(x, before) and tt.equal(y, before)


def test_who_is_there(alone: None) -> None:
    assert (dist.get_rank(), dist.get_world_size(), dist.get_backend()) == (0, 1, "mpi")
    assert dist.get_node_local_rank() == 0 and dist.is_initialized()
    work = dist.all_reduce(tt.ones(2), async_op=True)
    assert work is not None and work.is_completed() and work.wait() and work.is_success()
    dist.barrier()


def test_objects_of_one_rank(alone: None) -> None:
    objects: list[Any] = [None]
    dist.all_gather_object(objects, {"a": 1})
    assert objects == [{"a": 1}]
    dist.gather_object(7, objects)
    dist.broadcast_object_list(objects)
    assert objects == [7]


def test_a_mean_of_one(alone: None) -> None:
    x = tt.tensor(3.0)
    dist.all_reduce(x, dist.ReduceOp.AVG)
    assert x.item() == 3


def test_training_alone_is_training(alone: None) -> None:
    """With the wrapper and without it: the same weights, bit by bit."""
    models = []
    for wrapped in (False, True):
        tt.manual_seed(1)
        net = tt.nn.Sequential(tt.nn.Linear(3, 8), tt.nn.GELU(), tt.nn.Linear(8, 1))
        model: Any = DDP(net) if wrapped else net
        optimizer = tt.optim.AdamW(model.parameters(), lr=0.1, fused=True)
        for step in range(5):
            optimizer.zero_grad()
            (model(tt.randn(4, 3)) - step).square().mean().backward()
            optimizer.step()
        models.append(net)
    assert all(tt.equal(a, b) for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True))


def test_the_wrapper_has_the_names_of_pytorchs(alone: None) -> None:
    model = DDP(tt.nn.Linear(2, 1))
    assert list(model.state_dict()) == ["module.weight", "module.bias"]
    assert repr(model).startswith("DistributedDataParallel(\n  (module): Linear(in_features=2")
    copied = copy.deepcopy(model.module)
    assert not hasattr(copied.weight, "_hooks")
    with pytest.raises(NotImplementedError, match="subset"):
        copy.deepcopy(model)


def test_hooks_go_with_the_wrapper(alone: None) -> None:
    net = tt.nn.Linear(2, 1)
    model = DDP(net)
    model.reducer.close()
    assert not net.weight._hooks  # an empty LeafHooks
    seen = model.reducer.seen
    model(tt.ones(1, 2)).sum().backward()
    assert model.reducer.seen == seen


# ------------------------------------------------------------------------------------------ what is refused

BEFORE: list[Callable[[Any], Any]] = [
    lambda t: t.distributed.get_rank(),
    lambda t: t.distributed.get_world_size(),
    lambda t: t.distributed.get_backend(),
    lambda t: t.distributed.barrier(),
    lambda t: t.distributed.all_reduce(t.ones(2)),
    lambda t: t.distributed.all_reduce(3),
    lambda t: t.distributed.broadcast(t.ones(2), 0),
    lambda t: t.distributed.all_gather([t.ones(2)], t.ones(2)),
    lambda t: t.distributed.all_gather_object([None], 1),
    lambda t: t.distributed.broadcast_object_list([None]),
    lambda t: t.distributed.send(t.ones(2), 1),
    lambda t: t.distributed.destroy_process_group(),
    lambda t: t.nn.parallel.DistributedDataParallel(t.nn.Linear(1, 1)),
    lambda t: t.utils.data.DistributedSampler([1, 2]),
    lambda t: t.utils.data.DistributedSampler([1, 2], 2, 2),
]


@pytest.mark.parametrize("call", BEFORE, ids=lambda call: inspect.getsource(call).strip()[10:-1])
def test_before_it_is_initialized_errors_are_pytorchs(call: Callable[[Any], Any]) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(Exception) as theirs:
        call(torch)
    with pytest.raises(type(theirs.value)) as own:
        call(tt)
    assert str(own.value) == " ".join(str(theirs.value).split())


@pytest.mark.parametrize(
    "error, arguments, words",
    [
        (RuntimeError, {"backend": "gloo"}, 'take "mpi"'),
        (RuntimeError, {"backend": "nccl"}, "mpiexec -n N"),
        (TypeError, {"timeout": 3}, "timedelta"),
        (NotImplementedError, {"init_method": "tcp://localhost:1"}, "init_method"),
        (NotImplementedError, {"store": object()}, "store"),
        (RuntimeError, {"device_id": 0}, "CuPy|GPU"),
    ],
)
def test_what_is_refused_at_the_start(error: type[Exception], arguments: dict[str, Any], words: str) -> None:
    if "device_id" in arguments and tt.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(error, match=words) as caught:
        dist.init_process_group(**arguments)
    assert "\n" not in str(caught.value) and not dist.is_initialized()


def test_without_mpi4py_one_process_is_a_world_and_many_say_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    assert not dist.is_available() and not dist.is_mpi_available()
    dist.init_process_group()
    t = tt.ones(2)
    dist.all_reduce(t)
    assert (dist.get_rank(), dist.get_world_size(), t.tolist()) == (0, 1, [1, 1])
    dist.destroy_process_group()
    monkeypatch.setattr(world, "found", found.__wrapped__)  # not what this process has found before
    monkeypatch.setenv("PMI_SIZE", "2")
    with pytest.raises(RuntimeError, match=r"mpiexec has started 2 processes, .* pip install mpi4py mpich"):
        dist.init_process_group()


def test_what_is_accepted_at_the_start() -> None:
    dist.init_process_group("MPI", "env://", timedelta(seconds=5), 1, 0)
    with pytest.raises(ValueError, match="twice"):
        dist.init_process_group()
    dist.destroy_process_group()
    with pytest.warns(UserWarning, match=r"world_size \(4\) and rank \(2\) are ignored .*: 1 and 0"):
        dist.init_process_group(world_size=4, rank=2)
    dist.destroy_process_group()
    assert dist.group.WORLD is None


x = tt.ones(2)
model = tt.nn.Linear(1, 1)
REFUSED: list[tuple[type[Exception], Callable[[], Any], str]] = [
    (ValueError, lambda: dist.all_reduce(x, group=3), "Invalid process group"),
    (ValueError, lambda: dist.destroy_process_group(3), "Invalid process group"),
    (TypeError, lambda: dist.all_reduce(x, "sum"), "ReduceOp"),
    (RuntimeError, lambda: dist.all_reduce(tt.arange(2), dist.ReduceOp.AVG), "can't be cast"),
    (RuntimeError, lambda: dist.all_reduce(x, dist.ReduceOp.BAND), "non-integral"),
    (RuntimeError, lambda: dist.broadcast(x, 1), "there are 1, from 0"),
    (ValueError, lambda: dist.broadcast(x), "Must specify"),
    (ValueError, lambda: dist.recv(x, 0), "source rank"),
    (ValueError, lambda: dist.recv(x), "nobody sends"),
    (ValueError, lambda: dist.scatter(x, None), "scatter_list"),
    (RuntimeError, lambda: dist.all_gather([x, x], x), "1 ranks, got 2"),
    (RuntimeError, lambda: dist.reduce_scatter_tensor(x, tt.ones(3)), r"shape \(2,\), got \(3,\)"),
    (IndexError, lambda: dist.all_gather_object([], 1), "range"),
    (TypeError, lambda: dist.broadcast_object_list((1,)), "list"),  # type: ignore[arg-type]
    (NotImplementedError, lambda: dist.broadcast_object_list([1], device="cuda"), "subset"),
    (NotImplementedError, lambda: dist.barrier(async_op=True).wait(timedelta(1)), "subset"),  # type: ignore[union-attr]
    (RuntimeError, lambda: dist.barrier(async_op=True).source_rank(), "recv"),  # type: ignore[union-attr]
    (RuntimeError, lambda: dist.all_gather([tt.ones(2, requires_grad=True)], x), "leaf Variable"),
    (RuntimeError, lambda: DDP(tt.nn.ReLU()), "not needed"),
    (ValueError, lambda: DDP(model, device_ids=[0]), "device_ids"),
    (ValueError, lambda: DDP(model, device_ids=[0, 1]), "single element"),
    (ValueError, lambda: DDP(model, output_device=0), "output_device"),
    (ValueError, lambda: DDP(model, process_group=3), "Invalid process group"),
    (NotImplementedError, lambda: DDP(model, dim=1), "dim=1 is outside .* subset"),
    (NotImplementedError, lambda: DDP(model, mixed_precision=1), "mixed_precision"),
    (TypeError, lambda: DDP(model, no_such=1), "no_such"),
]


@pytest.mark.parametrize("error, call, words", REFUSED)
def test_what_is_refused_says_why_in_a_line(
    alone: None, error: type[Exception], call: Callable[[], Any], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_signatures_are_pytorchs() -> None:
    """The arguments come in PyTorch's order, and none is missing but private ones."""
    torch = pytest.importorskip("torch")
    for name in dist.__all__:
        own, theirs = getattr(dist, name), getattr(torch.distributed, name)
        if inspect.isfunction(own):
            parameters = inspect.signature(theirs).parameters
            wanted = [p for p in parameters if p[0] != "_"]
            if name == "barrier":
                wanted = [p for p in wanted if p not in ("device_ids", "timeout")]
            assert list(inspect.signature(own).parameters) == wanted, name
    wanted = list(inspect.signature(torch.nn.parallel.DistributedDataParallel).parameters)[:12]
    assert list(inspect.signature(DDP).parameters)[:12] == wanted


def test_importing_it_imports_no_mpi() -> None:
    code = "import sys, tinytensor.distributed, tinytensor.nn; print(*[m for m in sys.modules if 'mpi4py' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not done.stdout.strip()


# ------------------------------------------------------------------------------------------ samplers


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("count, replicas", [(10, 1), (10, 2), (10, 3), (2, 5), (1, 3), (0, 2), (999, 7)])
def test_samplers_have_pytorchs_indices(count: int, replicas: int, shuffle: bool, drop_last: bool) -> None:
    torch = pytest.importorskip("torch")
    for rank in range(replicas):
        samplers = [
            kind(range(count), replicas, rank, shuffle, seed=3, drop_last=drop_last)
            for kind in (torch.utils.data.DistributedSampler, DistributedSampler)
        ]
        for epoch in (0, 5):
            for sampler in samplers:
                sampler.set_epoch(epoch)
            assert list(samplers[1]) == list(samplers[0])
            assert len(samplers[1]) == len(samplers[0])


@pytest.mark.parametrize("seed", [0, 2**32 - 1, 2**32 + 5, 2**63])
def test_the_permutation_is_pytorchs(seed: int) -> None:
    torch = pytest.importorskip("torch")
    expected = torch.randperm(1000, generator=torch.Generator().manual_seed(seed)).tolist()
    assert permutation(1000, seed) == expected and np.array_equal(np.sort(expected), np.arange(1000))
