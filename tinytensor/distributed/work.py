"""Work: an exchange that goes on while the program does something else, as the functions return it for async_op=True."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_going_on: set[Work] = set()  # their arrays must stay, also where nobody keeps the Work


class Work:
    """An exchange that has begun. Before `wait()` its Tensors must be neither read nor written."""

    def __init__(self, request: Any, finish: Callable[[], Any], status: Any = None) -> None:
        """request: MPI's, None for an exchange that is over; finish writes what has arrived into the Tensors.

        status: MPI's Status, which learns who has sent; needed to receive alone.
        """
        self._request, self._finish, self._status = request, finish, status
        self._done = False
        _going_on.add(self)

    def wait(self, timeout: Any = None) -> bool:
        """Wait until the Tensors have their values; True. NotImplementedError for a timeout: MPI has none."""
        if timeout is not None:
            raise NotImplementedError("Work.wait: a timeout is outside tinytensor's subset: MPI has none")
        if not self._done:
            if self._request is not None:
                self._request.Wait(self._status)
            self._end()
        return True

    def is_completed(self) -> bool:
        """Whether the exchange is over. If it is, the Tensors have their values."""
        if not self._done and (self._request is None or self._request.Test(self._status)):
            self._end()
        return self._done

    def is_success(self) -> bool:
        """Whether the exchange is over: one that fails raises an error in `wait`."""
        return self.is_completed()

    def source_rank(self) -> int:
        """The rank that has sent what was received; RuntimeError for another exchange."""
        if self._status is None or not self._done:
            raise RuntimeError("source_rank() may only be called on work objects of a recv that is over")
        return int(self._status.Get_source())

    def _end(self) -> None:
        self._done = True
        _going_on.discard(self)
        self._finish()


def wait_for_all() -> None:
    """Wait for every exchange that has begun."""
    for work in tuple(_going_on):
        work.wait()


def returned(work: Work, async_op: bool) -> Work | None:
    """What a function returns: the Work for async_op=True, else None once it is done."""
    if async_op:
        return work
    work.wait()
    return None
