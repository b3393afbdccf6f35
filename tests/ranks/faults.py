"""Faults of ranks at random moments: a table of what was done to which rank, when, and what happened then.

    python tests/ranks/faults.py --count 20 --seed 5
    python tests/ranks/faults.py --count 5 --faults kill stop --mpi openmpi
    python tests/ranks/faults.py --record       # write tests/ranks/banners again: what both MPIs print when a rank dies

gpt.launch starts tests/ranks/loop.py. A fault is right if the line that names the rank and its host is there, or none where
nothing is lost; if a lost rank is followed by a second start that reaches the end; and if nothing hangs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "helpers"))

from mpi import BOTH, MPI, SECONDS  # noqa: E402

LOOP = Path(__file__).with_name("loop.py")
BANNERS = Path(__file__).with_name("banners")
HOST = platform.node()
SILENCE = 3  # seconds
UNWATCHED = 0.1  # seconds after the ranks have met
STEPS = 300
FAULTS = ("kill", "stop", "exception", "memory", "pause", "freeze")
STATUS = {"exception": 1, "memory": 2}
RECORDED = ("kill", "abort", "exit", "segv")


class Case(NamedTuple):
    """A fault of a rank: from outside so many seconds after the ranks have met, or from inside in that step."""

    mpi: MPI
    ranks: int
    fault: str
    rank: int
    moment: float

    def step(self) -> int:
        return int(self.moment * 100)

    def __str__(self) -> str:
        inside = self.fault in ("exception", "memory", "pause")
        when = f"step {self.step()}" if inside else f"{self.moment:.2f} s"
        who = "all" if self.fault == "freeze" else f"rank {self.rank}"
        return f"{self.mpi.name:<8}{self.ranks}  {self.fault:<10}{who:<7}{when:>9}"


class Outcome(NamedTuple):
    """How it ended. `gone` is the time in seconds from a fault from outside until no rank was left."""

    status: int
    out: str
    err: str
    pids: list[int]  # of the ranks of the first start
    gone: float | None

    def wrong(self, case: Case) -> str:
        """What should not have happened; "" if nothing."""
        if self.status != STATUS.get(case.fault, 0):
            return f"exit status {self.status}"
        lost = re.escape(f"rank {case.rank} on {HOST} (process {self.pids[case.rank]}) ")
        # gpt.launch may not watch the processes yet when one is killed at once: then its line says that it is not sure.
        unsure = "|rank .*; it, or one that ended just before it" if case.moment < UNWATCHED else ""
        line = {
            "kill": f"^gpt.launch: ({lost}(was killed by signal 9|ended without a word){unsure})",
            "stop": f"^loop: {lost}has not answered for {SILENCE} s",
            "exception": f"^loop: rank {case.rank} on {HOST}: an error of the program",
            "memory": f"^loop: rank {case.rank} on {HOST}: out of memory",
        }.get(case.fault)
        if line is None:
            return f"it said: {self.err}" if self.err else ""
        if not re.search(line, self.err, re.MULTILINE):
            return "no line names the rank"
        restarts = self.err.count("restart 1 of 1")
        return "" if restarts == (case.fault in ("kill", "stop")) else f"{restarts} restarts"

    def said(self) -> str:
        """The first line on stderr."""
        return (self.err.splitlines() or ["nothing"])[0]


def drawn(draw: random.Random, mpis: Sequence[MPI], faults: Sequence[str], most: int = 4) -> Case:
    """A random case."""
    ranks = draw.randint(2, most)
    return Case(draw.choice(mpis), ranks, draw.choice(faults), draw.randrange(ranks), draw.uniform(0, 1.2))


def alive(pids: Sequence[int]) -> list[int]:
    found = []
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 0)
            found.append(pid)
    return found


def send(pids: Sequence[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def met(table: Path, process: subprocess.Popen[str]) -> list[int]:
    """The processes of the first start, when they have met."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError, ValueError, IndexError):
            return list(json.loads(table.read_text().splitlines()[0]))
        time.sleep(0.01)
    raise AssertionError(f"the ranks did not meet: {process.communicate()}")


def carry_out(case: Case, folder: Path) -> Outcome:
    """Start the ranks and do that to them. AssertionError if they hang."""
    table, flags = folder / "table", f"--steps {STEPS} --silence {SILENCE} --table {folder / 'table'}"
    if case.fault in ("exception", "memory", "pause"):
        flags += f" --fault {case.fault} --rank {case.rank} --at {case.step()}"
    line = [
        case.mpi.folder / "python",
        LOOP,
        "--launch",
        "-n",
        case.ranks,
        "--max-restarts",
        1,
        "--out",
        folder / "run",
    ]
    process = subprocess.Popen(
        list(map(str, line)), env=case.mpi.environment(LOOP=flags), text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    gone = None
    try:
        pids = met(table, process)
        if case.fault in ("kill", "stop", "freeze"):
            time.sleep(case.moment)
            whom = pids if case.fault == "freeze" else [pids[case.rank]]
            send(whom, signal.SIGKILL if case.fault == "kill" else signal.SIGSTOP)
            began = time.monotonic()
            if case.fault == "freeze":
                time.sleep(SILENCE + 2)
                send(whom, signal.SIGCONT)
            while case.fault != "freeze" and alive(pids):
                assert time.monotonic() - began < SECONDS, f"these ranks are left: {alive(pids)}"
                time.sleep(0.01)
            gone = None if case.fault == "freeze" else time.monotonic() - began
        out, err = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"{case} hangs") from None
    finally:
        if process.poll() is None:
            process.terminate()
            process.terminate()
    assert not alive(pids), f"these ranks are left: {alive(pids)}"
    return Outcome(process.returncode, out, err, pids, gone)


def record(mpi: MPI) -> None:
    """Write what the mpiexec of this MPI prints when rank 1 of 3 dies in that way: stdout, then stderr."""
    BANNERS.mkdir(exist_ok=True)
    for how in RECORDED:
        process = mpi.start(3, Path(__file__).with_name("dying.py"), how)
        out, err = process.communicate(timeout=SECONDS)
        text = re.sub(r"\S*/(lib\S*/)?(?=lib\w+[.-]|python\()", "/usr/lib/", out + err).replace(HOST, "node7")
        (BANNERS / f"{mpi.name}-{how}.txt").write_text(text)
        print(f"{mpi.name}-{how}.txt, exit status {process.returncode}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=FAULTS)
    parser.add_argument("--mpi", nargs="+", choices=[each.name for each in BOTH])
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    mpis = [each for each in BOTH if each.is_there() and each.name in (options.mpi or each.name)]
    if options.record:
        for each in mpis:
            record(each)
        return 0
    draw, wrong = random.Random(options.seed), 0
    print("MPI  ranks  fault     whom        when   all gone  what was said first")
    for _ in range(options.count):
        case = drawn(draw, mpis, options.faults)
        with tempfile.TemporaryDirectory() as folder:
            outcome = carry_out(case, Path(folder))
        gone = "" if outcome.gone is None else f"{outcome.gone:.1f} s"
        print(f"{case}  {gone:>9}  {outcome.said()}", flush=True)
        if why := outcome.wrong(case):
            wrong += 1
            print(f"    WRONG: {why}\n{outcome.out}\n{outcome.err}", flush=True)
    print(f"{options.count - wrong} of {options.count} as they should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
