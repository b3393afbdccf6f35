"""How far a corpus is: a bar on a terminal, a line now and then in a pipe."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gpt import cli
from gpt.run.files import MIB

SECONDS_BETWEEN_LINES = 5.0
KNOWN = "{desc} {percentage:3.0f} % {bar:20} {n_fmt}/{total_fmt}B, {rate_fmt}, {remaining} left"
UNKNOWN = "{desc} {n_fmt}B, {rate_fmt}"
Advance = Callable[[int], object]


class Shown:
    """Shows nothing; the base of what shows something."""

    def stage(self, name: str, total: int | None, done: int = 0) -> Advance:
        """Begin a stage of `total` bytes, 0 if nobody knows how many, None if none is counted. Return what counts them."""
        return id

    def note(self, text: str) -> None:
        """Show a line."""

    def close(self) -> None:
        """End the last stage."""


@dataclass
class Bar(Shown):
    """A bar on stderr if that is a terminal, else a line now and then by `say`; nothing if quiet."""

    quiet: bool
    program: str
    say: Callable[[str], object] = cli.say
    _bar: Any = None

    def stage(self, name: str, total: int | None, done: int = 0) -> Advance:
        self.close()
        if self.quiet:
            return id
        if sys.stderr is not None and sys.stderr.isatty():
            self._bar = cli.attempt(self.program, "progress bar", lambda: make_bar(name, total, done))
            return self._count
        return Lines(name, total, done, self.say).count

    def _count(self, more: int) -> None:
        with contextlib.suppress(Exception):  # the terminal was closed, say: the work needs no bar
            self._bar.update(more)

    def note(self, text: str) -> None:
        if not self.quiet:
            cli.note(self.program, text)

    def close(self) -> None:
        if self._bar is not None:
            cli.attempt(self.program, "progress bar", self._bar.close)
            self._bar = None


def on_stderr(program: str) -> Bar:
    """Return the progress of a program whose output others read."""
    return Bar(False, program, lambda line: cli.note(program, line))


def make_bar(name: str, total: int | None, done: int) -> Any:
    from tqdm import tqdm

    shape = KNOWN if total else "{desc}" if total is None else UNKNOWN
    return tqdm(
        None, name, total or None, leave=False, initial=done, unit="B", unit_scale=True, unit_divisor=1024,
        dynamic_ncols=True, bar_format=shape,
    )  # fmt: skip


class Lines:
    """A line each SECONDS_BETWEEN_LINES."""

    def __init__(self, name: str, total: int | None, done: int, say: Callable[[str], object] = cli.say) -> None:
        self._name, self._total, self._done, self._first, self._say = name, total, done, done, say
        self._began = self._last = time.monotonic()
        if not total:
            say(name)

    def count(self, more: int) -> None:
        self._done += more
        now = time.monotonic()
        if now - self._last > SECONDS_BETWEEN_LINES:
            self._last = now
            speed = (self._done - self._first) / (now - self._began)
            of = f" of {self._total / MIB:,.0f}" if self._total else ""
            self._say(f"{self._name} {self._done / MIB:,.0f}{of} MiB, {speed / MIB:,.1f} MiB/s")
