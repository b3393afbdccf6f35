"""What tinytensor's DistributedDataParallel does beyond the values of gradients: one check after another, on all ranks.

python own.py CHECK
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np

import tinytensor as tt
import tinytensor.distributed as dist
from tinytensor import nn
from tinytensor.nn.flat import flat_of
from tinytensor.nn.parallel import DistributedDataParallel as DDP


def refused(kind: type[Exception], call: Any, *words: str) -> None:
    """The call raises an error in one line, which has these words."""
    said = "nothing"
    try:
        call()
    except kind as error:
        said = str(error)
    assert "\n" not in said and words and all(word in said for word in words), said


def layers(count: int = 6) -> nn.Sequential:
    return nn.Sequential(*[nn.Linear(4, 4) for _ in range(count)])


def overlap() -> None:
    """Buckets are sent while the backward goes on, each once, the last layers' first, in the same order on all ranks."""
    model = DDP(layers(), bucket_cap_mb=1e-5)
    reducer, sent, seen = model.reducer, [], []
    send = reducer._send
    reducer._send = lambda: (sent.append([p.name for p in reducer.buckets[reducer.sent].places]), send())
    for i, layer in enumerate(model.module):
        layer.weight.register_hook(lambda g, i=i: seen.append((i, len(sent))))
    for _ in range(2):
        sent.clear(), seen.clear()
        model(tt.ones(2, 4)).sum().backward()
        assert sent == [[f"{i}.{name}"] for i in range(5, -1, -1) for name in ("bias", "weight")], sent
        before_first = dict(seen)[0]
        assert before_first >= 10, seen  # of 12, when the gradient of the first layer's weight was complete


def buckets() -> None:
    """One bucket by default: one exchange for all gradients of a dtype."""
    mixed = layers()
    mixed[2].double(), mixed[3].half()
    for model, sizes in (
        (DDP(layers()), [12]),
        (DDP(layers(), bucket_cap_mb=1e-4), [4, 4, 4]),
        (DDP(nn.Sequential(*mixed)), [4, 2, 2, 4]),
        (DDP(nn.Sequential(nn.Linear(600, 600), nn.Linear(600, 600))), [2, 2]),  # the first is full at 1 MiB
    ):
        found = [len(bucket.places) for bucket in model.reducer.buckets]
        assert found == sizes, (found, sizes)


def halves() -> None:
    """float16: gradients are added up in float32, and the mean is rounded once."""
    model = DDP(nn.Linear(3, 2).half())
    grads = [np.random.RandomState(r).randn(2, 3).astype(np.float16) for r in range(dist.get_world_size())]
    model(tt.eye(3).half()).backward(tt.from_numpy(grads[dist.get_rank()].T.copy()))
    mean = np.mean([g.astype(np.float32) for g in grads], 0)
    assert model.module.weight.grad.dtype == tt.float16
    assert np.abs(model.module.weight.grad.numpy() - mean).max() <= np.abs(mean).max() * 2**-11
    model.zero_grad()
    smallest = tt.full((3, 2), 2.0**-24).half()
    model(tt.eye(3).half()).backward(smallest)  # a share of it is 0 in float16
    assert tt.equal(model.module.weight.grad, smallest.t())


def unused() -> None:
    """A parameter without a gradient on some rank: an error on all ranks that names it, unless that is allowed."""
    rank, size = dist.get_rank(), dist.get_world_size()

    class Some(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x: Any) -> Any:
            return self.a(x) if rank == 0 else self.b(self.a(x))

    model = DDP(Some())
    for _ in range(2):  # the error leaves nothing behind
        refused(
            RuntimeError, lambda: model(tt.ones(1, 2)).sum().backward(),
            "b.weight on 1", "b.bias on 1", "find_unused_parameters=True",
        )  # fmt: skip
    model = DDP(Some(), static_graph=True)
    model(tt.ones(1, 2)).sum().backward()
    assert np.allclose(model.module.b.bias.grad.numpy(), (size - 1) / size)
    # the fused optimizer's flat buffer takes a gradient that this rank has not computed
    optimizer = tt.optim.AdamW(model.parameters(), lr=0.1, fused=True)
    for _ in range(3):
        optimizer.zero_grad()
        model(tt.ones(1, 2)).sum().backward()
        optimizer.step()
    flat = flat_of(model.module.b.bias)
    assert flat is not None and flat.complete()
    everywhere: list[Any] = [None] * size
    dist.all_gather_object(everywhere, [p.tolist() for p in model.parameters()])
    assert all(values == everywhere[0] for values in everywhere)


def forwards() -> None:
    """After two forwards, each of two backwards is averaged (PyTorch averages the first alone)."""
    rank, size = dist.get_rank(), dist.get_world_size()
    model = DDP(nn.Linear(1, 1, bias=False))
    x, mean = tt.ones(1, 1) * (rank + 1), (size + 1) / 2
    for _ in range(2):
        model.zero_grad()
        a, b = model(x).sum(), model(x * 10).sum()
        a.backward()
        assert model.module.weight.grad.item() == mean
        b.backward()
        assert abs(model.module.weight.grad.item() - 11 * mean) < 1e-5


def broken() -> None:
    """A backward that an error has ended: the next forward says so."""
    model = DDP(layers(2))

    def fails(_: Any) -> None:
        raise KeyError("in the middle")

    handle = model.module[0].weight.register_hook(fails)
    refused(KeyError, lambda: model(tt.ones(1, 4)).sum().backward(), "in the middle")
    handle.remove()
    refused(RuntimeError, lambda: model(tt.ones(1, 4)), "Expected to have finished reduction")
    with tt.no_grad():
        model(tt.ones(1, 4))


def models() -> None:
    """Ranks with different models are told so, all of them."""
    rank = dist.get_rank()
    refused(RuntimeError, lambda: DDP(nn.Linear(2, 2 + rank)), "same model", "(2, 2)", "(3, 2)", "rank 1")
    refused(RuntimeError, lambda: DDP(layers(2 + rank)), "same model", "rank 1 has 6")
    DDP(nn.Linear(2, 2))


def written() -> None:
    """An exchange in place is noted: a backward refuses what it has overwritten."""
    x = tt.ones(3, requires_grad=True)
    y = x * 2
    z = (y * y).sum()
    dist.all_reduce(y)
    refused(RuntimeError, lambda: z.backward(), "modified by an inplace operation")
    assert y.tolist() == [2.0 * dist.get_world_size()] * 3


def steps() -> None:
    """Tensors with steps in memory, views and parts of a larger one: only they change."""
    rank, size = dist.get_rank(), dist.get_world_size()
    for dtype in (tt.float32, tt.float16, tt.bool, tt.uint8):
        whole = tt.zeros(4, 6).to(dtype)
        part = whole[1::2, ::3]
        part.fill_(1)
        dist.all_reduce(part)
        assert part.double().tolist() == [[1.0 if dtype == tt.bool else float(size)] * 2] * 2
        assert whole.double().sum().item() == part.double().sum().item()
    into = tt.zeros(2 * size, 2)
    into[2 * rank : 2 * rank + 2] = rank + 1.0
    dist.all_gather_into_tensor(into, into[2 * rank : 2 * rank + 2])  # in its own place
    assert into.sum().item() == 4 * sum(range(1, size + 1))
    stacked = tt.zeros(size, 2)
    dist.all_gather_into_tensor(stacked, tt.ones(2) * rank)
    assert stacked[:, 0].tolist() == list(range(size))
    scattered = tt.arange(2.0 * size)
    dist.reduce_scatter_tensor(scattered[:2], scattered)
    assert scattered[:2].tolist() == [size * 2.0 * rank, size * (2.0 * rank + 1)]


def group() -> None:
    """Names that say who is there."""
    rank, size = dist.get_rank(), dist.get_world_size()
    assert dist.group.WORLD is dist.GroupMember.WORLD is not None
    assert dist.get_rank(dist.group.WORLD) == rank and dist.get_process_group_ranks(None) == list(range(size))
    assert dist.get_node_local_rank() == rank and dist.get_backend() == "mpi"
    got = tt.zeros(1)
    if rank == 0:
        assert sorted(dist.recv(got) for _ in range(size - 1)) == list(range(1, size))  # from whoever sends
    else:
        dist.send(tt.ones(1), 0)
    x = tt.ones(1) * (rank + 1)
    dist.reduce(x, 0, dist.ReduceOp.AVG)
    assert x.item() == ((size + 1) / 2 if rank == 0 else rank + 1)
    dist.all_reduce(tt.ones(2), async_op=True)  # nobody waits for it
    dist.destroy_process_group()
    refused(ValueError, dist.get_rank, "init_process_group")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dist.init_process_group(world_size=7, rank=rank)
    assert "world_size (7)" in str(caught[0].message) and dist.get_world_size() == size


def fails() -> None:
    """An exception on one rank ends the others, which wait."""
    if dist.get_rank() == 1:
        raise LookupError("rank 1 has found nothing")
    dist.barrier()


dist.init_process_group("mpi")
globals()[sys.argv[1]]()
passed: list[Any] = [None] * dist.get_world_size()
dist.all_gather_object(passed, f"passed {dist.get_rank()}\n")
if dist.get_rank() == 0:
    sys.stdout.write("".join(passed))
dist.destroy_process_group()
