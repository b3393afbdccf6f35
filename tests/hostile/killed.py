"""Kills runs, at every call to the system that writes and at random moments, and goes on with them.

    python tests/hostile/killed.py --count 100

After each kill the folder has a complete checkpoint, of the last step that was saved or a later one, or it is one of a
run that never saved, in whose place the same command begins again. In the end weights, AdamW's state, metrics and
film are those of a run that nobody killed, bit for bit. A kill is SIGKILL, so nothing is cleaned up.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import alone  # noqa: F401 first: no threads
from small_runs import FLAGS, GPT, MEMORY, TEXT, arrays_of, rows_of

from gpt.errors import UserError
from gpt.run import checkpoint
from gpt.run.film import FILM, INDEX
from gpt.run.state import Run
from gpt.train import main as train

STEPS = 6
DTYPES = ("float32", "float16")
CALLS = ("open", "write", "fsync", "rename", "replace", "mkdir", "unlink", "rmdir", "ftruncate")  # of os


def child(line: list[str], before: Callable[[], None]) -> int:
    """Train in a process of its own, which calls `before` first; return its id."""
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            before()
            status = train(line)
        finally:
            os._exit(status)
    return pid


def ended(pid: int) -> int:
    """Wait for the process; return its exit status, negative if a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dies_at(number: int, half: bool) -> Callable[[], None]:
    """Return what makes a process die before its n-th call of CALLS; with `half`, in the middle of its n-th write."""
    count = 0

    def patch() -> None:
        for name in CALLS:
            setattr(os, name, wrapped(name, getattr(os, name)))

    def wrapped(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += name == "write" or not half
            if count == number and (name == "write" or not half):
                if half:
                    original(args[0], bytes(args[1])[: len(args[1]) // 2])
                die()
            return original(*args, **kwargs)

        return call

    return patch


def noted(saved: Path) -> Callable[[], None]:
    """Return what makes a process write down each step that it has saved."""
    save = Run.save

    def patch() -> None:
        def save_and_note(self: Run, *args: Any, **kwargs: Any) -> None:
            save(self, *args, **kwargs)
            descriptor = os.open(saved, os.O_WRONLY | os.O_CREAT)
            os.pwrite(descriptor, f"{self.step:6}".encode(), 0)
            os.close(descriptor)

        Run.save = save_and_note  # type: ignore[method-assign]

    return patch


class Killed:
    """One run that is killed again and again, and the count of its kills."""

    def __init__(self, place: Path, flags: list[str]) -> None:
        self.run, self.saved, self.kills = place / "run", place / "saved", 0
        self.begin = [*FLAGS, *GPT, f"--steps={STEPS}", *flags, "--data", str(place / "text"), "--out", str(self.run)]
        (place / "text").write_text(TEXT)

    def line(self) -> list[str]:
        """The command that goes on; the one that begins, while there is no checkpoint."""
        there = self.run.exists() and checkpoint.is_there(self.run)
        return ["--resume", str(self.run), "--quiet", "--no-plot"] if there else self.begin

    def begins(self, *patches: Callable[[], None]) -> int:
        def before() -> None:
            for patch in (noted(self.saved), *patches):  # what notes is not counted
                patch()

        return child(self.line(), before)

    def check(self) -> None:
        """Nothing that was saved is lost."""
        saved = int(self.saved.read_text()) if self.saved.exists() else None
        try:
            found = checkpoint.read(self.run).step
        except UserError as error:
            if saved is not None or "is not a run folder" not in str(error):
                raise AssertionError(f"saved step {saved}, and now: {error}") from None
        else:
            assert saved is None or found >= saved, f"saved step {saved}, found {found}"

    def finish(self, whole: Path) -> None:
        status = ended(self.begins())
        assert status == 0, f"going on ended with {status}"
        assert arrays_of(self.run) == arrays_of(whole), "other arrays"
        assert rows_of(self.run) == rows_of(whole), "other rows"
        assert (self.run / FILM / INDEX).read_bytes() == (whole / FILM / INDEX).read_bytes(), "another film"
        left = {path.name for path in self.run.iterdir()} - {path.name for path in whole.iterdir()}
        assert not left, f"files are left: {left}"


def at_every_call(place: Path, whole: Path, flags: list[str], half: bool) -> int:
    """Kill a new run at its first call, at its second, ...; return how many calls there were."""
    for number in range(1, 10_000):
        shutil.rmtree(place)
        place.mkdir()
        killed = Killed(place, flags)
        if ended(killed.begins(dies_at(number, half))) == 0:
            return number - 1
        killed.check()
        killed.finish(whole)
    raise AssertionError("no end")


def at_random_moments(place: Path, whole: Path, flags: list[str], seconds: float, moments: random.Random) -> int:
    """Kill a run three times, each within the time that a whole run takes; return how many kills came before its end."""
    shutil.rmtree(place)
    place.mkdir()
    killed, kills = Killed(place, flags), 0
    for _ in range(3):
        pid = killed.begins()
        time.sleep(moments.uniform(0, seconds))
        os.kill(pid, signal.SIGKILL)
        kills += ended(pid) == -signal.SIGKILL
        killed.check()
    killed.finish(whole)
    return kills


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="kills at random moments (default: 100)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-calls", action="store_true", help="leave out the kills at every call")
    options = parser.parse_args()
    moments, random_kills, calls = random.Random(options.seed), 0, 0
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        place, whole = Path(name, "place"), Path(name, "whole")
        place.mkdir()
        for dtype in DTYPES:
            (whole / dtype).mkdir(parents=True)
            flags = [f"--dtype={dtype}", "--dropout=0.1", "--record"]
            reference, began = Killed(whole / dtype, flags), time.perf_counter()
            assert ended(reference.begins()) == 0
            seconds = time.perf_counter() - began
            if not options.no_calls and dtype == DTYPES[0]:
                calls = sum(at_every_call(place, reference.run, flags, half) for half in (False, True))
            while random_kills < options.count * (DTYPES.index(dtype) + 1) / len(DTYPES):
                random_kills += at_random_moments(place, reference.run, flags, seconds, moments)
    print(f"killed {calls} times at a call to the system, {random_kills} times at a random moment: nothing lost")
    return 0


if __name__ == "__main__":
    sys.exit(main())
