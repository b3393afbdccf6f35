"""gpt.train --profile: where the time of a step went, by primitive and by module, and what memory the tape held.

All times are those of steps, without evaluations, checkpoints and the plot. The times of all threads are added up, so
their sum is the time of a step times the number of threads.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from gpt import cli, data
from gpt.fast import threads
from gpt.fast.shards import Shards
from gpt.run import files
from gpt.run.film import Film
from gpt.run.state import Run
from tinytensor import nn
from tinytensor.profiler import profile

# What a step calls besides the model, and the name under which the tables show it; None: it is no part of a step.
PARTS: tuple[tuple[Any, str, str | None], ...] = (
    (data, "batch", "data"),
    (Shards, "gradient", "sharing out, waiting"),
    (nn.utils, "clip_grad_norm_", "clipping"),
    (threads, "ordered_map", None),
    (Run, "save", None),
    (Film, "add", None),
)
ROWS = 30  # that are shown of the table of saved arrays; profile.json has all


@contextmanager
def profiled(run: Run, folder: Path, quiet: bool) -> Iterator[None]:
    """Profile the steps in this context. Then write profile.txt and profile.json, and print the first unless quiet.

    Of several ranks the first one is profiled. All of them wait for each other before they exchange anything, so that
    waiting and exchanging have rows of their own.
    """
    first = run.step
    with waiting_apart(run), profile(profile_memory=True) if not run.ranks.rank else nullcontext() as prof:
        if prof is None:
            yield
            return
        if run.ranks.size > 1:
            from gpt.ranks.exchange import Exchange

            prof.watch(Exchange, "wait", "waiting for ranks")
            prof.watch(Exchange, "reduce", "adding up over ranks")
            prof.watch(Exchange, "clip", "clipping")
        prof.watch(type(run.optimizer), "step", "optimizer")
        for owner, name, label in PARTS:
            prof.watch(owner, name, label)
        split = Shards.map  # work in other threads counts for the one that handed it out
        prof.replace(Shards, "map", lambda shards, function, items: split(shards, prof.carry(function), items))
        yield
    steps = run.step - first
    if steps:
        cli.attempt("gpt.train", "profile", lambda: leave(prof, steps, folder, quiet))


@contextmanager
def waiting_apart(run: Run) -> Iterator[None]:
    """A context in which ranks wait for each other before an exchange."""
    if run.ranks.size == 1:
        yield
        return
    from gpt.ranks.exchange import Exchange

    Exchange.is_profiled = True
    try:
        yield
    finally:
        Exchange.is_profiled = False


def leave(prof: profile, steps: int, folder: Path, quiet: bool) -> None:
    """Print the tables unless quiet, and write both files."""
    text = report(prof, steps)
    if not quiet:
        cli.say(f"\n{text}\n")
    files.write(folder / "profile.txt", text + "\n")
    files.write(folder / "profile.json", json.dumps(record(prof, steps), indent=1, allow_nan=False) + "\n")


def report(prof: profile, steps: int) -> str:
    """Return the three tables as text."""
    took, count = 1e3 * prof.seconds / steps, prof.threads
    together = "" if count == 1 else f" on each of {count} threads, {count * took:,.2f} ms together"
    held = prof.memory()
    return "\n\n".join(
        (
            f"profile of {steps:,} steps: a step took {took:,.2f} ms{together}; the tables show one step",
            prof.key_averages().table(per=steps),
            prof.by_module().table(per=steps),
            f"memory of the tape at its peak: {held.nbytes / 2**20:,.2f} MiB, parameters not counted",
            held.table(row_limit=ROWS),
        )
    )


def record(prof: profile, steps: int) -> dict[str, Any]:
    """Return the same for programs: the seconds of all steps and threads together, and bytes."""
    return {
        "steps": steps,
        "threads": prof.threads,
        "seconds": prof.seconds,
        "by_primitive": [dataclasses.asdict(event) for event in prof.key_averages()],
        "by_module": [dataclasses.asdict(event) for event in prof.by_module()],
        "memory": [dataclasses.asdict(row) for row in prof.memory()],
    }
