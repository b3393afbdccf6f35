"""torch.distributed on MPI: `mpiexec -n N python script.py` starts N ranks, and these functions exchange their Tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytensor.subset import outside

if TYPE_CHECKING:
    from tinytensor.distributed.collectives import (
        all_gather,
        all_gather_into_tensor,
        all_gather_single,
        all_reduce,
        barrier,
        broadcast,
        gather,
        irecv,
        isend,
        recv,
        reduce,
        reduce_scatter,
        reduce_scatter_single,
        reduce_scatter_tensor,
        scatter,
        send,
    )
    from tinytensor.distributed.objects import all_gather_object, broadcast_object_list, gather_object
    from tinytensor.distributed.work import Work
    from tinytensor.distributed.world import (
        GroupMember,
        ProcessGroup,
        ReduceOp,
        destroy_process_group,
        get_backend,
        get_node_local_rank,
        get_process_group_ranks,
        get_rank,
        get_world_size,
        group,
        init_process_group,
        is_available,
        is_gloo_available,
        is_initialized,
        is_mpi_available,
        is_nccl_available,
    )

__all__ = [
    "GroupMember", "ProcessGroup", "ReduceOp", "Work", "all_gather", "all_gather_into_tensor", "all_gather_object",
    "all_gather_single", "all_reduce", "barrier", "broadcast", "broadcast_object_list", "destroy_process_group",
    "gather", "gather_object", "get_backend", "get_node_local_rank", "get_process_group_ranks", "get_rank",
    "get_world_size", "group", "init_process_group", "irecv", "is_available", "is_gloo_available", "is_initialized",
    "is_mpi_available", "is_nccl_available", "isend", "recv", "reduce", "reduce_scatter", "reduce_scatter_single",
    "reduce_scatter_tensor", "scatter", "send",
]  # fmt: skip

# Imported on first use: a training asks for the ranks alone (ranks.py).
_begin = {"GroupMember", "ProcessGroup", "ReduceOp", "destroy_process_group", "group", "init_process_group"}
_later = {}
for _name in __all__:
    _home = "world" if _name in _begin or _name.startswith(("get_", "is_")) else "collectives"
    _home = "objects" if "_object" in _name else "work" if _name == "Work" else _home
    _later[_name] = f"tinytensor.distributed.{_home}"
__getattr__ = outside("tinytensor.distributed", _later)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
