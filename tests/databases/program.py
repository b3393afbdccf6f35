"""The command line that ops.py, modules.py and optimizers.py share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import report
from exceptions import excuse
from report import Tally
from tables import table

import torch


def rows(tally: Tally) -> Iterator[str]:
    """A row of exceptions.py for each kind of mismatch. Whoever pastes it writes the reason, or mends the mistake."""
    names: dict[tuple[str, str], list[str]] = {}
    for group in tally.wrong.values():
        names.setdefault((group.kind, group.detail), []).append(group.name)
    for (kind, detail), found in sorted(names.items()):
        yield f"    Row('', {kind!r}, {detail!r}, {' '.join(found)!r}),"


def main(
    doc: str | None, database: str, size: int, entries: Sequence[Any], run: Callable[..., Tally], dtypes: Sequence[str]
) -> None:
    """Run all entries or some, print what differs and the table. The status is 1 if anything differs."""
    parser = argparse.ArgumentParser(description=(doc or "").split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="as in the database; without a name: all")
    parser.add_argument("--dtype", choices=dtypes)
    parser.add_argument("--form", help="function, method, 'in place', operator, …")
    parser.add_argument("--all", action="store_true", help="also what exceptions.py lists")
    parser.add_argument("--rows", action="store_true", help="print rows for exceptions.py, without their reasons")
    parser.add_argument("--show", action="store_true", help="the traceback of the first error of each kind")
    options = parser.parse_args()
    torch.set_num_threads(1)
    report.tracebacks = options.show
    whole = not (options.dtype or options.form)  # a part of the samples need not show every exception
    total, stale = Tally(), False
    for entry in entries:
        if options.names and entry.name not in options.names and entry.info.name not in options.names:
            continue
        tally = run(entry, options.dtype, options.form)
        vain = [] if options.all else list(excuse(tally))
        for line in [*(() if options.rows else tally.wrong.values()), *(vain if whole else ())]:
            print(line, flush=True)
        stale = stale or (whole and bool(vain))
        total.update(tally)
    if options.rows:
        print(*rows(total), sep="\n")
    print(table({database: (size, total.counts())}))
    sys.exit(1 if total.wrong or stale else 0)
