"""The memory that the tape holds: the arrays that forwards saved for their backwards.

Arrays that share memory count once, with all of the memory that they keep alive. Parameters and buffers of modules do
not count: they exist anyway.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from tinytensor.profiler.tables import columns, share
from tinytensor.profiler.track import Saved, Scope
from tinytensor.tensor import Tensor
from tinytensor.writes import arrays_in, owner


@dataclass
class Held:
    """Arrays of one kind that the tape held: who saved them, how many, and the bytes that no row above counts."""

    primitive: str
    module: str
    shape: str
    dtype: str
    count: int = 0
    nbytes: int = 0


class MemoryList(list[Held]):
    """Rows that print as a table, the largest first."""

    @property
    def nbytes(self) -> int:
        """The bytes of all rows: the peak."""
        return sum(row.nbytes for row in self)

    def table(self, row_limit: int = 100) -> str:
        """The rows as text, in KiB; those beyond row_limit are one row."""
        shown, rest = self[:row_limit], self[row_limit:]
        if rest:
            more = f"… {len(rest)} more"
            shown.append(Held(more, "", "", "", sum(row.count for row in rest), sum(row.nbytes for row in rest)))
        shown.append(Held("total", "", "", "", sum(row.count for row in self), self.nbytes))
        head = ("saved by", "in", "shape", "dtype", "arrays", "KiB", "share")
        cells = [
            (row.primitive, row.module, row.shape, row.dtype, f"{row.count}", f"{row.nbytes / 1024:,.1f}",
             share(row.nbytes, self.nbytes))
            for row in shown
        ]  # fmt: skip
        return columns(head, cells, left=4)


class Piece(NamedTuple):
    """One saved array, and the id and size of the memory in which it lies."""

    primitive: str
    scope: Scope
    shape: tuple[int, ...]
    dtype: Any
    memory: int
    nbytes: int


class Ledger:
    """The arrays that are saved now, and those that were saved at the peak."""

    def __init__(self) -> None:
        self._ignored: set[int] = set()  # ids of memory that is not counted
        self._live: dict[int, list[Piece]] = {}  # id of a Saved → what it holds
        self._users: dict[int, int] = {}  # id of memory → how many pieces lie in it
        self._bytes = self._most = 0
        self._at_most: list[Piece] = []
        self._lock = threading.RLock()  # a Saved may be dropped at any moment, by any thread

    def ignore(self, tensors: Iterable[Tensor]) -> None:
        """Do not count the memory of these Tensors."""
        self._ignored.update(id(owner(t.array)) for t in tensors)

    def add(self, saved: Saved) -> None:
        """Count what a call saved."""
        pieces = []
        for x in arrays_in(tuple.__iter__(saved)):
            if id(memory := owner(x)) not in self._ignored:
                pieces.append(Piece(saved.primitive, saved.scope, x.shape, x.dtype, id(memory), memory.nbytes))
        if not pieces:
            return
        with self._lock:
            self._live[id(saved)] = pieces
            for piece in pieces:
                users = self._users.get(piece.memory, 0)
                self._users[piece.memory] = users + 1
                self._bytes += 0 if users else piece.nbytes

    def remove(self, saved: Saved) -> None:
        """Stop counting what the tape dropped."""
        with self._lock:
            if id(saved) not in self._live:
                return
            self._keep_peak()
            for piece in self._live.pop(id(saved)):
                self._users[piece.memory] -= 1
                if not self._users[piece.memory]:
                    del self._users[piece.memory]
                    self._bytes -= piece.nbytes

    def _keep_peak(self) -> None:
        """Keep the list if this is the peak so far. It only grows between two removals: so look before each."""
        if self._bytes > self._most:
            self._most = self._bytes
            self._at_most = [piece for pieces in self._live.values() for piece in pieces]

    def peak(self) -> MemoryList:
        """The arrays that were saved at the peak, a row for each kind."""
        with self._lock:
            self._keep_peak()
        counted: set[int] = set()
        rows: dict[tuple[object, ...], Held] = {}
        for piece in self._at_most:
            row = rows.get(piece[:4])
            if row is None:
                shape, dtype = str(tuple(piece.shape)), str(piece.dtype)
                row = rows[piece[:4]] = Held(piece.primitive, str(piece.scope), shape, dtype)
            row.count += 1
            row.nbytes += 0 if piece.memory in counted else piece.nbytes
            counted.add(piece.memory)
        return MemoryList(sorted(rows.values(), key=lambda row: -row.nbytes))
