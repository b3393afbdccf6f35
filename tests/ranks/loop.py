"""A training without a model: steps that end in an all-reduce, and a fault of one rank or all. tests/ranks/faults.py runs it.

mpiexec -n 3 python tests/ranks/loop.py --fault exception --rank 1 --at 20
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from gpt import launch
from gpt.cli import command
from gpt.errors import UserError
from gpt.ranks.heartbeat import SECONDS, Heartbeat
from tinytensor.distributed.ranks import found

FAULTS = (
    "none", "exception", "memory", "disk", "user", "leaves", "pause", "holds", "kill", "stop", "last", "mpi", "signal"
)  # fmt: skip


def fail_as(fault: str, seconds: float) -> None:
    if fault == "exception":
        raise ZeroDivisionError("a mistake in the program")
    if fault == "memory":
        raise MemoryError("Unable to allocate 9.00 TiB")
    if fault == "disk":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "RUN/metrics.jsonl")
    if fault == "user":
        raise UserError("there is no file corpus.txt; give another --data")
    if fault == "leaves":
        sys.exit(7)
    if fault == "pause":
        time.sleep(seconds)
    if fault == "holds":
        ctypes.PyDLL(None).sleep(int(seconds))  # a PyDLL keeps the lock of the interpreter
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    if fault == "signal":
        os.kill(os.getpid(), signal.SIGINT)
    if fault == "mpi":
        ranks = found()
        ranks.communicator.Send(np.zeros(1), 99)  # type: ignore[attr-defined]  # there is no such rank


@command("loop", ranks=True)
def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--fault", choices=FAULTS, default="none")
    parser.add_argument("--rank", type=int, help="who has the fault (default: all)")
    parser.add_argument("--at", type=int, default=10, help="the step of the fault")
    parser.add_argument("--pause", type=float, default=5)
    parser.add_argument("--silence", type=float, default=SECONDS)
    parser.add_argument("--table", type=Path, help="a file for the processes of all ranks")
    parser.add_argument("--once", type=Path, help="no fault if this file is there; it is made with the fault")
    if line := os.environ.get("LOOP"):  # gpt.launch gives flags of gpt.train
        argv = line.split()
    options = parser.parse_args(argv)
    if options.once and options.once.exists():
        options.fault = "none"
    ranks = found()
    x = np.zeros(1000, np.float32)
    faulty = options.rank in (None, ranks.rank)
    pids = ranks.collect(os.getpid())
    if options.table and ranks.rank == 0:
        with options.table.open("a") as table:  # a line for each start
            table.write(json.dumps(pids) + "\n")
    with Heartbeat(ranks, options.silence, advice="the run goes on with --resume RUN", name="loop"):
        for step in range(options.steps):
            time.sleep(0.005)  # what a step computes
            if faulty and step == options.at:
                if options.once:
                    options.once.touch()
                fail_as(options.fault, options.pause)
            x[:] = ranks.rank
            ranks.all_reduce(x)
            assert x[0] == sum(range(ranks.size))
            if step % 100 == 0:
                print(f"step {step}", flush=True)
        if faulty and options.fault == "last":
            time.sleep(options.pause)
    print(f"rank {ranks.rank} of {ranks.size} is done", flush=True)
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--launch"]:  # gpt.launch starts this loop in place of gpt.train, with the flags in LOOP
        launch.PROGRAM = (__file__,)
        sys.exit(launch.main(sys.argv[2:]))
    sys.exit(main())
