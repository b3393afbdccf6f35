"""Exchanges of Tensors between the ranks: PyTorch's functions, on MPI.

All ranks call them in the same order, with Tensors of the same shapes and dtypes. With async_op=True a function returns a
Work, and the Tensors have their values after its `wait()`. Writes are in place, and no gradient passes through them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.backend import array_module
from tinytensor.base import is_tensor, wrap
from tinytensor.distributed.wire import Wire, apart, write
from tinytensor.distributed.work import Work, returned
from tinytensor.distributed.world import ProcessGroup, ReduceOp, operation, world_of
from tinytensor.functions.inplace import copy_
from tinytensor.tensor import Tensor

# ------------------------------------------------------------------------------------------ what is refused


def _tensors(**tensors: Any) -> None:
    """TypeError for what is no Tensor."""
    for name, value in tensors.items():
        if not is_tensor(value):
            raise TypeError(
                f"Invalid function argument. Expected parameter `{name}` of type torch.Tensor but got {type(value)} instead."
            )


def _lists(tensor: Tensor, size: int, **lists: Any) -> None:
    """TypeError, RuntimeError or ValueError for what is no list of one Tensor for each rank, each one like `tensor`."""
    for name, value in lists.items():
        if not isinstance(value, list) or not all(is_tensor(each) for each in value):
            raise TypeError(
                f"Invalid function argument. Expected parameter `{name}` of type List[torch.Tensor]"
                f" but got {type(value)} instead."
            )
        if len(value) != size:
            raise RuntimeError(f"{name}: expected one tensor for each of the {size} ranks, got {len(value)}")
        for i, each in enumerate(value):
            _same_dtype(each, tensor)
            if each.shape != tensor.shape:
                raise RuntimeError(
                    f"{name}: invalid tensor size at index {i} (expected {tuple(tensor.shape)}, got {tuple(each.shape)})"
                )


def _same_dtype(a: Tensor, b: Tensor) -> None:
    if a.dtype != b.dtype:
        raise ValueError(f"Invalid usage of tensors with different dtypes: found {a.dtype} and {b.dtype}")


def _pieces(whole: Tensor, part: Tensor, size: int, whole_name: str) -> None:
    """RuntimeError or ValueError unless `whole` holds one `part` for each rank: in rows, or stacked."""
    _same_dtype(whole, part)
    rows = (size * part.shape[0], *part.shape[1:]) if part.ndim else (size,)
    if tuple(whole.shape) not in (rows, (size, *part.shape)):
        raise RuntimeError(
            f"{whole_name} must have {size} pieces of shape {tuple(part.shape)}: shape {rows}, got {tuple(whole.shape)}"
        )


def rank_in(
    world: ProcessGroup, name: str, anywhere: int | None, in_group: int | None, default: int | None = None
) -> int:
    """The rank that two arguments name. ValueError for both or none; RuntimeError for one that does not exist."""
    if anywhere is not None and in_group is not None:
        raise ValueError("Can't specify both group_rank and global_rank")
    found = default if anywhere is None and in_group is None else in_group if anywhere is None else anywhere
    if found is None:
        raise ValueError("Must specify global_rank or group_rank")
    if not 0 <= found < world.size():
        raise RuntimeError(f"{name}: invalid rank {found}: there are {world.size()}, from 0")
    return found


# ------------------------------------------------------------------------------------------ add up


def all_reduce(tensor: Tensor, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False) -> Work | None:
    """tensor ← the tensors of all ranks put together, in place, on all ranks."""
    _tensors(tensor=tensor)
    world = world_of(group)
    name, wire = operation(op, tensor.array), Wire(tensor)
    request = world.exchanges.all_reduce(wire.array, name)
    return returned(Work(request, lambda: _mean(wire, op, world)), async_op)


def _mean(wire: Wire, op: Any, world: ProcessGroup) -> None:
    """Put the result into its Tensor; for a mean, divide the sum first."""
    if op is ReduceOp.AVG:
        wire.array /= world.size()
    wire.put()


def reduce(
    tensor: Tensor,
    dst: int | None = None,
    op: Any = ReduceOp.SUM,
    group: Any = None,
    async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:
    """On the rank dst: tensor ← the tensors of all ranks put together. Those of the other ranks stay as they are."""
    _tensors(tensor=tensor)
    world = world_of(group)
    target = rank_in(world, "reduce", dst, group_dst)
    name, wire = operation(op, tensor.array), Wire(tensor, host=True)
    request = world.exchanges.reduce(wire.array, name, target)
    return returned(Work(request, lambda: _mean(wire, op, world) if target == world.rank() else None), async_op)


def reduce_scatter_tensor(
    output: Tensor, input: Tensor, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """output ← the piece of this rank of the inputs put together. input: the pieces of all ranks in rows, or stacked."""
    _tensors(output=output, input=input)
    world = world_of(group)
    _pieces(input, output, world.size(), "input")
    name, whole, part = operation(op, input.array), Wire(input), Wire(output)
    given = apart(whole.array, part.array)
    request = world.exchanges.reduce_scatter(given, part.array, name)
    return returned(Work(request, lambda: _mean(part, op, world)), async_op)


reduce_scatter_single = reduce_scatter_tensor  # PyTorch's newer name


def reduce_scatter(
    output: Tensor, input_list: list[Tensor], op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """output ← the Tensors that all ranks have for this one in their input_list, put together."""
    _tensors(output=output)
    world = world_of(group)
    _lists(output, world.size(), input_list=input_list)
    whole = array_module(output.array).stack([each.array for each in input_list])
    return reduce_scatter_tensor(output, wrap(whole), op, group, async_op)


# ------------------------------------------------------------------------------------------ hand on


def broadcast(
    tensor: Tensor, src: int | None = None, group: Any = None, async_op: bool = False, group_src: int | None = None
) -> Work | None:
    """tensor ← the tensor of the rank src, in place."""
    _tensors(tensor=tensor)
    world = world_of(group)
    source = rank_in(world, "broadcast", src, group_src)
    wire = Wire(tensor, moved=True)
    request = world.exchanges.broadcast(wire.array, source)
    return returned(Work(request, wire.put if source != world.rank() else lambda: None), async_op)


def all_gather(tensor_list: list[Tensor], tensor: Tensor, group: Any = None, async_op: bool = False) -> Work | None:
    """tensor_list[i] ← the tensor of rank i, on all ranks."""
    _tensors(tensor=tensor)
    world = world_of(group)
    _lists(tensor, world.size(), tensor_list=tensor_list)
    part = Wire(tensor, moved=True).array
    whole = array_module(part).empty((world.size(), part.size), np.uint8)
    request = world.exchanges.all_gather(part, whole.reshape(-1))
    return returned(Work(request, lambda: _hand_out(whole, tensor_list)), async_op)


def _hand_out(whole: Any, tensors: list[Tensor]) -> None:
    """Copy each row of bytes into its Tensor; RuntimeError for a leaf that requires grad, as every copy_ says."""
    for row, tensor in zip(whole, tensors, strict=True):
        new = array_module(tensor.array).empty(tensor.shape, tensor.array.dtype)
        write(new, row)
        copy_(tensor, wrap(new))


def all_gather_into_tensor(
    output_tensor: Tensor, input_tensor: Tensor, group: Any = None, async_op: bool = False
) -> Work | None:
    """output_tensor ← the input_tensors of all ranks, in rows or stacked. It may lie in the output, at its own place."""
    _tensors(output_tensor=output_tensor, input_tensor=input_tensor)
    world = world_of(group)
    _pieces(output_tensor, input_tensor, world.size(), "output_tensor")
    part, whole = Wire(input_tensor, moved=True), Wire(output_tensor, moved=True)
    request = world.exchanges.all_gather(apart(part.array, whole.array), whole.array)
    return returned(Work(request, whole.put), async_op)


all_gather_single = all_gather_into_tensor  # PyTorch's newer name


def gather(
    tensor: Tensor,
    gather_list: list[Tensor] | None = None,
    dst: int | None = None,
    group: Any = None,
    async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:
    """On the rank dst (0): gather_list[i] ← the tensor of rank i. The other ranks have no gather_list."""
    _tensors(tensor=tensor)
    world = world_of(group)
    target = rank_in(world, "gather", dst, group_dst, default=0)
    part, here = Wire(tensor, host=True, moved=True).array, target == world.rank()
    _only_on(here, gather_list, "gather_list", "destination")
    whole = None
    if here:
        _lists(tensor, world.size(), gather_list=gather_list)
        whole = np.empty((world.size(), part.size), np.uint8)
    request = world.exchanges.gather(part, None if whole is None else whole.reshape(-1), target)
    return returned(Work(request, lambda: _hand_out(whole, gather_list) if gather_list else None), async_op)


def _only_on(here: bool, tensors: Any, name: str, kind: str) -> None:
    if here and not tensors:
        raise ValueError(f"Argument ``{name}`` must be specified on {kind} rank.")
    if not here and tensors:
        raise ValueError(f"Argument ``{name}`` must NOT be specified on non-{kind} ranks.")


def scatter(
    tensor: Tensor,
    scatter_list: list[Tensor] | None = None,
    src: int | None = None,
    group: Any = None,
    async_op: bool = False,
    group_src: int | None = None,
) -> Work | None:
    """tensor ← the Tensor that the rank src (0) has for this one in its scatter_list. The other ranks have none."""
    _tensors(tensor=tensor)
    world = world_of(group)
    source = rank_in(world, "scatter", src, group_src, default=0)
    here = source == world.rank()
    _only_on(here, scatter_list, "scatter_list", "source")
    part, whole = Wire(tensor, host=True, moved=True), None
    if here:
        _lists(tensor, world.size(), scatter_list=scatter_list)
        whole = np.concatenate([Wire(each, host=True, moved=True).array for each in scatter_list or ()])
    request = world.exchanges.scatter(whole, part.array, source)
    return returned(Work(request, part.put), async_op)


def barrier(group: Any = None, async_op: bool = False) -> Work | None:
    """Wait until all ranks are here."""
    return returned(Work(world_of(group).exchanges.barrier(), lambda: None), async_op)


# ------------------------------------------------------------------------------------------ from one to one


def isend(
    tensor: Tensor, dst: int | None = None, group: Any = None, tag: int = 0, group_dst: int | None = None
) -> Work:
    """Begin to send the tensor to the rank dst. Returns a Work; the tensor must stay as it is until it is done."""
    _tensors(tensor=tensor)
    world = world_of(group)
    target = rank_in(world, "send", dst, group_dst)
    if target == world.rank():
        raise ValueError(
            "Invalid destination rank: destination rank should not be the same as the rank of the current process."
        )
    wire = Wire(tensor, host=True, moved=True)
    return Work(world.exchanges.send(wire.array, target, tag), lambda: None)


def send(tensor: Tensor, dst: int | None = None, group: Any = None, tag: int = 0, group_dst: int | None = None) -> None:
    """Send the tensor to the rank dst, which receives it with the same tag."""
    isend(tensor, dst, group, tag, group_dst).wait()


def irecv(
    tensor: Tensor, src: int | None = None, group: Any = None, tag: int = 0, group_src: int | None = None
) -> Work:
    """Begin to receive the tensor from the rank src, from any rank if it is None. Returns a Work."""
    _tensors(tensor=tensor)
    world = world_of(group)
    any_source = src is None and group_src is None
    source = world.exchanges.any_source if any_source else rank_in(world, "recv", src, group_src)
    if source == world.rank():
        raise ValueError("Invalid source rank: source rank should not be the same as the rank of the current process.")
    wire = Wire(tensor, host=True, moved=True)
    return Work(world.exchanges.receive(wire.array, source, tag), wire.put, world.exchanges.status())


def recv(tensor: Tensor, src: int | None = None, group: Any = None, tag: int = 0, group_src: int | None = None) -> int:
    """tensor ← what the rank src sends, any rank if it is None. Returns the rank that has sent it."""
    work = irecv(tensor, src, group, tag, group_src)
    work.wait()
    return work.source_rank()
