"""Loads a run hundreds of times while another process saves it in a tight loop: the last weights, then the best.

    python tests/hostile/racing.py --reads 500

Every number of the checkpoint of step n is n, so a mixture of two would show. Every load has to succeed, and who asks for the
best never gets the last.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import alone  # noqa: F401 first: no threads
import numpy as np
from small_runs import GPT, MEMORY, made

from gpt.run import checkpoint

WRITE = """
import os, sys
import numpy as np
from pathlib import Path
from gpt.run import checkpoint

run = Path(sys.argv[1])
os.fsync = lambda descriptor: None  # as often as possible
saved = checkpoint.read(run)
while True:
    saved.step += 1
    saved.seconds = float(saved.step)
    for array in [*saved.weights.values(), *saved.optimizer.values()]:
        array[...] = saved.step
    checkpoint.save(run, saved)
"""


def writer(run: Path) -> int:
    """Start the process that saves; return its id."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return os.spawnve(os.P_NOWAIT, sys.executable, [sys.executable, "-c", WRITE, str(run)], environment)


def best(run: Path) -> checkpoint.Checkpoint:
    """Read the best weights that the run keeps. AssertionError if others are taken."""
    found = checkpoint.read_model(run)
    assert found.is_best, f"the last weights, of step {found.step}, in place of the best"
    return found


def reads(run: Path, count: int, read: Callable[[Path], checkpoint.Checkpoint]) -> tuple[int, list[str]]:
    """Read so often; return how many different checkpoints were read, and what was wrong."""
    steps, wrong = set(), []
    for _ in range(count):
        try:
            found = read(run)
        except Exception as error:
            wrong.append(repr(error))
            continue
        steps.add(found.step)
        numbers = {float(n) for a in [*found.weights.values(), *found.optimizer.values()] for n in np.unique(a)}
        if numbers | {found.seconds} != {float(found.step)}:
            wrong.append(f"a mixture: step {found.step} with the numbers {sorted(numbers)}")
    return len(steps), wrong


def race(run: Path, saved: Path, count: int, read: Callable[[Path], checkpoint.Checkpoint]) -> tuple[int, list[str]]:
    """Do the same while a process saves a checkpoint in the folder `saved` again and again."""
    longer = checkpoint.read(run)
    longer.config = dataclasses.replace(longer.config, steps=10**8)
    checkpoint.save(saved, longer)
    process = writer(saved)
    try:
        while checkpoint.read(saved).step == 1:
            time.sleep(0.01)
        return reads(run, count, read)
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reads", type=int, default=500, help="loads of each of the two (default: 500)")
    options = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        for what, folder, read in (("last", "", checkpoint.read), ("best", checkpoint.BEST, best)):
            run = made(Path(name, what), Path(name, "text"), *GPT, "--steps=1")
            different, wrong = race(run, run / folder, options.reads, read)
            print(f"the {what}: {options.reads} loads of {different} different checkpoints while they were saved: "
                  f"{len(wrong)} wrong")  # fmt: skip
            print("\n".join(wrong[:20]), end="\n" * bool(wrong))
            failed += len(wrong)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
