"""Every function of torch.distributed, on all dtypes and layouts: saves what each rank has after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from started import join, save

import torch
import torch.distributed as dist

rank, size = join()
last = size - 1
results: dict[str, Any] = {}
DTYPES = ("float16", "float32", "float64", "int32", "int64", "uint8", "bool")
OPS = ("SUM", "PRODUCT", "MIN", "MAX", "AVG", "BAND", "BOR", "BXOR")
count = 0


def values(dtype: str, shape: tuple[int, ...], of: int = rank) -> torch.Tensor:
    """Values that differ from rank to rank and from call to call."""
    drawn = np.random.RandomState(1000 * count + of).randn(*shape) * 3
    if dtype == "bool":
        return torch.tensor(drawn > 0)
    if dtype == "uint8":
        return torch.tensor(np.asarray(np.abs(drawn) * 60).astype(np.uint8))
    return torch.tensor(np.asarray(drawn).astype(dtype))


def laid_out(layout: str, dtype: str, of: int = rank) -> torch.Tensor:
    if layout == "0-d":
        return values(dtype, (), of)
    if layout == "transposed":
        return values(dtype, (3, 2), of).t()
    if layout == "strided":
        return dense(values(dtype, (4, 3), of)[::2])
    return values(dtype, (0, 3) if layout == "empty" else (2, 3), of)


def dense(x: torch.Tensor) -> torch.Tensor:
    """x; for gloo a copy of it, since gloo takes no steps in memory: it refuses them in send, and mistakes them elsewhere."""
    return x if dist.is_mpi_available() else x.contiguous()


def note(name: str, call: Callable[[], Any], *shown: Any) -> None:
    """Make the call, wait if it returns a Work, and note the Tensors, or the kind of error."""
    global count
    count += 1
    try:
        work = call()
        if work is not None and hasattr(work, "wait"):
            results[f"{name} waits"] = work.wait() and work.is_completed() and work.is_success()
            work = None
        results[f"{name} returns"] = repr(work)
        for i, tensor in enumerate(shown):
            results[f"{name} {i}"] = tensor
    except Exception as error:
        results[f"{name} fails"] = type(error).__name__


def added(dtype: str, layout: str, op: str) -> None:
    x, how = laid_out(layout, dtype), getattr(dist.ReduceOp, op)
    note(f"all_reduce {dtype} {layout} {op}", lambda: dist.all_reduce(x, how, async_op=op == "MAX"), x)


def moved(dtype: str, layout: str) -> None:
    a, b, c, d = (laid_out(layout, dtype, of=rank + 20 * i) for i in range(4))
    lists = [[laid_out(layout, dtype, of=9 + i) for i in range(size)] for _ in range(3)]
    everywhere, there, here = lists[0], lists[1] if rank == last else None, lists[2] if rank == 0 else None
    note(f"broadcast {dtype} {layout}", lambda: dist.broadcast(a, src=last), a)
    note(
        f"all_gather {dtype} {layout}", lambda: dist.all_gather(everywhere, b, async_op=layout == "plain"), *everywhere
    )
    note(f"gather {dtype} {layout}", lambda: dist.gather(c, there, dst=last), *(there or []))
    note(f"scatter {dtype} {layout}", lambda: dist.scatter(d, here), d)


def in_pieces(dtype: str, op: str) -> None:
    how, long = getattr(dist.ReduceOp, op), values(dtype, (100,))  # long enough for the vector instructions of an MPI
    a, whole, b, c = values(dtype, (2, 3)), values(dtype, (2 * size, 3)), values(dtype, (2, 3)), values(dtype, (2, 3))
    xs = [values(dtype, (2, 3), of=9 * rank + i) for i in range(size)]
    note(f"all_reduce long {dtype} {op}", lambda: dist.all_reduce(long, how), long)
    note(f"reduce {dtype} {op}", lambda: dist.reduce(a, last, how), *([a] * (rank == last)))
    note(f"reduce_scatter_tensor {dtype} {op}", lambda: dist.reduce_scatter_tensor(b, whole, how), b)
    note(f"reduce_scatter {dtype} {op}", lambda: dist.reduce_scatter(c, xs, how), c)


def gathered(dtype: str) -> None:
    x, y = values(dtype, (2, 3)), values(dtype, (2 * size, 3))
    note(f"all_gather_into_tensor {dtype}", lambda: dist.all_gather_into_tensor(y, x, async_op=dtype == "int32"), y)


def from_one_to_one(dtype: str, source: int) -> None:
    x = dense(values(dtype, (2, 3)).t())
    if rank == source:
        note(f"send {dtype}", lambda: dist.send(x, 0, tag=3))
    elif rank == 0:
        note(f"recv {dtype} {source}", lambda: dist.recv(x, source, tag=3))
        results[f"received {dtype} {source}"] = x


for dtype in DTYPES:
    for layout in ("plain", "transposed", "strided", "0-d"):
        for op in OPS:
            added(dtype, layout, op)
    for layout in ("plain", "transposed", "strided", "0-d", "empty"):
        moved(dtype, layout)
    for op in OPS[:4]:
        in_pieces(dtype, op)
    gathered(dtype)
    for source in range(1, size):
        from_one_to_one(dtype, source)

# ------------------------------------------------------------------------------------------ what autograd sees

w = values("float64", (3,)).requires_grad_()
note("all_reduce of a leaf", lambda: dist.all_reduce(w), w)
note("broadcast of a leaf", lambda: dist.broadcast(w, 0), w)
note("all_gather into leaves", lambda: dist.all_gather([w] * size, w))
note("all_gather of a leaf", lambda: dist.all_gather([torch.zeros(3, dtype=torch.float64)] * size, w))
x = values("float64", (3,))
y = (w * x).sum()
y.backward()
results["the gradient of a leaf that was reduced"] = w.grad

# ------------------------------------------------------------------------------------------ in a row, and objects

xs = [values("float32", (50,)) for _ in range(5)]
works = [dist.all_reduce(x, async_op=True) for x in xs]
for i in (3, 0, 4, 1, 2):
    works[i].wait()
results.update({f"one of five {i}": x for i, x in enumerate(xs)})
if size > 1:
    after = [dist.isend(xs[0], (rank + 1) % size), dist.irecv(xs[1], (rank - 1) % size)]
    results["round the ring"] = all(work.wait() for work in after) and xs[1]
note("barrier", lambda: dist.barrier())
note("barrier later", lambda: dist.barrier(async_op=True))

objects: list[Any] = [None] * size
note("all_gather_object", lambda: dist.all_gather_object(objects, {"rank": rank, "text": "é" * rank}))
results["objects"] = repr(objects)
objects = [rank, "b", (rank,)] if rank != last else ["from", 2, None]
note("broadcast_object_list", lambda: dist.broadcast_object_list(objects, src=last))
results["objects of one"] = repr(objects)
objects = [None] * size if rank == 0 else None
note("gather_object", lambda: dist.gather_object((rank, "x"), objects, dst=0))
results["gathered objects"] = repr(objects)

# ------------------------------------------------------------------------------------------ refused on all ranks, before MPI

x, y = torch.ones(2), torch.ones(2, dtype=torch.float64)
for name, call in {
    "no rank": lambda: dist.broadcast(x),
    "two ranks": lambda: dist.broadcast(x, 0, group_src=0),
    "a rank too high": lambda: dist.broadcast(x, size),
    "to itself": lambda: dist.send(x, rank),
    "a short list": lambda: dist.all_gather([x] * (size - 1), x),
    "other shapes": lambda: dist.all_gather([torch.ones(3)] * size, x),
    "other dtypes": lambda: dist.all_gather([y] * size, x),
    "no list": lambda: dist.all_gather(x, x),
    "no tensor": lambda: dist.all_reduce(3),
    "no operation": lambda: dist.all_reduce(x, "sum"),
    "no gather_list": lambda: dist.gather(x, None if rank == 0 else [x], 0),
    "no scatter_list": lambda: dist.scatter(x, None if rank == 0 else [x], 0),
    "a whole of another size": lambda: dist.all_gather_into_tensor(torch.zeros(2 * size + 1), x),
    "twice": lambda: dist.init_process_group("gloo"),
}.items():
    try:
        call()
        results[f"refused {name}"] = "accepted"
    except Exception as error:
        results[f"refused {name}"] = type(error).__name__

save(results)
