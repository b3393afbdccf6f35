"""DistributedDataParallel: a model on every rank, each with its part of the batch, and the mean of their gradients.

    dist.init_process_group("mpi")
    model = DistributedDataParallel(model)          # all ranks have the weights of rank 0 now
    model(batch_of_this_rank).mean().backward()     # every .grad is the mean over all ranks

Then every rank's optimizer makes the same update.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tinytensor.devices import device_of
from tinytensor.distributed.reducer import Reducer
from tinytensor.distributed.wire import Wire
from tinytensor.distributed.world import ProcessGroup, world_of
from tinytensor.modes import is_grad_enabled
from tinytensor.nn.module import Module
from tinytensor.tensor import Tensor

MIB = 2**20


class DataParallel(Module):
    """NotImplementedError: use DistributedDataParallel, or the module itself."""

    def __init__(self, module: Module, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        raise NotImplementedError(
            "DataParallel is outside tinytensor's subset: use DistributedDataParallel, or the module itself"
        )


# Arguments of PyTorch's that are outside of the subset, with the values at which they change nothing.
OUTSIDE = {
    "dim": (0,), "check_reduction": (False,), "delay_all_reduce_named_params": (None,), "mixed_precision": (None,),
    "param_to_hook_all_reduce": (None,), "device_mesh": (None,), "skip_all_reduce_unused_params": (False,),
    "bucket_cap_mb_list": (None,), "batched_grad_copy": (False,),
}  # fmt: skip


class DistributedDataParallel(Module):
    """The module, whose gradients are averaged over all ranks after each backward that follows a forward of this wrapper.

    Parameters and buffers of rank 0 go to all ranks at once, and buffers again before each forward, unless
    broadcast_buffers or forward_sync_buffers is False. Gradients are sent in buckets of bucket_cap_mb MiB (25, the first 1)
    while the backward goes on. find_unused_parameters or static_graph: some rank may have no gradient for a parameter,
    which counts as 0; one that no rank has used keeps its .grad. gradient_as_bucket_view is a hint, it changes nothing.

    device_ids: None, or the one GPU of this rank, to which inputs are moved; output_device: the same or None.
    ValueError before init_process_group; RuntimeError for a module without a parameter that requires grad, and for ranks
    whose modules differ.
    """

    def __init__(
        self,
        module: Module,
        device_ids: list[Any] | None = None,
        output_device: Any = None,
        dim: int = 0,
        broadcast_buffers: bool | None = None,
        init_sync: bool = True,
        process_group: Any = None,
        bucket_cap_mb: float | None = None,
        find_unused_parameters: bool = False,
        check_reduction: bool = False,
        gradient_as_bucket_view: bool = False,
        static_graph: bool = False,
        *,
        forward_sync_buffers: bool | None = None,
        **others: Any,
    ) -> None:
        super().__init__()
        _only_known({"dim": dim, "check_reduction": check_reduction, **others})
        self.process_group: ProcessGroup = world_of(process_group)
        named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        if not named:
            raise RuntimeError(
                "DistributedDataParallel is not needed when a module doesn't have any parameter that requires a gradient."
            )
        self.device_ids, self.output_device = _devices(module, device_ids, output_device)
        self.module = module
        both = (broadcast_buffers, forward_sync_buffers)
        self.broadcast_buffers = next((b for b in reversed(both) if b is not None), True)
        self.find_unused_parameters, self.static_graph = find_unused_parameters, static_graph
        self.gradient_as_bucket_view = gradient_as_bucket_view
        self.require_backward_grad_sync = self.require_forward_param_sync = True
        self.bucket_bytes_cap = int((25 if bucket_cap_mb is None else bucket_cap_mb) * MIB)
        if init_sync:
            _same_on_all(self.process_group, module)
            buffers = list(module.buffers()) if broadcast_buffers is not False else []
            self._from_rank_0([*module.parameters(), *buffers])
        limits = [MIB, self.bucket_bytes_cap] if bucket_cap_mb is None else [self.bucket_bytes_cap]
        self.reducer = Reducer(self.process_group, named, limits, find_unused_parameters or static_graph)

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """module(*inputs, **kwargs). The backward that follows averages the gradients, unless this is under no_sync."""
        synchronized = is_grad_enabled() and self.require_backward_grad_sync
        if self.require_forward_param_sync and self.broadcast_buffers:
            self._from_rank_0(list(self.module.buffers()))
        self.require_forward_param_sync = synchronized
        if self.device_ids:
            inputs, kwargs = _moved(inputs, self.device_ids[0]), _moved(kwargs, self.device_ids[0])
        output = self.module(*inputs, **kwargs)
        if synchronized:
            self.reducer.expect()
        return output

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """A context whose forwards and backwards add up gradients on this rank; the next one outside averages their sum."""
        before, self.require_backward_grad_sync = self.require_backward_grad_sync, False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before

    def _from_rank_0(self, tensors: list[Tensor]) -> None:
        """Every tensor ← that of rank 0."""
        for tensor in tensors if self.process_group.size() > 1 else ():
            wire = Wire(tensor, moved=True)
            self.process_group.ranks.broadcast(wire.array, 0)
            wire.put()

    def __deepcopy__(self, memo: Any) -> Any:
        raise NotImplementedError(
            "a copy of DistributedDataParallel is outside tinytensor's subset: copy its .module, and wrap the copy"
        )


def _only_known(arguments: dict[str, Any]) -> None:
    """TypeError for a name that PyTorch lacks, NotImplementedError for a value outside of the subset."""
    for name, value in arguments.items():
        if name not in OUTSIDE:
            raise TypeError(f"DistributedDataParallel got an unexpected keyword argument {name!r}")
        if value not in OUTSIDE[name]:
            raise NotImplementedError(
                f"DistributedDataParallel: {name}={value!r} is outside tinytensor's subset: leave it out"
            )


def _devices(module: Module, device_ids: list[Any] | None, output_device: Any) -> tuple[list[Any] | None, Any]:
    """The arguments, where they say where the module is. ValueError for a module on the host, and for several devices."""
    if device_ids is not None and len(device_ids) > 1:
        raise ValueError("device_ids can only be None or contain a single element.")
    devices = {device_of(p.array) for p in module.parameters()}
    if (device_ids or output_device is not None) and (len(devices) > 1 or "cpu" in {d.type for d in devices}):
        raise ValueError(
            "DistributedDataParallel device_ids and output_device arguments only work with modules on one GPU,"
            f" but got device_ids {device_ids}, output_device {output_device}, and module parameters {devices}."
        )
    own = next(iter(devices)).index
    for name, value in (("device_ids", (device_ids or [None])[0]), ("output_device", output_device)):
        index = value if value is None or isinstance(value, int) else int(str(value).partition(":")[2] or 0)
        if index is not None and index != own:
            raise ValueError(f"{name}={value!r}, and the module is on cuda:{own}: move it there first")
    return device_ids or None, output_device


def _moved(value: Any, device: Any) -> Any:
    """value with its Tensors on the device: a Tensor, or a tuple, list or dict of them."""
    if isinstance(value, Tensor):
        return value.to(f"cuda:{device}" if isinstance(device, int) else device)
    if isinstance(value, dict):
        return {key: _moved(each, device) for key, each in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_moved(each, device) for each in value)
    return value


def _same_on_all(world: ProcessGroup, module: Module) -> None:
    """RuntimeError, on all ranks, where the parameters or buffers of a rank are not those of rank 0."""
    named = [*module.named_parameters(), *module.named_buffers()]
    own = [(name, tuple(p.shape), str(p.dtype), p.requires_grad) for name, p in named]
    first, *rest = world.ranks.collect(own)
    for rank, theirs in enumerate(rest, start=1):
        if theirs != first:
            odd = next((pair for pair in zip(first, theirs) if pair[0] != pair[1]), (len(first), len(theirs)))
            raise RuntimeError(
                f"DDP expects same model across all ranks, but rank 0 has {odd[0]}, while rank {rank} has {odd[1]}"
            )


__all__ = ["DataParallel", "DistributedDataParallel"]
