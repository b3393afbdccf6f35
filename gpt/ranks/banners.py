"""What mpiexec prints when a rank dies: a banner of ten lines that says which process, kept from the output of the ranks.

Sources: the output of MPICH 5.0.2 and Open MPI 5.0.11, recorded in tests/ranks/banners; the lines with RANK and KILLED BY
SIGNAL are those of MPICH before 4.3 and of Intel MPI.
"""

from __future__ import annotations

import dataclasses
import re
import signal
from collections.abc import Collection
from dataclasses import dataclass

from gpt.ranks.processes import Process

# Lines, most of MPICH, whose process manager, Hydra, prints its banner on stdout; the last is of Open MPI.
NOISE = re.compile(
    r"={60,}$|=   |YOUR APPLICATION TERMINATED WITH THE EXIT STRING: |This typically refers to a problem with your appl"
    r"|Please see the FAQ page for debugging suggestions$|Abort\(-?\d+\) on node \d+ \(rank \d+ in comm \d+\): applicatio"
    r"|\[mpiexec@\S+\] (Sending Ctrl-C to proc|Press Ctrl-C again)"
    r"|\[\S+:\d+\] PMIX ERROR: PMIX_ERR_(UNREACH|LOST_CONNECTION)"
)
DIED = re.compile(r"=   (?:RANK (?P<rank>\d+) )?PID (?P<pid>\d+) RUNNING AT (?P<host>\S+)")
BY = re.compile(r"(?:=   KILLED BY SIGNAL: |YOUR APPLICATION .*\(signal )(\d+)")
INSIDE = re.compile(r"Abort\(-?\d+\) on node (\d+): Internal error")  # MPICH's own, as where it gets no memory
EXCHANGE = re.compile(
    r"Abort\(-?\d+\) on node (\d+) .*: Fatal error in "
)  # MPICH's: another rank was gone within a call
BY_RANK = re.compile(r"Abort\((\d+)\) on node \d+ .*: application called")  # a rank has ended all, with this status
UNREACHED = re.compile(r"\[mpiexec@\S+\] .*(?:assert \(!closed\)|lost connection|proxy .*(?:failed|exited))")
# Open MPI: blocks between lines of dashes, on stderr.
DASHES = re.compile(r"-{60,}$")
BLOCKS = re.compile(
    r"noticed that process rank|MPI_ABORT was invoked|calling \"abort\"|processes exited with non-zero status"
    r"|lost communication with a remote daemon"
)
EXITED = re.compile(r"process rank (?P<rank>\d+) with PID (?P<pid>\d+) on node (?P<host>\S+) exited on signal (\d+)")
DAEMON = re.compile(r"Remote daemon: *\S+ on node (\S+)")
BEGINNINGS = ("=", "-", "Abort(", "YOUR APPLICATION", "This typically", "Please see the FAQ", "[")


@dataclass
class Loss:
    """A process that a signal ended; or a host that mpiexec cannot reach, without a process."""

    host: str = ""
    pid: int | None = None
    rank: int | None = None
    signal: int | None = None
    sure: bool = True  # that it was the first. Hydra ends the others by SIGKILL, and may name one of those
    inside: bool = False  # MPI itself has ended it
    exchange: bool = False  # MPI has ended `rank` since an exchange failed: another one is lost

    def named(self, table: Collection[Process], first: Collection[int] = ()) -> Loss:
        """The same with the rank, if the table has the process. `first` are the processes of that host that ended
        first, if it has all ranks and they are known."""
        if self.inside:
            found = next((each for each in table if each.rank == self.rank), None)
            return dataclasses.replace(self, host=found.host, pid=found.pid) if found else self
        if self.exchange and len(first) == 1:
            found = next((each for each in table if each.pid in first), None)
            return Loss(found.host, found.pid, found.rank) if found else self
        if self.pid is None or self.sure:
            return self
        pid = next(iter(first)) if len(first) == 1 else self.pid
        ranks = [each for each in table if each.pid == pid and each.host == self.host]
        rank = ranks[0].rank if len(ranks) == 1 else self.rank
        number = self.signal if pid == self.pid else None  # the banner has that of another
        return dataclasses.replace(self, pid=pid, rank=rank, signal=number, sure=len(first) == 1)

    def is_host(self) -> bool:
        """Whether it is that of a host."""
        return self.pid is None and not self.inside and not self.exchange

    def __str__(self) -> str:
        if self.inside:
            where = f" on {self.host} (process {self.pid})" if self.host else ""
            return (
                f"rank {self.rank}{where} was ended by MPI after an error of its own, perhaps since the memory was full"
            )
        if self.exchange:
            return f"an exchange of rank {self.rank} failed: another rank is lost, or the network is"
        if self.is_host():
            return f"mpiexec has lost {self.host or 'a host'}: it is down, or its network is"
        who = "a rank" if self.rank is None else f"rank {self.rank}"
        how, why = "ended without a word", ", perhaps killed since the memory was full"
        if self.signal is not None:
            how = f"was killed by signal {self.signal} ({name_of(self.signal)})"
            why = ", perhaps since the memory was full" if self.signal == getattr(signal, "SIGKILL", 9) else ""
        unsure = "" if self.sure else "; it, or one that ended just before it"
        return f"{who} on {self.host} (process {self.pid}) {how}{why}{unsure}"


def name_of(number: int) -> str:
    """The name of a signal, SIGKILL for 9."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return "a signal that this system does not have"


class Filter:
    """Takes the output of mpiexec piece by piece, and gives it back without its banners. `losses` is what they say.

    `aborted` is the exit status with which a rank has ended all of them, by MPI_Abort.
    `within` says whether the output is within a line, as a progress bar leaves it.
    What is no banner comes back at once, also a line that has no end yet, as that of a progress bar. The beginning of a
    line that may become one is kept, and an empty line before it.
    """

    def __init__(self) -> None:
        self.losses: list[Loss] = []
        self.aborted: int | None = None
        self._line = ""  # of a line without its end, what is kept
        self.within = False  # the beginning of this line has been given back already
        self._empty = ""  # an empty line that may belong to a banner
        self._block: list[str] | None = None  # the lines since a line of dashes

    def feed(self, text: str) -> str:
        """What to print, now that this came."""
        *lines, rest = (self._line + text.replace("\0", "")).split("\n")  # Open MPI ends a block with a zero
        self._line, shown = "", []
        for line in lines:
            shown.append(line + "\n" if self.within else self._complete(line))
            self.within = False
        if self.within or (rest and self._block is None and not self._may_begin(rest)):
            shown.append(self._empty + rest)
            self._empty, self.within = "", True
        else:
            self._line = rest
        return "".join(shown)

    def finish(self) -> str:
        """What is left at the end of the output."""
        block = "".join(f"{line}\n" for line in self._block or ())
        return self._empty + block + self._line

    def _may_begin(self, text: str) -> bool:
        return any(each.startswith(text) or text.startswith(each) for each in BEGINNINGS)

    def _complete(self, line: str) -> str:
        """What to print of a whole line."""
        if self._block is not None:
            self._block.append(line)
            return self._end_of_block() if DASHES.match(line) else ""
        if DASHES.match(line):
            self._block = [line]
            return ""
        if NOISE.match(line):
            self._empty = ""
            self._learn(line)
            return ""
        before, self._empty = self._empty, ""
        if not line:
            self._empty = "\n"
            return before
        if inside := INSIDE.match(line):
            self.losses.append(Loss(rank=int(inside[1]), inside=True))
        if exchange := EXCHANGE.match(line):
            self.losses.append(Loss(rank=int(exchange[1]), exchange=True))
        if UNREACHED.match(line):
            self.losses.append(Loss())
        return before + line + "\n"

    def _learn(self, line: str) -> None:
        """Take what such a line says."""
        if status := BY_RANK.match(line):
            self.aborted = int(status[1])
        if died := DIED.match(line):
            rank = died["rank"]
            self.losses.append(Loss(died["host"], int(died["pid"]), None if rank is None else int(rank), sure=False))
        elif (by := BY.match(line)) and self.losses:
            self.losses[-1].signal = int(by[1])

    def _end_of_block(self) -> str:
        """What to print of a block: nothing, if it is one of those that are known."""
        lines, self._block = self._block or [], None
        text = " ".join(" ".join(lines).split())
        for found in EXITED.finditer(text):
            self.losses.append(Loss(found["host"], int(found["pid"]), int(found["rank"]), int(found[4])))
        for host in DAEMON.findall(text):
            self.losses.append(Loss(host))
        if not BLOCKS.search(text):
            return "".join(f"{line}\n" for line in lines)
        self._empty = ""
        return ""
