"""Faults of gpt.train itself on many ranks: what was done to which rank, what was said, and whether the run goes on.

    python tests/ranks/lost.py --count 20 --seed 5
    python tests/ranks/lost.py --count 5 --faults kill full --mpi openmpi

A tiny model trains under mpiexec or gpt.launch. At a random step one rank is killed, stopped or asked to stop, or the system
refuses it memory or the disk. That is right if the ranks end, a line names the rank and its host, the checkpoint is
intact, and the run goes on, on another number of ranks, to the losses of a run that nothing has disturbed.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import equal
from faults import HOST, alive, send
from mpi import BOTH, MPI, SECONDS

from gpt.errors import UserError
from gpt.ranks.banners import Filter, Loss
from gpt.run import checkpoint, failure

FAULTS = ("kill", "stop", "memory", "disk", "save", "full", "int", "term")
SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "int": signal.SIGINT, "term": signal.SIGTERM}
SILENCE = 3  # seconds
STEPS, EVERY = 160, 20
LAST = 100  # the last step at which something may happen: the fault has to come before the end
GROWING = 15  # the last one for "memory": a step takes no new memory, but the first evaluation does, on all ranks
MODEL = "--layers 1 --width 16 --heads 2 --context 16 --eval-windows 300 --dtype float64 --dropout 0.1"
FLAGS = ["--data", "python-docs", *MODEL.split(), "--eval-every", str(EVERY), "--steps", str(STEPS)]
COMMON = ["--quiet", "--no-plot", "--threads", "1"]
DISK = 4 << 20  # bytes of the disk that becomes full
WEIGHTS = 40_000  # bytes: fewer than the weights take, more than all rows


class Case(NamedTuple):
    """What happens to a rank, so many seconds after that step; and on how many ranks the run goes on."""

    mpi: MPI
    launched: bool  # by gpt.launch
    ranks: int
    sharded: bool
    fault: str
    rank: int
    step: int
    pause: float
    then: int
    then_sharded: bool

    def goes_on(self) -> bool:
        """Whether gpt.launch starts the ranks again."""
        return self.launched and self.fault in ("kill", "stop", "inside")

    def __str__(self) -> str:
        by = "launch" if self.launched else "mpiexec"
        ranks = f"{self.ranks}{'s' if self.sharded else ' '}"
        then = "itself" if self.goes_on() else f"{self.then}{'s' if self.then_sharded else ''}"
        return f"{self.mpi.name:<8}{by:<8}{ranks:<3}{self.fault:<7}{self.rank:>4}{self.step:>6}  {then:<7}"


class Outcome(NamedTuple):
    """How it ended: the exit status, seconds until no rank was left, lines that were printed, what was wrong."""

    status: int
    gone: float
    said: list[str]
    saved: int  # the step of the checkpoint after the fault
    difference: equal.Difference
    wrong: str


def drawn(draw: random.Random, mpis: Sequence[MPI], faults: Sequence[str], launched: bool | None = None) -> Case:
    """A random case. A disk is that of rank 0, which writes. A kill may come before the first step and after the last."""
    ranks, fault = draw.choice((2, 2, 3)), draw.choice(faults)
    step, pause = draw.randint(1, GROWING if fault == "memory" else LAST), draw.uniform(0, 0.05)
    if fault == "kill" and draw.random() < 0.3:
        step, pause = draw.choice(((0, draw.uniform(0, 2)), (STEPS, draw.uniform(0, 0.2))))
    then = draw.choice([number for number in (1, 2, 3) if number != ranks])
    return Case(
        mpi=draw.choice(mpis),
        launched=draw.random() < 0.5 if launched is None else launched,
        ranks=ranks,
        sharded=draw.random() < 0.5,
        fault=fault,
        rank=0 if fault in ("disk", "save", "full") else draw.randrange(ranks),
        step=step,
        pause=pause,
        then=then,
        then_sharded=then > 1 and draw.random() < 0.5,
    )


def processes(run: Path) -> dict[int, int]:
    """The processes that train in that folder, by their ranks."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            variables = dict(each.partition(b"=")[::2] for each in (folder / "environ").read_bytes().split(b"\0"))
            command = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        number = variables.get(b"PMI_RANK", variables.get(b"OMPI_COMM_WORLD_RANK"))
        if number is not None and b"gpt.train" in command and str(run).encode() in command:
            found[int(number)] = int(folder.name)
    return found


def steps_of(run: Path) -> int:
    """How many rows there are."""
    with contextlib.suppress(OSError):
        return (run / "metrics.jsonl").read_bytes().count(b"\n")
    return 0


def memory_of(pid: int) -> int:
    """The address space of a process in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()


def strike(case: Case, pid: int, run: Path) -> None:
    """Do it to that process."""
    if case.fault in SIGNALS:
        send([pid], SIGNALS[case.fault])
    elif case.fault == "memory":  # what it has now is all that it gets
        resource.prlimit(pid, resource.RLIMIT_AS, (memory_of(pid), resource.RLIM_INFINITY))
    elif case.fault in ("disk", "save"):  # no file may be longer
        limit = (run / "metrics.jsonl").stat().st_size + 100 if case.fault == "disk" else WEIGHTS
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    else:
        with contextlib.suppress(OSError), (run.parent / "filler").open("wb", buffering=0) as filler:
            while filler.write(bytes(1 << 12)):
                pass


@contextlib.contextmanager
def place(case: Case, folder: Path) -> Iterator[Path]:
    """The folder, on a disk of its own where it becomes full."""
    if case.fault == "full":
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        if case.fault == "full":
            subprocess.run(["umount", "--lazy", folder], check=True)


def may_mount() -> bool:
    """Whether this system lets us make a disk."""
    with tempfile.TemporaryDirectory() as folder:
        made = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True).returncode == 0
        if made:
            subprocess.run(["umount", folder], check=True)
        return made


def begin(case: Case, run: Path) -> subprocess.Popen[str]:
    """Start the training."""
    flags = [*FLAGS, *COMMON, "--answer-within", str(SILENCE), "--out", str(run)]
    flags += ["--shard-optimizer"] if case.sharded else []
    if not case.launched:
        return case.mpi.start(case.ranks, "-m", "gpt.train", *flags)
    line = [str(case.mpi.folder / "python"), "-m", "gpt.launch", "-n", str(case.ranks), "--max-restarts", "1", *flags]
    return subprocess.Popen(
        line, env=case.mpi.environment(), text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def go_on(case: Case, run: Path) -> str:
    """Resume the run to its end. Return what went wrong."""
    command = ["-m", "gpt.train", "--resume", str(run), *COMMON, *["--shard-optimizer"] * case.then_sharded]
    if case.then > 1:
        process = case.mpi.start(case.then, *command)
    else:
        process = subprocess.Popen(
            [str(case.mpi.folder / "python"), *command], env=case.mpi.environment(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
    out, err = finished(process, run)
    return "" if process.returncode == 0 else f"it does not go on, exit status {process.returncode}: {out}{err}"


def finished(process: subprocess.Popen[str], run: Path) -> tuple[str, str]:
    """What the process prints until its end. AssertionError if it hangs; then nothing of it is left."""
    try:
        return process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        clear(process, run)
        raise AssertionError(f"it hangs: {process.communicate()}") from None


def clear(process: subprocess.Popen[str], run: Path) -> None:
    """End what is left of a training: it was started here, and works in that folder."""
    send([*processes(run).values(), *([] if process.poll() is not None else [process.pid])], signal.SIGKILL)


def until_step(case: Case, process: subprocess.Popen[str], run: Path) -> dict[int, int]:
    """Wait for the step, and return the processes of the ranks. AssertionError if the training does not get there."""
    pids: dict[int, int] = {}
    end = time.monotonic() + SECONDS
    while steps_of(run) < case.step:
        if time.monotonic() > end or process.poll() is not None:
            clear(process, run)
            raise AssertionError(f"it does not reach step {case.step}: {process.communicate()}")
        if steps_of(run) and len(pids) < case.ranks:
            pids = processes(run)
        time.sleep(0.002)
    while len(pids) < case.ranks and time.monotonic() < end:
        pids = processes(run)
    assert len(pids) == case.ranks, pids
    time.sleep(case.pause)
    return pids


def carry_out(case: Case, folder: Path, whole: Path) -> Outcome:
    """Start the ranks, do that to one of them, and go on. `whole` is the run that nothing disturbs."""
    with place(case, folder):
        run = folder / "run"
        process = begin(case, run)
        pids = until_step(case, process, run)
        strike(case, pids[case.rank], run)
        began = time.monotonic()
        while alive(list(pids.values())) and time.monotonic() < began + SECONDS:
            time.sleep(0.01)
        gone = time.monotonic() - began
        out, err = finished(process, run)
        left = alive(list(pids.values())) + list(processes(run).values())
        clear(process, run)
        (folder / "filler").unlink(missing_ok=True)
        lines, losses = heard(out, err)
        if case.fault == "memory" and any(loss.inside for loss in losses):  # MPI needed memory first
            case = case._replace(fault="inside")
        wrong = [f"left: {left}"] if left else []
        is_over = process.returncode == 0 and not lines and case.step in (0, STEPS)  # it came after the end
        if case.step == 0 and not case.launched and not checkpoint.is_there(run):  # there is nothing to go on with
            shutil.rmtree(run, ignore_errors=True)
            again = finished(begin(case, run), run)
            wrong += filter(None, again)
        try:
            saved = checkpoint.read(run).step
        except UserError as error:
            return Outcome(process.returncode, gone, lines, 0, equal.Difference(9, 9, False), str(error))
        wrong += [] if is_over else unsaid(case, pids, process.returncode, lines, losses)
        if case.goes_on():
            wrong += [f"it ends at step {saved}"] if saved != STEPS else []
        else:
            wrong += lost_steps(case, run, saved) if 0 < case.step < STEPS else []
            kept = failure.read(run)
            if case.fault in ("memory", "disk", "save") and f"gpt.train: {kept}" not in lines:
                wrong.append(f"failure.txt says {kept!r}")
            wrong += filter(None, [go_on(case, run)])
        found, more = compared(run, whole)
        return Outcome(process.returncode, gone, lines, saved, found, "; ".join(wrong + more))


def heard(out: str, err: str) -> tuple[list[str], list[Loss]]:
    """The lines that were printed, and the losses of which mpiexec's banner tells."""
    filters, lines = (Filter(), Filter()), []
    for text, each in zip((out, err), filters):
        lines += (each.feed(text) + each.finish()).splitlines()
    return lines, [loss for each in filters for loss in each.losses]


def unsaid(case: Case, pids: dict[int, int], status: int, lines: list[str], losses: list[Loss]) -> list[str]:
    """What should have been said otherwise, and exit statuses that are wrong."""
    named = re.escape(f"rank {case.rank} on {HOST}")
    lost = rf"{named} \(process {pids[case.rank]}\)"
    expected = {
        "stop": f"gpt.train: {lost} has not answered for {SILENCE} s; all ranks end; go on with --resume",
        "memory": f"gpt.train: {named}: out of memory",
        "save": rf"gpt.train: {named}: cannot save step \d+ in \S+run(/best)?: .*File too large; the checkpoint before",
        "disk": f"gpt.train: {named}: .*File too large",
        "full": f"gpt.train: {named}: .*No space left on device",
        "int": r"gpt.train: step \d+ saved; go on with",
        "term": r"gpt.train: step \d+ saved; go on with",
    }
    wanted = [expected[case.fault]] if case.fault in expected else []
    failed = [loss for loss in losses if loss.exchange]  # MPICH ends a rank that is in an exchange when another is lost
    if case.fault == "inside" or failed:  # beside MPI's own lines
        lines = [line for line in lines if line.startswith("gpt.")]
    if case.fault == "inside":
        wanted = [f"gpt.launch: {lost} was ended by MPI"] if case.launched else []
    if case.launched and case.fault == "kill":
        lost = lost if case.step else f"(a |)rank .*on {HOST} \\(process"  # before the ranks have met
        wanted = [f"gpt.launch: {lost}.* (was killed by signal 9|ended without a word)"]
    if case.goes_on():
        at = r"(the checkpoint is of step \d+, it goes on in|before the first checkpoint, it begins anew in)"
        wanted.append(f"gpt.launch: restart 1 of 1: {at}")
    wrong = [f"not once: {each}" for each in wanted if sum(bool(re.match(each, line)) for line in lines) != 1]
    if len(lines) != len(wanted):
        wrong.append(f"{len(lines)} lines, not {len(wanted)}")
    if case.fault == "kill" and not case.launched:
        # Open MPI names the one that was killed. MPICH names one that ended, perhaps since mpiexec ended it.
        right = [pids[case.rank]] if case.mpi.name == "openmpi" else list(pids.values())
        if not any(loss.pid in right and loss.host == HOST for loss in losses) and not failed:
            wrong.append("no banner")
    number = {"memory": 2, "disk": 2, "save": 2, "full": 2, "stop": 75, "int": 130, "term": 143}.get(case.fault)
    if case.goes_on():
        number = 0
    if status != number if number is not None else not status:
        wrong.append(f"exit status {status}")
    return wrong


def lost_steps(case: Case, run: Path, saved: int) -> list[str]:
    """What is wrong with the step that was saved: a request to stop loses none, all else less than EVERY."""
    rows = steps_of(run)
    if case.fault in ("int", "term"):
        return [] if saved == rows < STEPS else [f"step {saved} is saved after {rows} rows"]
    return [] if rows - EVERY <= saved < STEPS else [f"step {saved} is saved after {rows} rows"]


def compared(run: Path, whole: Path) -> tuple[equal.Difference, list[str]]:
    """The difference of two runs, and what is wrong with the first."""
    steps = [row["step"] for row in equal.rows(run)]
    if steps != list(range(1, STEPS + 1)):
        return equal.Difference(9, 9, False), [f"{len(steps)} rows, {len(set(steps))} different"]
    found = equal.difference(run, whole)
    right = found.loss <= equal.FLOAT64 and found.weight <= equal.FLOAT64
    wrong = [] if right else [f"the curve differs by {found.loss:.1e}, the weights by {found.weight:.1e}"]
    if (run / "failure.txt").exists():
        wrong.append("failure.txt is left of a run that has reached its end")
    return found, wrong


def undisturbed(folder: Path) -> Path:
    """The same training on one process."""
    return equal.train([*FLAGS, "--threads", "1"], folder / "whole")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faults", nargs="+", choices=FAULTS)
    parser.add_argument("--mpi", nargs="+", choices=[each.name for each in BOTH])
    options = parser.parse_args()
    mpis = [each for each in BOTH if each.is_there() and each.name in (options.mpi or each.name)]
    faults = options.faults or [each for each in FAULTS if each != "full" or may_mount()]
    draw, counts, wrong = random.Random(options.seed), Counter[str](), Counter[str]()
    print("MPI     by   ranks   what  whom  step  then   status   gone  saved    loss  weights  what was said first")
    with tempfile.TemporaryDirectory() as folder:
        whole = undisturbed(Path(folder))
        for number in range(options.count):
            case = drawn(draw, mpis, [faults[number % len(faults)]])
            counts[case.fault] += 1
            with tempfile.TemporaryDirectory() as place:
                outcome = carry_out(case, Path(place), whole)
            found = f"{outcome.difference.loss:8.0e}{outcome.difference.weight:9.0e}"
            said = (outcome.said or ["mpiexec's banner"])[0]
            print(f"{case}{outcome.status:>7}{outcome.gone:>5.1f} s{outcome.saved:>7}{found}  {said}", flush=True)
            if outcome.wrong:
                wrong[case.fault] += 1
                print(f"    WRONG: {outcome.wrong}", *outcome.said, sep="\n    ", flush=True)
    for fault, count in sorted(counts.items()):
        print(f"{fault:<8}{count - wrong[fault]} of {count} as they should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
