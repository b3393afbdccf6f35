"""Rank 1 dies while the others wait for it, without a word of its own: what mpiexec says then is recorded by faults.py."""

from __future__ import annotations

import os
import signal
import sys

import numpy as np
from mpi4py import MPI

if MPI.COMM_WORLD.rank == 1:
    if sys.argv[1] == "abort":
        MPI.COMM_WORLD.Abort(75)
    if sys.argv[1] == "exit":
        os._exit(3)
    os.kill(os.getpid(), {"kill": signal.SIGKILL, "segv": signal.SIGSEGV}[sys.argv[1]])
MPI.COMM_WORLD.Allreduce(MPI.IN_PLACE, np.ones(1000))
