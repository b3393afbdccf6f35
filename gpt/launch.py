"""Train on several processes, and go on from the last checkpoint when one of them is lost: mpiexec and gpt.train.

python -m gpt.launch -n 4 --data PATH                       # the flags of gpt.train follow
python -m gpt.launch -n 4 -- --resume RUN
python -m gpt.launch -n 16 --mpiexec "mpiexec -hostfile hosts" -- --data PATH
"""

from __future__ import annotations

import argparse
import codecs
import contextlib
import dataclasses
import importlib.util
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

from gpt import cli, job
from gpt.config import COUNT, SIZE, flag
from gpt.errors import UserError
from gpt.fast.threads import usable_cores
from gpt.ranks import banners, processes
from gpt.ranks.heartbeat import LOST
from gpt.run import checkpoint
from gpt.run.interrupt import SIGNALS
from gpt.run.opening import new_folder

PROGRAM = ("-m", "gpt.train")
RESTARTS = 3
LATE = 10.0  # seconds that a rank may outlive mpiexec
STUCK = 2  # times that ranks are lost without a new checkpoint since the start
ASKED = {128 + number for number in SIGNALS} | {141}  # exit statuses of ranks that were asked to stop
HELP = """\
examples:
  python -m gpt.launch -n 4                             four processes on this computer
  python -m gpt.launch -n 4 --data book.txt --steps 500 what is no flag of gpt.launch is one of gpt.train
  python -m gpt.launch -n 4 -- --resume RUN             go on with a run, on four processes
  python -m gpt.launch -n 16 --mpiexec "mpiexec -hostfile hosts"
                                                        on the hosts of that file; all see the folder of the run
  python -m gpt.launch -n 4 --max-restarts 0            end when a process is lost

When a process is lost (killed, as when the memory is full, or silent for 15 s), all are started again with --resume. They
are not after an error that is said (status 1, 2), after Ctrl-C, which saves, or where two starts in a row made no new
checkpoint: then the status is 75. python -m gpt.train --help has the flags of the training.
"""


@dataclass
class Launch:
    """What is started, and what came of it."""

    mpiexec: list[str]  # with its flags
    ranks: int
    folder: Path  # of the run
    table: Path  # which process is which rank
    stopped: int = 0  # the signal that asked to stop
    process: subprocess.Popen[bytes] | None = None
    losses: list[banners.Loss] = field(default_factory=list)
    given: str = ""  # the command of mpiexec, if the user gave one

    def run(self, flags: list[str]) -> int:
        """Run the ranks with these flags of gpt.train. Return the exit status of mpiexec, negative for a signal."""
        self.table.unlink(missing_ok=True)
        filters = banners.Filter(), banners.Filter()
        self.process = process = subprocess.Popen(
            [*self.mpiexec, "-n", str(self.ranks), sys.executable, *PROGRAM, *flags],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, processes.VARIABLE: str(self.table)}, preexec_fn=getattr(os, "setpgrp", None),
        )  # fmt: skip
        assert process.stdout and process.stderr
        if self.stopped:  # since the one before ended
            process.terminate()
        pairs = (process.stdout, sys.stdout), (process.stderr, sys.stderr)
        threads = [
            threading.Thread(target=pass_on, args=(source, target, each))
            for (source, target), each in zip(pairs, filters)
        ]
        first: set[int] = set()
        threads.append(threading.Thread(target=lambda: first.update(self.first(process))))
        for thread in threads:
            thread.start()
        status = process.wait()
        for thread in threads:
            thread.join()
        processes.wait_for(self.here(), LATE)  # mpiexec may end before them, and they hold the lock of the run
        known = processes.read(self.table)
        if self.ranks == 1:  # gpt.train does not use MPI then
            self.losses = [dataclasses.replace(loss, rank=0, sure=True) for each in filters for loss in each.losses]
            return status
        losses = [loss for each in filters for loss in each.losses]
        # A failed exchange follows from the loss of another rank, which is named better where something else tells of it.
        causes = [loss for loss in losses if not loss.exchange] or losses[:1]
        self.losses = [loss.named(known, first) for loss in causes]
        if not any(loss.exchange for loss in losses):
            return status
        # Then the status of mpiexec is the lowest byte of MPI's code for that error, and may be any number.
        return next((each.aborted for each in filters if each.aborted is not None), LOST)

    def here(self) -> list[int]:
        """The processes of the ranks on this host, as far as they have told."""
        return [each.pid for each in processes.read(self.table) if each.host == platform.node()]

    def first(self, process: subprocess.Popen[bytes]) -> set[int]:
        """The processes that ended first, if all ranks are on this host: else one of another host may have been before."""
        while process.poll() is None:
            if pids := self.here():
                alone = len(pids) == self.ranks
                return processes.first_to_end(pids, lambda: process.poll() is not None) if alone else set()
            time.sleep(0.02)
        return set()

    def stop(self, number: int, frame: FrameType | None) -> None:
        """Pass a signal on. The ranks here get it themselves, since Open MPI's mpiexec would kill them; they tell the others."""
        pids = self.here()
        again, self.stopped = bool(self.stopped), number
        if self.process is None or self.process.poll() is not None:
            return
        if again or not pids:
            self.process.send_signal(signal.SIGTERM if again else number)
        for pid in () if again else pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def pause(self, number: int, frame: FrameType | None) -> None:
        """Ctrl-Z stops mpiexec, which has a process group of its own, and this program; `fg` lets both go on."""
        group = None if self.process is None or self.process.poll() is not None else self.process.pid
        with contextlib.suppress(ProcessLookupError):
            if group:
                os.killpg(group, signal.SIGTSTP)
            os.kill(os.getpid(), signal.SIGSTOP)
            if group:
                os.killpg(group, signal.SIGCONT)


@contextlib.contextmanager
def handling(launch: Launch) -> Iterator[None]:
    """A context in which signals go to the ranks. What is ignored, as by nohup, stays so."""
    wanted = dict.fromkeys(SIGNALS, launch.stop) | ({signal.SIGTSTP: launch.pause} if os.name == "posix" else {})
    before = {
        each: signal.signal(each, handler)
        for each, handler in wanted.items()
        if signal.getsignal(each) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def pass_on(source: IO[bytes], target: IO[str], filtered: banners.Filter) -> None:
    """Print what comes at once, without the banners of mpiexec."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    with source:
        while piece := os.read(source.fileno(), 1 << 16):
            show(target, filtered.feed(decoder.decode(piece)))
    show(target, filtered.feed(decoder.decode(b"", final=True)) + filtered.finish())
    show(target, "\n" if filtered.within else "")  # a progress bar that was cut off


def show(target: IO[str], text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # the reader left: the training goes on
        target.write(text)
        target.flush()


def find_mpiexec(command: str | None) -> list[str]:
    """The words of the command that starts ranks: the one given, or the mpiexec beside this Python, or that of the PATH."""
    advice = "pip install mpi4py mpich brings one, or load the MPI of your cluster"
    words = shlex.split(command or "mpiexec")
    beside = Path(sys.executable).parent / words[0]
    found = str(beside) if command is None and os.access(beside, os.X_OK) else shutil.which(words[0])
    if found is None:
        raise UserError(f"there is no {words[0]} here; {advice}")
    if importlib.util.find_spec("mpi4py") is None:
        raise UserError("mpi4py is missing, by which the processes find each other; pip install mpi4py mpich")
    return [found, *words[1:]]


def may_share_cores(mpiexec: list[str], ranks: int) -> list[str]:
    """The flags by which Open MPI starts more ranks than there are cores. Others need none; own flags are left alone."""
    if len(mpiexec) > 1 or ranks <= usable_cores():
        return []
    try:
        said = subprocess.run([*mpiexec, "--version"], capture_output=True, text=True, timeout=60).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    return ["--map-by", ":OVERSUBSCRIBE"] if "Open MPI" in said or "OpenRTE" in said else []


DEFAULTS = {"answer_within": job.ANSWER_WITHIN, "compare_every": job.COMPARE_EVERY}  # flags that say nothing


def resuming(options: job.Options, folder: Path) -> list[str]:
    """The flags with which the run in the folder goes on: what it keeps itself is left out."""
    flags = ["--resume", str(folder)]
    for each in dataclasses.fields(options):
        value = getattr(options, each.name)
        if value in (None, False, DEFAULTS.get(each.name)) or each.name in ("given", "out", "resume", "init", "recipe"):
            continue
        flags += [flag(each.name)] if value is True else [flag(each.name), str(value)]
    for name, value in options.given.items():
        if name in cli.RESUMABLE or (name == "data" and options.resume):
            no = flag(name).replace("--", "--no-", 1)
            flags += [flag(name) if value else no] if isinstance(value, bool) else [flag(name), str(value)]
    return flags


def step_of(folder: Path) -> int | None:
    """The step of the checkpoint in the folder; None if there is none, or it cannot be read."""
    try:
        return checkpoint.read(folder, names=()).step if checkpoint.is_there(folder) else None
    except UserError:
        return None


def were_lost(status: int, launch: Launch) -> bool:
    """Whether ranks were lost, or mpiexec was: not so after an error that each start would have again."""
    if status == 0 or launch.stopped or status in ASKED:
        return False
    if status in (1, 2):  # an error of a rank, which ended the others; or of mpiexec, which has lost a host; or of MPI
        return any(loss.is_host() or loss.inside for loss in launch.losses)
    return bool(launch.losses) or status == LOST or status < 0 or status > 128


def train(launch: Launch, options: job.Options, flags: list[str], restarts: int) -> int:
    """Start the ranks, and start them again when some are lost. Return the exit status."""
    step, stuck = step_of(launch.folder), 0
    for number in range(restarts + 1):
        status = launch.run(flags)
        for loss in launch.losses if not launch.stopped else ():
            cli.note("gpt.launch", str(loss))
        if not were_lost(status, launch):
            status = 128 - status if status < 0 else status
            return 128 + launch.stopped if launch.stopped and 0 < status < 128 else status
        reached = step_of(launch.folder)
        step, stuck = reached, stuck + 1 if reached == step else 0
        at = "before the first checkpoint" if reached is None else f"the checkpoint is of step {reached}"
        if stuck == STUCK:
            return give_up(launch, f"no new checkpoint in {STUCK} starts, {at}; find the cause first", reached, options)
        if number < restarts:
            how = "it begins anew in" if reached is None else "it goes on in"
            cli.note("gpt.launch", f"restart {number + 1} of {restarts}: {at}, {how} {launch.folder}")
            flags = flags if reached is None else resuming(options, launch.folder)
    return give_up(launch, f"no restart is left, {at}", reached, options)


def give_up(launch: Launch, why: str, step: int | None, options: job.Options) -> int:
    """Say why there is no further restart, and how to go on. Return the exit status."""
    by = ["--mpiexec", launch.given] if launch.given else []
    words = ["-m", "gpt.launch", "-n", str(launch.ranks), *by, "--", *resuming(options, launch.folder)]
    go_on = f"; go on with {cli.python()} {shlex.join(words)}"
    return cli.fail("gpt.launch", why + (go_on if step is not None else ""), LOST)


def make_parser() -> cli.Parser:
    parser = cli.Parser("gpt.launch", "Train on several processes (MPI ranks); start them again when one is lost.")
    parser.usage = "python -m gpt.launch -n N [--max-restarts N] [--mpiexec COMMAND] [--] [flags of gpt.train]"
    parser.epilog, parser.formatter_class = HELP, argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("-n", dest="ranks", type=cli.number(int, SIZE), required=True, metavar="N", help="how many processes")
    add("--max-restarts", type=cli.number(int, COUNT), default=RESTARTS, metavar="N",
        help=f"how often to start again after a loss (default: {RESTARTS})")  # fmt: skip
    add("--mpiexec", metavar="COMMAND", help="what starts the processes, with its flags; it gets -n N and the program "
        "(default: the mpiexec beside this Python, or that of the PATH)")  # fmt: skip
    return parser


@cli.command("gpt.launch")
def main(argv: list[str]) -> int:
    """Read the flags, make the run folder, and train. Return the exit status."""
    end = argv.index("--") if "--" in argv else len(argv)
    own, flags = make_parser().parse_known_args(argv[:end])
    flags += argv[end + 1 :]
    options = job.parse(flags)  # says what is wrong with them before anything starts
    mpiexec = find_mpiexec(own.mpiexec)
    mpiexec += may_share_cores(mpiexec, own.ranks)
    is_new = not options.resume and not (options.out and options.out.exists())
    folder = options.resume or new_folder(options.out)
    if not (options.resume or options.out):
        flags = [*flags, "--out", str(folder)]
    with tempfile.TemporaryDirectory(prefix="gpt-launch-") as beside:
        launch = Launch(mpiexec, own.ranks, folder, Path(beside) / "processes", given=own.mpiexec or "")
        with handling(launch):
            status = train(launch, options, flags, own.max_restarts)
    if is_new:
        with contextlib.suppress(OSError):  # it stays if there is anything in it
            folder.rmdir()
    return status


if __name__ == "__main__":
    sys.exit(main())
