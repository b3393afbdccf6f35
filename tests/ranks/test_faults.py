"""Faults of ranks: who is lost is named, nothing hangs, and gpt.launch goes on. And what mpiexec prints is understood."""

from __future__ import annotations

import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import faults
import pytest
from faults import BANNERS, HOST, LOOP, Case
from mpi import BOTH, MPI, MPICH

from gpt import launch
from gpt.config import RECIPES
from gpt.errors import UserError
from gpt.job import parse
from gpt.launch import Launch, resuming, were_lost
from gpt.ranks.banners import Filter, Loss
from gpt.ranks.heartbeat import LOST
from gpt.ranks.processes import Process, first_to_end

posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
TABLE = [Process(0, "node7", 11), Process(1, "node7", 16476), Process(1 + 1, "node8", 11)]


def mpis() -> list[object]:
    """Both MPIs, each skipped where it is missing."""
    return [
        pytest.param(
            each,
            id=each.name,
            marks=[pytest.mark.mpi, pytest.mark.skipif(not each.is_there(), reason=f"there is no {each.name}")],
        )
        for each in BOTH
    ]


both = pytest.mark.parametrize("mpi", mpis())


def run(mpi: MPI, ranks: int, status: int, *flags: object) -> tuple[list[str], list[str]]:
    """The lines of stdout and stderr of the loop. The banners of mpiexec are left out of both."""
    process = mpi.start(ranks, LOOP, *flags)
    try:
        out, err = process.communicate(timeout=faults.SECONDS)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == status, (out, err)
    return lines_of(out), lines_of(err)


def lines_of(text: str) -> list[str]:
    kept = Filter()
    return (kept.feed(text) + kept.finish()).splitlines()


@both
def test_ranks_without_a_fault_say_nothing(mpi: MPI) -> None:
    out, err = run(mpi, 3, 0, "--steps", 20)
    assert (out, err) == (["step 0", "rank 0 of 3 is done"], [])


@both
@pytest.mark.parametrize(
    "fault, rank, status, message",
    [
        ("user", None, 2, "there is no file corpus.txt; give another --data"),
        ("disk", 1, 2, "RUN/metrics.jsonl: No space left on device"),
        ("signal", None, 130, "interrupted"),
        ("leaves", 1, 7, None),
    ],
)
def test_an_error_is_said_once_by_all_or_by_the_one_who_has_it(
    mpi: MPI, fault: str, rank: int | None, status: int, message: str | None
) -> None:
    who = "" if rank is None else f"rank {rank} on {HOST}: "
    _, err = run(mpi, 2, status, "--fault", fault, *(() if rank is None else ("--rank", rank)))
    assert err == ([] if message is None else [f"loop: {who}{message}"])


@both
def test_a_traceback_is_printed_once_under_the_rank_that_has_it(mpi: MPI) -> None:
    """All ranks have it under MPICH, one under Open MPI: what is said does not depend on the MPI."""
    rank = None if mpi is MPICH else 1
    who = "" if rank is None else f"rank {rank} on {HOST}: "
    _, err = run(mpi, 2, 1, "--fault", "exception", *(() if rank is None else ("--rank", rank)))
    assert err[:2] == [f"loop: {who}an error of the program", "Traceback (most recent call last):"]
    assert err[-1] == "ZeroDivisionError: a mistake in the program"
    assert sum(line.startswith("Traceback") for line in err) == 1


@both
def test_an_error_of_mpi_is_one_line(mpi: MPI) -> None:
    _, err = run(mpi, 2, LOST, "--fault", "mpi", "--rank", 1)
    (line,) = err
    assert line.startswith(
        f"loop: rank 1 on {HOST}: an exchange with the other ranks failed, one of them may be lost: "
    )


@both
def test_a_stopped_rank_is_named_and_all_end(mpi: MPI) -> None:
    rank = 0 if mpi is MPICH else 2
    _, err = run(mpi, 3, LOST, "--fault", "stop", "--rank", rank, "--silence", 2)
    (line,) = err
    named = (
        rf"loop: rank {rank} on {HOST} \(process \d+\) has not answered for 2 s; all ranks end; the run goes on with"
    )
    assert re.match(named, line)


@both
@pytest.mark.parametrize(
    "flags",
    [
        ("--fault", "pause", "--rank", 1, "--silence", 2),  # it computes alone, for longer than it may be silent
        ("--fault", "last", "--rank", 0, "--silence", 2),  # the others have left the heartbeat
        ("--fault", "holds", "--rank", 1),  # no thread of it runs
    ],
)
def test_a_slow_rank_is_not_lost(mpi: MPI, flags: tuple[object, ...]) -> None:
    out, err = run(mpi, 3, 0, "--steps", 20, "--pause", 3, *flags)
    assert (out[-1], err) == ("rank 0 of 3 is done", [])


@both
@pytest.mark.parametrize("fault", ["kill", "memory", "freeze"])
def test_a_fault_from_outside(mpi: MPI, fault: str, tmp_path: Path) -> None:
    """freeze: all ranks are stopped for longer than a rank may be silent, as by Ctrl-Z."""
    draw = random.Random(f"{mpi.name} {fault}")
    case = faults.drawn(draw, [mpi], [fault], most=3)
    if fault == "freeze":  # before the second beat of three ranks: none is on its way that would end the silence
        case = Case(mpi, 3, fault, 0, 0.1)
    outcome = faults.carry_out(case, tmp_path)
    assert not outcome.wrong(case), (case, outcome)


@both
def test_ranks_are_not_started_again_for_ever(mpi: MPI, tmp_path: Path) -> None:
    line = [mpi.folder / "python", LOOP, "--launch", "-n", 2, "--out", tmp_path / "run"]
    environment = mpi.environment(LOOP="--fault kill --rank 1")
    done = subprocess.run(list(map(str, line)), env=environment, capture_output=True, text=True, timeout=faults.SECONDS)
    assert done.returncode == LOST, done
    assert done.stderr.count(" on ") == done.stderr.count("rank 1 on ") == launch.STUCK
    assert done.stderr.count("restart") == launch.STUCK - 1
    assert "no new checkpoint in 2 starts, before the first checkpoint; find the cause first" in done.stderr


@both
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_ranks_and_nothing_starts_again(mpi: MPI, number: signal.Signals, tmp_path: Path) -> None:
    table = tmp_path / "table"
    line = [mpi.folder / "python", LOOP, "--launch", "-n", 2, "--out", tmp_path / "run"]
    process = subprocess.Popen(
        list(map(str, line)), env=mpi.environment(LOOP=f"--steps 100000 --table {table}"), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    faults.met(table, process)
    time.sleep(0.3)
    process.send_signal(number)
    _, err = process.communicate(timeout=faults.SECONDS)
    assert process.returncode == 128 + number, err
    assert err == ("loop: interrupted\n" if number == signal.SIGINT else "")
    assert not (tmp_path / "run").exists()  # it was made, and nothing is in it


# What mpiexec prints, recorded by faults.py --record.


@pytest.mark.parametrize(
    "name, losses",
    [
        ("mpich-kill", [Loss("node7", 16476, 1, 9, sure=False)]),
        ("mpich-segv", [Loss("node7", 16559, None, 11, sure=False)]),
        ("mpich-abort", []),
        ("mpich-exit", []),
        ("openmpi-kill", [Loss("node7", 16588, 1, 9)]),
        ("openmpi-segv", [Loss("node7", 16781, 1, 11)]),
        ("openmpi-abort", []),
        ("openmpi-exit", []),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 100000])
def test_a_banner_is_understood_and_left_out(name: str, losses: list[Loss], size: int) -> None:
    text = "step 1\n" + (BANNERS / f"{name}.txt").read_text() + "step 2\n"
    kept = Filter()
    shown = "".join(kept.feed(text[i : i + size]) for i in range(0, len(text), size)) + kept.finish()
    own = [line for line in shown.splitlines() if not line.startswith("[node7:")]  # Open MPI's stack of a crash stays
    assert [line.strip() for line in own] == ["step 1", "step 2"]
    assert [loss.named(TABLE) for loss in kept.losses] == losses


def test_what_open_mpi_says_of_its_own_connections_is_left_out() -> None:
    kept = Filter()
    assert not kept.feed("[node7:27133] PMIX ERROR: PMIX_ERR_UNREACH in file src/server/pmix_server.c at line 3146\n")
    assert kept.feed("[node7] is no such line\n") == "[node7] is no such line\n"


def test_an_error_within_mpi_is_a_loss_and_its_lines_stay() -> None:
    """MPICH without memory: neither a signal nor an error of the program has ended that rank."""
    kept, text = (
        Filter(),
        "Assertion failed in file src/ch4_init.c at line 390: ptr\nAbort(1) on node 1: Internal error\n",
    )
    assert kept.feed(text) + kept.finish() == text
    (loss,) = [each.named(TABLE) for each in kept.losses]
    assert str(loss).startswith("rank 1 on node7 (process 16476) was ended by MPI after an error of its own")
    assert launched(1, loss) and not launched(1)


FATAL = "Abort(945988239) on node 0 (rank 0 in comm 0): Fatal error in internal_Reduce_scatter_block_c: Other MPI error"


def test_an_exchange_that_fails_in_mpi_is_the_loss_of_another_rank() -> None:
    kept = Filter()
    assert kept.feed(f"{FATAL}\n") + kept.finish() == f"{FATAL}\n"
    (loss,) = kept.losses
    assert str(loss.named(TABLE, {16476})).startswith("rank 1 on node7 (process 16476) ended without a word")
    assert str(loss.named(TABLE)) == "an exchange of rank 0 failed: another rank is lost, or the network is"


@posix
@pytest.mark.parametrize(
    "said, code, status, lost",
    [
        (FATAL, 143, LOST, True),  # 945988239 modulo 256 is 143, the status after SIGTERM
        (FATAL, 0, LOST, True),
        (f"{FATAL}\nAbort(2) on node 1 (rank 1 in comm 0): application called MPI_Abort(MPI_COMM_WORLD, 2)", 143, 2, False),
        (f"Abort(75) on node 1 (rank 1 in comm 0): application called MPI_Abort(MPI_COMM_WORLD, 75)\n{FATAL}", 15, LOST, True),
        ("saved", 143, 143, False),
    ],
)  # fmt: skip
def test_the_code_of_a_failed_exchange_is_no_exit_status(
    said: str, code: int, status: int, lost: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    starter = tmp_path / "mpiexec"
    starter.write_text(f'#!/bin/sh\nprintf "%s\\n" "{said}" >&2\nexit {code}\n')
    starter.chmod(0o755)
    started = Launch([str(starter)], 2, tmp_path, tmp_path / "table")
    assert started.run([]) == status
    assert were_lost(status, started) is lost
    assert (FATAL in capfd.readouterr().err) == (FATAL in said)
    assert len(started.losses) == (FATAL in said)


def test_a_banner_of_an_older_mpich_has_the_rank_and_the_signal() -> None:
    kept = Filter()
    text = (BANNERS / "mpich-kill.txt").read_text().replace("PID 16476", "RANK 2 PID 16476")
    kept.feed(text.replace("EXIT CODE: 9", "KILLED BY SIGNAL: 9 (Killed)"))
    assert kept.losses == [Loss("node7", 16476, 2, 9, sure=False)]


def test_a_host_that_is_lost() -> None:
    dashes = "-" * 74
    kept = Filter()
    assert not kept.feed(
        f"{dashes}\nPRTE has lost communication with a remote daemon.\n\n  HNP daemon   : [prterun-a-1@0,0] on node a\n"
        f"  Remote daemon: [prterun-a-1@0,1] on node b\n{dashes}\n"
    )
    assert kept.losses == [Loss("b")] and "mpiexec has lost b" in str(kept.losses[0])


@pytest.mark.parametrize(
    "text", ["a\n\nb\n", "= 3\n", "-5\n", "--\n", "Abort\n", "\n\n\n", "a", "-", "\n", "ab\rcd", "-" * 70 + "\nx\n"]
)
def test_what_is_no_banner_comes_back(text: str) -> None:
    for size in (1, 2, 100):
        kept = Filter()
        assert "".join(kept.feed(text[i : i + size]) for i in range(0, len(text), size)) + kept.finish() == text


def test_a_line_without_its_end_comes_back_at_once() -> None:
    kept = Filter()
    assert [kept.feed(part) for part in ("\r 10%", "\r 20%", "=\n", "x")] == ["\r 10%", "\r 20%", "=\n", "x"]


def test_the_process_that_ended_first_is_named() -> None:
    """Hydra may name one that it has killed itself."""
    found = Loss("node7", 16476, None, 9, sure=False)
    assert "rank 1 on node7" in str(found.named(TABLE)) and "one that ended just before" in str(found.named(TABLE))
    assert str(found.named(TABLE, {11})).startswith("rank 0 on node7 (process 11) ended without a word, perhaps killed")
    assert str(found.named(TABLE, {16476})).endswith(
        "(process 16476) was killed by signal 9 (SIGKILL), perhaps since the memory was full"
    )
    assert "one that ended just before" in str(found.named(TABLE, {11, 16476}))


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="Linux tells which process ended first")
def test_first_to_end() -> None:
    with subprocess.Popen(["sleep", "60"]) as long, subprocess.Popen(["sleep", "0.1"]) as short:
        assert first_to_end([long.pid, short.pid], lambda: False) == {short.pid}
        assert first_to_end([long.pid], lambda: True) == set()
        long.kill()


# gpt.launch without mpiexec.


def launched(status: int, *losses: Loss, stopped: int = 0) -> bool:
    return were_lost(status, Launch([], 2, Path(), Path(), stopped, losses=list(losses)))


def test_what_counts_as_a_loss() -> None:
    killed, host = Loss("a", 1, 1, 9), Loss("a")
    assert (
        launched(LOST)
        and launched(-9)
        and launched(137)
        and launched(9, killed)
        and launched(1, host)
        and launched(255)
    )
    assert not any(launched(status) for status in (0, 1, 2, 7, 130, 141, 143))
    assert not launched(2, killed) and not launched(137, killed, stopped=signal.SIGINT)


def test_a_restart_leaves_out_what_the_run_keeps() -> None:
    flags = [
        "--data",
        "text",
        "--out",
        "RUN",
        "--recipe",
        next(iter(RECIPES)),
        "--width",
        "64",
        "--steps",
        "9",
        "--quiet",
    ]
    assert resuming(parse(flags), Path("RUN")) == ["--resume", "RUN", "--quiet", "--steps", "9"]
    again = ["--resume", "RUN", "--data", "text", "--no-tf32", "--record-text", "to be"]
    assert sorted(resuming(parse(again), Path("RUN"))) == sorted(again)


def test_the_command_that_goes_on_has_the_flags_of_both_programs(capfd: pytest.CaptureFixture[str]) -> None:
    own, flags = "mpiexec --map-by :OVERSUBSCRIBE", ["--data", "text", "--shard-optimizer", "--compare-every", "7"]
    assert launch.give_up(Launch([], 4, Path("a b"), Path(), given=own), "why", 9, parse(flags)) == LOST
    _, _, line = capfd.readouterr().err.partition(" -m gpt.launch ")
    words = shlex.split(line)
    taken = launch.make_parser().parse_args(words[: words.index("--")])
    assert (taken.ranks, taken.mpiexec) == (4, own)
    again = parse(words[words.index("--") + 1 :])
    assert (again.resume, again.shard_optimizer, again.compare_every) == (Path("a b"), True, 7)


@posix
def test_flags_of_both_programs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(launch, "PROGRAM", ("-c", "import sys; print(sys.argv[1:])"))
    monkeypatch.setattr(launch.importlib.util, "find_spec", lambda _: object())  # as if mpi4py was installed
    starter = tmp_path / "starter"
    starter.write_text('#!/bin/sh\necho "$1 $2"\nshift 2\nexec "$@"\n')
    starter.chmod(0o755)
    out = str(tmp_path / "run")
    for between in ([], ["--"]):
        line = ["-n", "2", "--mpiexec", str(starter), *between, "--steps", "5", "--out", out]
        assert launch.main(line) == 0
        assert capfd.readouterr() == (f"-n 2\n{['--steps', '5', '--out', out]}\n", "")
    assert launch.main(["-n", "2", "--mpiexec", "/nowhere/mpiexec"]) == 2
    assert capfd.readouterr().err.startswith("gpt.launch: there is no /nowhere/mpiexec here; pip install")
    assert launch.main(["-n", "0"]) == 2
    assert "'0' is not a whole number from 1 to" in capfd.readouterr().err


def test_a_wrong_flag_of_the_training_starts_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError):
        parse(["--stepz", "5"])
    assert launch.main(["-n", "2", "--stepz", "5"]) == 2
    assert "did you mean --steps?" in capfd.readouterr().err


# Without mpiexec, and without MPI.

COMMAND = (
    "import sys; from gpt.cli import command; status = command('loop', ranks=True)(lambda argv: print('ran') or 0)([])"
)


def test_a_program_for_ranks_imports_nothing_of_them_without_mpiexec() -> None:
    code = f"{COMMAND}; print(*sys.modules)"
    alone = {name: value for name, value in os.environ.items() if not name.startswith(("OMPI_", "PMI", "MV2_"))}
    done = subprocess.run([sys.executable, "-c", code], env=alone, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ran\n")
    assert not [name for name in done.stdout.split() if name.startswith(("mpi4py", "gpt.ranks"))]


@pytest.mark.parametrize("rank", ["0", "1"])
def test_without_mpi4py_one_process_says_so(rank: str) -> None:
    code = f"import sys; sys.modules['mpi4py'] = None; {COMMAND}; sys.exit(status)"
    environment = {**os.environ, "PMI_SIZE": "2", "PMI_RANK": rank}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == (rank == "0")
    assert ("mpiexec has started 2 processes" in done.stderr) == (rank == "0")
