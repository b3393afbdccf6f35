"""Ctrl-C, SIGTERM and a closed terminal (SIGHUP) as a request to stop after the current step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Interrupt:
    """A context in which the first signal of SIGNALS only sets `received`. A second one acts as usual."""

    def __init__(self) -> None:
        self.received: int | None = None  # by this process
        # Ranks (gpt/ranks) stop after the same step, whichever of them received the signal: they agree in each exchange.
        self.agreed: Callable[[], int | None] | None = None
        self._before: dict[signal.Signals, Any] = {}

    @property
    def signal(self) -> int | None:
        """The number of the signal that asks to stop now, None if there is none."""
        return self.received if self.agreed is None else self.agreed()

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():  # Python's rule for handlers
            for number in SIGNALS:
                nohup = number not in (signal.SIGINT, signal.SIGTERM) and signal.getsignal(number) is signal.SIG_IGN
                if not nohup:  # nohup asks to outlive the terminal
                    self._before[number] = signal.signal(number, self._request)
        return self

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self._restore()

    def _restore(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def __exit__(self, *_: object) -> None:
        self._restore()
