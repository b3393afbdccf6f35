"""NCCL: exchanges of arrays on GPUs, one GPU for each rank, through CuPy.

MPI starts the processes and hands round the identifier with which NCCL's communicator begins. Calls go onto CuPy's current
stream, and so run after the kernels that computed the arrays; the host does not wait.
Sources: NVIDIA, "NCCL User Guide", Collective Communication Functions; CuPy's cupy.cuda.nccl.NcclCommunicator.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor import devices
from tinytensor.backend import Array

# dtype → its name in cupy.cuda.nccl. bool: bytes of 0 and 1
NAMES = {
    "float64": "NCCL_FLOAT64", "float32": "NCCL_FLOAT32", "int64": "NCCL_INT64", "int32": "NCCL_INT32",
    "uint8": "NCCL_UINT8", "bool": "NCCL_UINT8",
}  # fmt: skip
WIDTHS = {8: "NCCL_INT64", 4: "NCCL_INT32", 1: "NCCL_UINT8"}  # what is only moved may have any dtype
OPERATIONS = {"sum": "NCCL_SUM", "prod": "NCCL_PROD", "min": "NCCL_MIN", "max": "NCCL_MAX"}


class NCCL:
    """The exchanges of Ranks (distributed/ranks.py) for CuPy arrays. All ranks make one at the same time.

    If several GPUs are visible, the current one becomes that with the number of this rank on its host. RuntimeError if
    CuPy finds no NCCL, and if two ranks have the same GPU, on which NCCL would not start.
    """

    def __init__(self, ranks: Any) -> None:
        self.cupy = devices.cupy()
        self.ranks, self.device = ranks, take_device(ranks, self.cupy)
        self.nccl = self.cupy.cuda.nccl
        _all_can(ranks, self.nccl, self.device)
        identifier = ranks.share(self.nccl.get_unique_id() if ranks.rank == 0 else None)
        self.communicator = self.nccl.NcclCommunicator(ranks.size, identifier, ranks.rank)

    def all_reduce(self, x: Array, op: str = "sum") -> None:
        """x ← the sum ("prod", "min", "max") of the x of all ranks, in place. float16 is added up in float32."""
        wide = self._wide(x)
        here = wide.data.ptr
        self.communicator.allReduce(here, here, wide.size, self._type(wide), self._operation(op), self._stream())
        if wide is not x:
            x[...] = wide

    def broadcast(self, x: Array, source: int = 0) -> None:
        """x ← the x of the rank `source`, in place."""
        here = self._checked(x).data.ptr
        width = next(n for n in WIDTHS if x.nbytes % n == 0)  # CuPy takes an int of 32 bits for their number
        kind = getattr(self.nccl, WIDTHS[width])
        self.communicator.broadcast(here, here, x.nbytes // width, kind, source, self._stream())

    def reduce_scatter(self, whole: Array, part: Array) -> None:
        """part ← the piece of this rank of the sum of all `whole`. float16 is added up in float32."""
        wide = self._wide(whole)
        own = part if wide is whole else self.cupy.empty(part.shape, wide.dtype)
        given, taken = wide.data.ptr, self._checked(own).data.ptr
        operation, stream = self._operation("sum"), self._stream()
        self.communicator.reduceScatter(given, taken, part.size, self._type(wide), operation, stream)
        if own is not part:
            part[...] = own

    def all_gather(self, part: Array, whole: Array) -> None:
        """whole ← the parts of all ranks, one after another. `part` may be the piece of this rank in `whole`."""
        given, taken = self._checked(part).data.ptr, self._checked(whole).data.ptr
        self.communicator.allGather(given, taken, part.nbytes, self.nccl.NCCL_UINT8, self._stream())

    def _wide(self, x: Array) -> Array:
        """x, or its values in float32 if it is float16."""
        return self._checked(x).astype(np.float32) if x.dtype == np.float16 else self._checked(x)

    def _checked(self, x: Array) -> Array:
        """x; ValueError if it is not contiguous, RuntimeError if it lies on another GPU."""
        if not x.flags.c_contiguous:
            raise ValueError(f"NCCL: an array of shape {x.shape} must be contiguous")
        if x.device.id != self.device:
            raise RuntimeError(
                f"an array on cuda:{x.device.id}, and rank {self.ranks.rank} exchanges those on cuda:{self.device}:"
                f" call tinytensor.cuda.set_device({self.device}) before it makes arrays"
            )
        return x

    def _type(self, x: Array) -> int:
        return int(getattr(self.nccl, NAMES[str(x.dtype)]))

    def _operation(self, op: str) -> int:
        return int(getattr(self.nccl, OPERATIONS[op]))

    def _stream(self) -> int:
        return int(self.cupy.cuda.get_current_stream().ptr)


def take_device(ranks: Any, cupy: Any) -> int:
    """Make the GPU of this rank the current one, if there are several of both. Returns its number."""
    count = cupy.cuda.runtime.getDeviceCount()
    if count > 1 and ranks.size > 1:
        cupy.cuda.Device(ranks.local_rank % count).use()
    return int(cupy.cuda.Device().id)


def _all_can(ranks: Any, nccl: Any, device: int) -> None:
    """RuntimeError, on all ranks, if one of them has no NCCL, or the GPU of another."""
    cupy = devices.cupy()
    there = getattr(nccl, "available", False)
    found = ranks.collect((ranks.hosts[ranks.rank], cupy.cuda.Device(device).pci_bus_id, there))
    for rank, (host, gpu, available) in enumerate(found):
        if not available:
            raise RuntimeError(
                f"CuPy finds no NCCL on {ranks.named(rank)}: pip install nvidia-nccl-cu12, or train without --device cuda"
            )
        first = next(i for i, (h, g, _) in enumerate(found) if (h, g) == (host, gpu))
        if first != rank:
            raise RuntimeError(
                f"{ranks.named(first)} and {ranks.named(rank)} have the same GPU, {gpu}: start one rank for each GPU"
            )
