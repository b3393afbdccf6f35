"""The process group: all ranks that mpiexec has started, or this process alone. There is this one, `group.WORLD`."""

from __future__ import annotations

import importlib.util
import os
import sys
import warnings
from datetime import timedelta
from enum import Enum
from types import TracebackType
from typing import Any

import numpy as np

from tinytensor.backend import Array
from tinytensor.distributed.exchanges import Exchanges, exchanges_of
from tinytensor.distributed.ranks import Ranks, found
from tinytensor.distributed.work import wait_for_all
from tinytensor.dtypes import from_numpy_dtype

MISSING = "Default process group has not been initialized, please make sure to call init_process_group."


class ReduceOp(Enum):
    """How values are put together. AVG: the sum, divided by the number of ranks."""

    SUM = 0
    AVG = 1
    PRODUCT = 2
    MIN = 3
    MAX = 4
    BAND = 5
    BOR = 6
    BXOR = 7


# the name in exchanges.py, and that for bools, which are exchanged as bytes of 0 and 1
_NAMES = {
    ReduceOp.SUM: ("sum", "max"), ReduceOp.AVG: ("sum", ""), ReduceOp.PRODUCT: ("prod", "min"),
    ReduceOp.MIN: ("min", "min"), ReduceOp.MAX: ("max", "max"), ReduceOp.BAND: ("band", "band"),
    ReduceOp.BOR: ("bor", "bor"), ReduceOp.BXOR: ("bxor", "bxor"),
}  # fmt: skip


def operation(op: Any, x: Array) -> str:
    """The name of an operation in exchanges.py. TypeError for no ReduceOp; RuntimeError where the dtype does not have it."""
    if not isinstance(op, ReduceOp):
        raise TypeError(f"op must be a ReduceOp such as ReduceOp.SUM, not {op!r}")
    if op is ReduceOp.AVG and x.dtype.kind != "f":
        raise RuntimeError(
            f"ReduceOp.AVG: a mean can't be cast to the desired output type {from_numpy_dtype(x.dtype)}: take SUM"
        )
    name = _NAMES[op][x.dtype.kind == "b"]
    if name in ("band", "bor", "bxor"):
        if x.dtype.kind == "f":
            raise RuntimeError(f"Cannot use ReduceOp.{op.name} with non-integral dtype {from_numpy_dtype(x.dtype)}")
        if not isinstance(x, np.ndarray):
            raise NotImplementedError(f"ReduceOp.{op.name} on a GPU is outside tinytensor's subset: use tensor.cpu()")
    return name


class ProcessGroup:
    """The ranks, and how they exchange arrays."""

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self.exchanges: Exchanges = exchanges_of(ranks)

    def rank(self) -> int:
        """The number of this process."""
        return self.ranks.rank

    def size(self) -> int:
        """The number of processes."""
        return self.ranks.size

    def name(self) -> str:
        """mpi: the backend."""
        return "mpi"


_world: ProcessGroup | None = None


class _WorldMeta(type):
    @property
    def WORLD(cls) -> ProcessGroup | None:
        """The group of all ranks; None before init_process_group."""
        return _world


class group(metaclass=_WorldMeta):  # PyTorch's name
    """`group.WORLD` is the group of all ranks, or None before init_process_group."""


class GroupMember(metaclass=_WorldMeta):
    """`GroupMember.WORLD` is the group of all ranks, or None before init_process_group."""

    NON_GROUP_MEMBER = -100


def world_of(group: Any) -> ProcessGroup:
    """The group of all ranks, for None or itself. ValueError for another one, and before init_process_group."""
    if _world is None:
        raise ValueError(MISSING)
    if group is not None and group is not _world:
        raise ValueError(f"Invalid process group specified: {group!r}; tinytensor has group.WORLD alone, or None")
    return _world


# ------------------------------------------------------------------------------------------ what there is


def is_available() -> bool:
    """Whether mpi4py is installed."""
    return importlib.util.find_spec("mpi4py") is not None


def is_initialized() -> bool:
    """Whether init_process_group was called."""
    return _world is not None


def is_mpi_available() -> bool:
    """Whether mpi4py is installed."""
    return is_available()


def is_nccl_available() -> bool:
    """False: the backend is "mpi", which exchanges arrays on a GPU by NCCL."""
    return False


def is_gloo_available() -> bool:
    """False: the backend is "mpi"."""
    return False


def get_rank(group: Any = None) -> int:
    """The number of this process, from 0; −1 for GroupMember.NON_GROUP_MEMBER."""
    return -1 if group is GroupMember.NON_GROUP_MEMBER else world_of(group).rank()


def get_world_size(group: Any = None) -> int:
    """The number of processes; −1 for GroupMember.NON_GROUP_MEMBER."""
    return -1 if group is GroupMember.NON_GROUP_MEMBER else world_of(group).size()


def get_backend(group: Any = None) -> str:
    """The backend: "mpi"."""
    return world_of(group).name()


def get_process_group_ranks(group: Any = None) -> list[int]:
    """The numbers of all ranks."""
    return list(range(world_of(group).size()))


def get_node_local_rank(fallback_rank: int | None = None) -> int:
    """The number of this process among those on its host: LOCAL_RANK, if it is set, else counted.

    Before init_process_group it is fallback_rank; RuntimeError without one.
    """
    if "LOCAL_RANK" in os.environ:
        return int(os.environ["LOCAL_RANK"])
    if _world is not None:
        return _world.ranks.local_rank
    if fallback_rank is None:
        raise RuntimeError("LOCAL_RANK is not in the environment: call init_process_group first, or pass fallback_rank")
    return fallback_rank


# ------------------------------------------------------------------------------------------ begin and end


def init_process_group(
    backend: str | None = None,
    init_method: str | None = None,
    timeout: timedelta | None = None,
    world_size: int = -1,
    rank: int = -1,
    store: Any = None,
    group_name: str = "",
    pg_options: Any = None,
    device_id: Any = None,
) -> None:
    """Join the other processes that `mpiexec -n N python script.py` has started; without mpiexec, be a world of one rank.

    backend: "mpi" or None. MPI knows the number of processes and their ranks: world_size and rank have to agree, or a
    warning says that they are not used, as PyTorch's does. timeout is a hint that MPI does not follow. device_id: the GPU
    to make the current one. An uncaught exception of one rank ends all of them.
    ValueError for a second call, RuntimeError for another backend, and where ranks cannot find each other.
    """
    global _world
    if _world is not None:
        raise ValueError("trying to initialize the default process group twice!")
    _check_backend(backend)
    if timeout is not None and not isinstance(timeout, timedelta):
        raise TypeError(f"Expected timeout argument to be of type datetime.timedelta, got {timeout!r}")
    others = {"store": store, "pg_options": pg_options, "group_name": group_name or None}
    others["init_method"] = None if init_method == "env://" else init_method
    for name, value in others.items():
        if value is not None:
            raise NotImplementedError(
                f"init_process_group: {name}={value!r} is outside tinytensor's subset: leave it out"
            )
    ranks = found()
    if world_size not in (-1, ranks.size) or rank not in (-1, ranks.rank):
        warnings.warn(
            f"For MPI backend, world_size ({world_size}) and rank ({rank}) are ignored since they are assigned by the"
            f" MPI runtime: {ranks.size} and {ranks.rank}", stacklevel=2,
        )  # fmt: skip
    if device_id is not None:
        from tinytensor.cuda import set_device  # which few scripts need

        set_device(device_id)
    _world = ProcessGroup(ranks)
    if ranks.size > 1 and not isinstance(sys.excepthook, _EndAll):
        sys.excepthook = _EndAll(sys.excepthook)


def _check_backend(backend: Any) -> None:
    if backend is not None and str(backend).lower() != "mpi":
        raise RuntimeError(
            f'the backend {backend!r} is outside tinytensor\'s subset: take "mpi", and start the script with'
            " mpiexec -n N python script.py"
        )


class _EndAll:
    """An excepthook: the others would wait for a rank that an exception has ended, so it ends them as well."""

    def __init__(self, former: Any) -> None:
        self.former = former

    def __call__(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        self.former(kind, error, trace)
        if _world is not None:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            _world.ranks.abort(1)


def destroy_process_group(group: Any = None) -> None:
    """Leave the group, once all exchanges are over. AssertionError before init_process_group, ValueError for another group."""
    global _world
    if group is None and _world is None:
        raise AssertionError("Process group cannot be None")
    world_of(group)
    wait_for_all()
    _world = None
    if isinstance(sys.excepthook, _EndAll):
        sys.excepthook = sys.excepthook.former
