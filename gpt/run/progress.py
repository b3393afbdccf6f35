"""What a run prints while it trains: a bar on a terminal, lines in a pipe, nothing if quiet."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from gpt import cli
from gpt.config import TrainConfig
from gpt.run.metrics import Row

SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Shows the last row and the time left. Prints `beside`, the baselines of the text, beside every loss.

    Without `may_move` there are lines on a terminal as well: mpiexec passes lines on, and may show them a terminal of its own.
    """

    def __init__(self, config: TrainConfig, step: int, beside: object, quiet: bool, may_move: bool = True) -> None:
        self._steps, self._first, self._quiet = config.steps, step, quiet
        self._beside = beside
        self._val = ""
        self._began = self._last_line = time.perf_counter()
        on_terminal = may_move and not quiet and sys.stdout is not None and sys.stdout.isatty()
        self._bar: Any = (
            cli.attempt("gpt.train", "progress bar", lambda: bar(config.steps, step)) if on_terminal else None
        )

    def update(self, row: Row) -> None:
        """Show the row. In a pipe it prints a line only for the first step, after an evaluation, or after some seconds."""
        val, bits = row["val_loss"], row.get("val_bits_per_byte")
        if val is not None:  # a bar has no room for the second number
            more = "" if bits is None or self._bar is not None else f" ({cli.shown(bits)} bits/byte)"
            self._val = f" val {cli.shown(val)}{more}"
        if self._bar is not None:
            if not cli.attempt("gpt.train", "progress bar", lambda: self._show(row)):
                self._bar = None  # lines from now on
        elif not self._quiet:
            self._line(row)
            self._val = ""  # a line shows only what its own step measured

    def _show(self, row: Row) -> bool:
        """Move the bar. Returns True: `cli.attempt` returns None where that failed."""
        self._bar.set_postfix_str(self._text(row), refresh=False)
        try:
            self._bar.update()
        except OSError:  # the terminal was closed
            cli.silence()
        return True

    def _text(self, row: Row) -> str:
        speed = row["tokens_per_second"] / 1000
        scale = f", loss scale {row['loss_scale']:g}" if "loss_scale" in row else ""
        digits = 0 if speed >= 10 else 1
        losses = f"loss {cli.shown(row['train_loss'])}{self._val}"
        return f"{losses}, {speed:.{digits}f}k tokens/s{scale}{gpu_memory(row)}, {self._beside}"

    def _line(self, row: Row) -> None:
        now = time.perf_counter()
        first = row["step"] == self._first + 1
        if first or row["val_loss"] is not None or now - self._last_line > SECONDS_BETWEEN_LINES:
            self._last_line = now
            per_step = (now - self._began) / (row["step"] - self._first)
            left = round(per_step * (self._steps - row["step"]))
            at = f"{row['step']:{len(str(self._steps))}}/{self._steps}"
            cli.say(f"step {at} {left // 60}:{left % 60:02} left, {self._text(row)}")

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            cli.attempt("gpt.train", "progress bar", self._bar.close)


def bar(steps: int, done: int) -> Any:
    """Make a progress bar. tqdm takes settings from the environment as well, so this may fail."""
    from tqdm import tqdm

    shape = "{n_fmt}/{total_fmt} {bar:6} {remaining} left{postfix}"
    return tqdm(None, None, steps, file=sys.stdout, dynamic_ncols=True, initial=done, bar_format=shape)


def gpu_memory(row: Row) -> str:
    """Say how much memory tensors use on the GPU; "" for a row without one."""
    if "gpu_memory" not in row:
        return ""
    used, peak = (row[key] / 2**20 for key in ("gpu_memory", "gpu_memory_peak"))
    return f", GPU memory {used:,.0f} MiB (peak {peak:,.0f})"


@contextlib.contextmanager
def evaluation(predictions: int, show: bool) -> Iterator[Callable[[int], None]]:
    """A function that counts predictions, for a bar on stderr if that is a terminal and it takes more than two seconds."""

    def make() -> Any:
        from tqdm import tqdm

        shape = "validation {percentage:3.0f} % {bar:20} {remaining} left"
        return tqdm(None, None, predictions, leave=False, delay=2, dynamic_ncols=True, bar_format=shape)

    on_terminal = show and sys.stderr is not None and sys.stderr.isatty()
    shown: Any = cli.attempt("gpt", "progress bar", make) if on_terminal else None

    def count(more: int) -> None:
        with contextlib.suppress(Exception):  # the terminal was closed, say: an evaluation needs no bar
            shown.update(more)

    try:
        yield (lambda _: None) if shown is None else count
    finally:
        if shown is not None:
            cli.attempt("gpt", "progress bar", shown.close)
