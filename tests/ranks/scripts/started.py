"""What the scripts beside this share: they are written for PyTorch, and join the processes that mpiexec has started."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

import torch
import torch.distributed as dist


def join() -> tuple[int, int]:
    """Start the process group, by gloo where there is no MPI. Returns the rank and the number of ranks."""
    if dist.is_mpi_available():
        dist.init_process_group("mpi")
    else:
        rank, size = int(os.environ["PMI_RANK"]), int(os.environ["PMI_SIZE"])
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=os.environ["FREE_PORT"])
        dist.init_process_group("gloo", rank=rank, world_size=size)
        torch.set_num_threads(1)
    return dist.get_rank(), dist.get_world_size()


def plain(value: Any) -> np.ndarray:
    """A result as an array that can be saved; bools as what their bytes mean."""
    if isinstance(value, torch.Tensor):
        x = np.array(value.detach().numpy(), order="C")
        return x.view(np.uint8) != 0 if x.dtype == np.bool_ else x
    return np.asarray(value)


def save(results: dict[str, Any]) -> None:
    """Leave the results of this rank in the folder that the first argument names."""
    path = Path(sys.argv[1]) / f"{dist.get_rank()}.npz"
    np.savez(path, **{key: plain(value) for key, value in results.items()})
    dist.barrier()
    dist.destroy_process_group()
